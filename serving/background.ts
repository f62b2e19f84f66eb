// Work in the background: rounds one after the other, each looked after, and pauses between tries. Keeps no process alive.

import { type Seconds, seconds } from '../shared/time.ts';

export interface Background {
  /** A round now; where one is under way, another after it. Resolves when it is done, and never rejects. */
  wake(): Promise<void>;
  /** No more rounds; resolves when the one under way is done. */
  stop(): Promise<void>;
}

/**
 * @param ms between two rounds; a round that takes longer is not joined by another
 * @param onError is told why a round failed; the next one comes all the same
 */
export function every(ms: number, round: () => Promise<void>, onError: (error: unknown) => void): Background {
  let stopped = false;
  let again = false;
  let running: Promise<void> | undefined;
  const run = async () => {
    do {
      again = false;
      await round().catch(onError);
    } while (again && !stopped);
    running = undefined;
  };
  const begin = () => {
    running ??= run();
    return running;
  };
  const timer = setInterval(() => void begin(), ms);
  timer.unref();
  return {
    wake() {
      if (stopped) return running ?? Promise.resolve();
      again = running !== undefined;
      return begin();
    },
    async stop() {
      stopped = true;
      clearInterval(timer);
      await running;
    },
  };
}

/** The pause after so many tries that failed: 1, 2, 4, ... seconds. */
export function pauseAfter(attempts: number, longest: number): Seconds {
  return seconds(Math.min(2 ** Math.min(attempts, 30), longest));
}
