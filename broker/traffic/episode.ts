// A time in which requests are sent away: said once when it begins and once when it is over, however many they are.

import type { Logger } from 'pino';
import type { Stopwatch } from '../../shared/time.ts';

/** Seconds without anybody being sent away, after which it is over. */
const CALM_S = 10;

export class Episode {
  readonly #log: Pick<Logger, 'warn' | 'info'>;
  readonly #delay: () => number;
  readonly #stopwatch: Stopwatch;
  #timer: NodeJS.Timeout | undefined;
  #began = 0;
  #last = 0;
  #count = 0;

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
