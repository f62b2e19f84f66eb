// Objects of Kubernetes as they are rendered: the hash on each, YAML by the library alone, the same bytes each time.

import { stringify } from 'yaml';
import { CurfewError } from '../../shared/errors.ts';
import { CUTTER, type Layer } from '../layers_table/layer.ts';
import { POLICY_HASH, policyHash } from '../layers_table/policy_hash.ts';
import { headOf } from './head.ts';
import type { RenderInput, ServiceRef } from './input.ts';

export interface RenderedObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly namespace: string;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly spec: object;
}

/** YAML of all objects, beneath what is to be known of them. */
export function printObjects(
  layer: Layer,
  input: RenderInput,
  objects: readonly RenderedObject[],
  more?: readonly string[],
): string {
  const hash = policyHash(input.segment, input.limits);
  const documents = objects.map(({ apiVersion, kind, name, namespace, annotations, spec }) =>
    toYaml({
      apiVersion,
      kind,
      metadata: {
        name,
        namespace,
        labels: { 'app.kubernetes.io/part-of': 'curfew' },
        annotations: { [POLICY_HASH]: hash, ...(input.cutter && { [CUTTER]: input.cutter }), ...annotations },
      },
      spec,
    }),
  );
  return `${headOf(layer, input, more)}${documents.join('---\n')}`;
}

/** Without a line that is folded, or an alias. */
export function toYaml(value: object): string {
  return stringify(value, { lineWidth: 0, aliasDuplicateObjects: false });
}

/** @throws CurfewError `usage` where the target is an address: these layers know Services alone */
export function serviceOf(layer: Layer, { target }: RenderInput): ServiceRef {
  if (target.kind === 'service') return target;
  throw new CurfewError(
    'usage',
    `--target: ${layer} is in front of a Service: expected NAMESPACE/SERVICE or NAMESPACE/SERVICE:PORT`,
  );
}

/** How the pods of a Service are labelled where nobody said otherwise. */
export function podLabels(name: string): Readonly<Record<string, string>> {
  return { 'app.kubernetes.io/name': name };
}
