// A time in which requests are sent away: said once when it begins and once when it is over, however many they are.

import type { Logger } from 'pino';
import type { Stopwatch } from '../../shared/time.ts';

/** Seconds without anybody being sent away, after which it is over. */
const CALM_S = 10;
/** Milliseconds of delay of the event loop: from which on others are to take the requests, and below which they need not. */
const [LATE_MS, IN_TIME_MS] = [500, 100];

export class Episode {
  readonly #log: Pick<Logger, 'warn' | 'info'>;
  readonly #delay: () => number;
  readonly #stopwatch: Stopwatch;
  #timer: NodeJS.Timeout | undefined;
  #began = 0;
  #last = 0;
  #count = 0;
  #overloaded = false;

  /** @param delay of the event loop, in milliseconds */
  constructor(log: Pick<Logger, 'warn' | 'info'>, delay: () => number, stopwatch: Stopwatch) {
    this.#log = log;
    this.#delay = delay;
    this.#stopwatch = stopwatch;
  }

  sentAway(): void {
    this.#last = this.#stopwatch();
    this.#count += 1;
    if (this.#timer) return;
    this.#began = this.#last;
    this.#log.warn(
      { loop_delay_ms: Math.round(this.#delay()) },
      'more is asked than can be answered: requests are sent away',
    );
    this.#timer = setInterval(() => this.#look(), 1000).unref();
  }

  /** Whether whoever routes requests is to send them elsewhere: not yes and no in turn. */
  overloaded(): boolean {
    const delay = this.#delay();
    if (delay >= LATE_MS) this.#overloaded = true;
    else if (delay < IN_TIME_MS) this.#overloaded = false;
    return this.#overloaded;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    if (this.#stopwatch() - this.#last < CALM_S) return;
    const facts = { requests: this.#count, seconds: Math.round(this.#last - this.#began) };
    this.#log.info(facts, 'all that is asked is answered again');
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#count = 0;
  }
}
