// What the broker rendered says of which limits it was made: where the policy has others now, it is to be rendered again.

import { POLICY_HASH } from '../layers_table/policy_hash.ts';
import type { KubeObject } from '../manifests/objects.ts';
import type { RawFile } from '../manifests/raw.ts';
import { type Report, subjectOf } from './finding.ts';

export function judgeDrift(object: KubeObject, hashes: ReadonlySet<string>, report: Report): void {
  const hash = object.annotations[POLICY_HASH];
  if (hash !== undefined && !hashes.has(hash))
    report('drift', subjectOf(object), ['metadata', 'annotations', POLICY_HASH], SAYS);
}

export function judgeFileDrift({ place, hash }: RawFile, hashes: ReadonlySet<string>, report: Report): void {
  if (hash !== undefined && !hashes.has(hash.is))
    report('drift', { place: { ...place, lineOf: () => hash.line } }, [], SAYS);
}

const SAYS = `${POLICY_HASH} is that of other limits than the policy has now`;
