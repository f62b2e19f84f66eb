// One thing that was looked at in what runs: as it should be, at fault with what to do, or not to be seen from here.

import { oneLine } from '../text/one_line.ts';

export const LIVE_CHECKS = [
  ...[
    'broker',
    'keys',
    'store',
    'standby',
    'identity_provider',
    'api_server',
    'webhook',
    'gateway',
    'database',
    'signals',
  ],
  ...['certificate', 'clock'],
] as const;
export type LiveCheck = (typeof LIVE_CHECKS)[number];

export interface Seen {
  readonly name: LiveCheck;
  /** Of several: which cluster, server or transmitter. */
  readonly of?: string | undefined;
  readonly state: 'ok' | 'fault' | 'not_known';
  /** What was found. */
  readonly says: string;
  /** What to do about a fault, or how to look by hand. */
  readonly todo?: string | undefined;
}

export const fine = (name: LiveCheck, of: string | undefined, says: string): Seen => ({ name, of, state: 'ok', says });
export const wrong = (name: LiveCheck, of: string | undefined, says: string, todo: string): Seen => ({
  ...{ name, of, state: 'fault', says, todo },
});
export const unknown = (name: LiveCheck, of: string | undefined, says: string, todo: string): Seen => ({
  ...{ name, of, state: 'not_known', says, todo },
});

const WORDS = { ok: 'ok       ', fault: 'FAULT    ', not_known: 'not known' } as const;

export function printSeen(seen: readonly Seen[]): readonly string[] {
  const width = Math.max(...seen.map(({ name }) => name.length));
  const lines = seen.flatMap(({ name, of, state, says, todo }) => [
    `${WORDS[state]}  ${name.padEnd(width)}  ${oneLine(of === undefined ? says : `${of}: ${says}`)}`,
    ...(todo === undefined ? [] : [`${' '.repeat(width + 13)}do: ${oneLine(todo)}`]),
  ]);
  const count = (state: Seen['state']) => seen.filter((one) => one.state === state).length;
  const faults = count('fault');
  const unseen = count('not_known') === 0 ? '' : `; ${count('not_known')} could not be seen from here`;
  const sum = faults === 0 ? 'no fault was found' : `${faults} of ${seen.length} are not as they should be`;
  return [...lines, '', `${sum}${unseen}`];
}

export function printSeenAsJson(seen: readonly Seen[]): readonly string[] {
  return JSON.stringify({ ok: seen.every(({ state }) => state !== 'fault'), checks: seen }, null, 2).split('\n');
}
