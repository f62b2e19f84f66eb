// How much of something there may be: so many at once, and so many a minute after that. For what others cause and we would keep.

import { type Seconds, seconds } from '../../shared/time.ts';

export interface Rate {
  readonly at_once: number;
  readonly a_minute: number;
}

export class Allowance {
  readonly #rate: Rate;
  #left: number;
  #at = seconds(0);

  constructor(rate: Rate) {
    this.#rate = rate;
    this.#left = rate.at_once;
  }

  /** Takes one. @returns false when there is none left at this moment */
  take(now: Seconds): boolean {
    const { at_once, a_minute } = this.#rate;
    // A clock that was set back brings nothing, and holds nothing up.
    const passed = Math.max(0, now - this.#at);
    this.#left = Math.min(at_once, this.#left + (passed * a_minute) / 60);
    this.#at = now;
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }
}
