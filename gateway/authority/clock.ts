// The broker's clock, as far as its answers tell. Ends are judged by it, never by this machine's: that one may be off by minutes.

import { type Seconds, seconds } from '../../shared/time.ts';

/** Milliseconds that a broker's clock may go back before it is believed rather than what was known: those of replicas differ. */
const BACK_MS = 500;

export class BrokerClock {
  /** Milliseconds, by a clock that is never set. */
  readonly #elapsed: () => number;
  /** Milliseconds that the broker's clock is ahead of `elapsed`, at least. */
  #ahead: number | undefined;

  constructor(elapsed: () => number) {
    this.#elapsed = elapsed;
  }

  /**
   * @param broker_time of an answer that came just now: it is rounded down, and some time has passed since
   * @param sent_at when it was asked for, by `elapsed`
   */
  learn(broker_time: Seconds, sent_at: number): void {
    // Between the two: the answer may have taken all of the time since it was asked for, or none.
    const earliest = broker_time * 1000 - this.#elapsed();
    const latest = broker_time * 1000 + 1000 - sent_at;
    const before = this.#ahead;
    this.#ahead = before === undefined || before > latest + BACK_MS ? earliest : Math.max(before, earliest);
  }

  /** @returns `undefined` before the first answer */
  now(): Seconds | undefined {
    return this.#ahead === undefined ? undefined : seconds(Math.floor((this.#elapsed() + this.#ahead) / 1000));
  }

  /** Milliseconds to the next whole second of the broker. */
  toNextSecond(): number {
    return this.#ahead === undefined ? 1000 : 1000 - ((this.#elapsed() + this.#ahead) % 1000);
  }
}
