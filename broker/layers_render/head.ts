// What a rendered file says of itself: whose limits it holds, what it bounds, and what it cannot. The words are the table's.

import { sayDuration } from '../../shared/duration.ts';
import { CUTTER, CUTTERS, type Layer } from '../layers_table/layer.ts';
import { POLICY_HASH, policyHash } from '../layers_table/policy_hash.ts';
import { tableOf } from '../layers_table/table.ts';
import { sayHeld } from '../layers_table/words.ts';
import type { RenderInput } from './input.ts';

/**
 * @param more what of this very file is to be known
 * @returns lines of comments that begin with `#`
 */
export function headOf(layer: Layer, input: RenderInput, more: readonly string[] = []): string {
  const { limits, of, segment, examples } = input;
  const { title, idle, age, session_end } = tableOf(layer);
  const lines = [
    `${title}: what it can hold of ${of}. Printed by: curfew-broker layers render`,
    `${POLICY_HASH}: ${policyHash(segment, limits)}`,
    `limits: max_age ${sayDuration(limits.max_age)}, inactivity_timeout ${sayDuration(limits.inactivity_timeout)}, token_ttl ${sayDuration(limits.token_ttl)}`,
    `idle: ${sayHeld(idle)}`,
    `age: ${sayHeld(age)}`,
    `this session's end: ${sayHeld(session_end)}`,
    ...sayCutter(layer, input),
    ...more,
    ...examples.map((example) => `to be replaced: ${example}`),
  ];
  return lines.map((line) => `# ${line}\n`).join('');
}

/** What ends the rest: the one that was named, or those that could. */
function sayCutter(layer: Layer, { cutter }: RenderInput): readonly string[] {
  const { age, cutters } = tableOf(layer);
  if (cutter !== undefined) return [`${CUTTER}: ${cutter}`, `what goes on past these is ended by ${CUTTERS[cutter]}`];
  if (age.hold === 'yes') return [];
  return [
    'no_age_bound: what is open and in use goes on past max_age. What can end it:',
    ...cutters.map((one) => `  ${one}: ${CUTTERS[one]}`),
    `  where one of them does, say so: ${CUTTER}: NAME, as an annotation or a comment`,
  ];
}
