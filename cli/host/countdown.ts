// How long is left for something, by a clock that is never set.

import type { Clocks } from './host.ts';

/** @returns milliseconds that are left of these, as of each call: fewer than none once they are over */
export function countdown(milliseconds: number, { stopwatch }: Pick<Clocks, 'stopwatch'>): () => number {
  const end = stopwatch() * 1000 + milliseconds;
  return () => end - stopwatch() * 1000;
}

/** The deadline of each step of what has so many milliseconds as a whole: never less than one. */
export function deadlineWithin(milliseconds: number, clocks: Pick<Clocks, 'stopwatch'>): () => number {
  const left = countdown(milliseconds, clocks);
  return () => Math.max(1, left());
}
