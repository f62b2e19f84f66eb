// What `layers render` prints for one segment, kept in files: a change of a byte is seen. Run directly, it writes them.

import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseTarget, type RenderInput } from '../../broker/layers_render/input.ts';
import { RENDERED_LAYERS, RENDERERS, type RenderedLayer } from '../../broker/layers_render/render.ts';
import { seconds } from '../../shared/time.ts';

const FOLDER = path.join(import.meta.dirname, 'layers_rendered');

/** @param target in place of a Service of the name `orders` */
export function inputOf(changes: Partial<RenderInput> = {}): RenderInput {
  return {
    limits: { max_age: seconds(8 * 3600), inactivity_timeout: seconds(900), token_ttl: seconds(300) },
    of: 'segment payments, cluster prod-eu',
    segment: 'payments',
    target: parseTarget('payments/orders:8080'),
    host: 'orders.example.com',
    ingress: 'ingress-nginx',
    examples: [],
    ...changes,
  };
}

export function golden(layer: RenderedLayer): string {
  return readFileSync(fileOf(layer), 'utf8');
}

function fileOf(layer: RenderedLayer): string {
  return path.join(FOLDER, `${layer}.txt`);
}

if (import.meta.main) {
  for (const layer of RENDERED_LAYERS) writeFileSync(fileOf(layer), RENDERERS[layer](inputOf()));
}
