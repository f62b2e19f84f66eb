// Lines of the log about what anybody can cause as often as they like: each kind at most once a minute, with how many like it
// were not said. Kinds are our own words, so there are few.

import { over, plus, type Seconds, seconds } from '../../shared/time.ts';

const EVERY = seconds(60);

export class Rarely {
  readonly #kinds = new Map<string, { readonly said_at: Seconds; unsaid: number }>();

  /** @returns how many of this kind were not said since the last that was; `undefined` where this one is not to be said */
  note(kind: string, now: Seconds): number | undefined {
    const known = this.#kinds.get(kind);
    // Also where the clock went back: silence must not last until it is there again.
    if (known && now >= known.said_at && !over(plus(known.said_at, EVERY), now)) {
      known.unsaid += 1;
      return undefined;
    }
    this.#kinds.set(kind, { said_at: now, unsaid: 0 });
    return known?.unsaid ?? 0;
  }
}
