// How far the machine's clock and that of the database are apart. Replicas decide by their own clocks, each to the second; the database's
// is the one that they can all be held against.

import { CurfewError } from '../../shared/errors.ts';

/** Seconds, to either side: beyond these somebody is to look after it. */
export const WARN_APART = 1;
/** Beyond these nothing is written, and nothing granted: for every other replica this one lives in another time. */
export const MOST_APART = 5;

/** @param seconds how far the machine's clock is ahead of the database's; negative where it is behind */
export function areTooFarApart(seconds: number): boolean {
  return Math.abs(seconds) > MOST_APART;
}

/** @throws CurfewError `clock` */
export function requireAgreement(seconds: number): void {
  if (!areTooFarApart(seconds)) return;
  throw new CurfewError('clock', sayApart(seconds), {
    ...{ unavailable: true, retry_after: 1 },
    hint: 'set both by NTP',
  });
}

export function sayApart(seconds: number): string {
  const side = seconds > 0 ? 'ahead of' : 'behind';
  return `the clock of the broker is ${Math.abs(seconds).toFixed(1)}s ${side} that of the database`;
}
