// A number by chance, so that those who were told the same do not all do it at once.

import type { Host } from './host.ts';

/** @returns from 0 on, below 1 */
export function chance({ random }: Pick<Host, 'random'>): number {
  return random(4).readUInt32BE() / 2 ** 32;
}
