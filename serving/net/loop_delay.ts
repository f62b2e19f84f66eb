// How late this process's event loop is, so that a server can send requests away before it stalls.

/** Milliseconds between two looks. */
const EVERY_MS = 50;
/** A pause that happens once (a collection, a slow disk, a stopped process) says nothing: most of these have to be late. */
const SAMPLES = 9;

export interface LoopDelay {
  /** By how many milliseconds most of the last looks were late. */
  readonly ms: () => number;
  readonly stop: () => void;
}

/** @param stopwatch seconds, with fractions */
export function watchLoopDelay(stopwatch: () => number): LoopDelay {
  const late = new Array<number>(SAMPLES).fill(0);
  let next = 0;
  let looked = stopwatch();
  const timer = setInterval(() => {
    const instant = stopwatch();
    late[next] = Math.max(0, (instant - looked) * 1000 - EVERY_MS);
    next = (next + 1) % SAMPLES;
    looked = instant;
  }, EVERY_MS).unref();
  return {
    ms() {
      // A loop that is stuck makes no looks: what it is late by now counts as one.
      const now = Math.max(0, (stopwatch() - looked) * 1000 - EVERY_MS);
      const sorted = [...late, now].toSorted((a, b) => a - b);
      return sorted[Math.floor(SAMPLES / 2)] ?? 0;
    },
    stop: () => clearInterval(timer),
  };
}
