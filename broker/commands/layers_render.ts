// `curfew-broker layers render`: the limits of a segment as a layer around takes them.

import { randomBytes } from 'node:crypto';
import { rename, rm, writeFile } from 'node:fs/promises';
import { CurfewError } from '../../shared/errors.ts';
import { type LimitsOfSegment, segmentLimits, segmentLimitsIn } from '../config/segments.ts';
import type { Config } from '../config/settings.ts';
import { parseHost, parseNamespace, parseTarget, type TargetRef } from '../layers_render/input.ts';
import { RENDERERS, type RenderedLayer } from '../layers_render/render.ts';
import type { Cutter } from '../layers_table/layer.ts';

/** As it is typed. */
export interface Wish {
  readonly layer: RenderedLayer;
  readonly segment: string;
  readonly cluster?: string;
  readonly target?: string;
  readonly host?: string;
  readonly ingress?: string;
  readonly cutter?: Cutter;
}

const EXAMPLES = { target: 'app/app:8080', host: 'app.example.com', ingress: 'ingress' } as const;

/**
 * @returns the text of one file, the same for the same wish and configuration
 * @throws CurfewError `usage` where a name is not one, or there is no such segment
 */
export function renderLayer(config: Config, wish: Wish): string {
  const target = parseTarget(wish.target ?? EXAMPLES.target);
  const input = {
    target,
    segment: wish.segment,
    host: parseHost(wish.host ?? EXAMPLES.host),
    ingress: parseNamespace(wish.ingress ?? EXAMPLES.ingress),
    cutter: wish.cutter,
    examples: (['target', 'host', 'ingress'] as const).flatMap((flag) =>
      wish[flag] ? [] : [`--${flag} ${EXAMPLES[flag]}`],
    ),
    ...limitsFor(config, wish, target),
  };
  return RENDERERS[wish.layer](input);
}

/** Of the target's namespace, where both it and its cluster are known; else of the segment as a whole. */
function limitsFor(config: Config, { segment, cluster }: Wish, target: TargetRef): LimitsOfSegment {
  if (cluster === undefined) return segmentLimits(config, segment);
  if (target.kind !== 'service')
    throw new CurfewError('usage', '--cluster: expected --target NAMESPACE/SERVICE beside it');
  return segmentLimitsIn(config, segment, { cluster, namespace: target.namespace });
}

/** Written beside and renamed: who reads it finds the old one or the new one whole. @throws CurfewError `usage` */
export async function writeOutput(file: string, text: string): Promise<void> {
  const unfinished = `${file}.${randomBytes(6).toString('hex')}`;
  try {
    await writeFile(unfinished, text, { flag: 'wx', flush: true });
    await rename(unfinished, file);
  } catch (cause) {
    await rm(unfinished, { force: true });
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown error';
    throw new CurfewError('usage', `${file}: cannot be written (${code})`, { cause });
  }
}
