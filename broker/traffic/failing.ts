// Requests that are no good, by where they come from: so many at once, and so many a second. Beyond that whatever comes from there
// waits. Memory is bounded, whoever has how many addresses.

/** An office whose clocks or plugins are all wrong at nine has room; who guesses does not get far. */
export const FAILURES_AT_ONCE = 1000;
export const FAILURES_A_SECOND = 100;

/** Networks that are remembered. Of more the oldest is forgotten, which costs what one more address would have. */
const MOST_NETWORKS = 20_000;

interface Bucket {
  failures: number;
  /** Seconds, by a clock that is never set. */
  at: number;
}

export class FailingNetworks {
  /** The one that failed last stands last. */
  readonly #buckets = new Map<string, Bucket>();

  get size(): number {
    return this.#buckets.size;
  }

  /** One more request from there was no good. */
  note(network: string, now: number): void {
    const failures = Math.min(this.#failures(network, now) + 1, FAILURES_AT_ONCE + FAILURES_A_SECOND);
    this.#buckets.delete(network);
    this.#buckets.set(network, { failures, at: now });
    if (this.#buckets.size <= MOST_NETWORKS) return;
    const [oldest] = this.#buckets.keys();
    if (oldest !== undefined) this.#buckets.delete(oldest);
  }

  /** @returns seconds until more is taken from there; none where it is taken now */
  waits(network: string, now: number): number | undefined {
    const over = this.#failures(network, now) - FAILURES_AT_ONCE;
    return over < 0 ? undefined : Math.ceil((over + 1) / FAILURES_A_SECOND);
  }

  #failures(network: string, now: number): number {
    const bucket = this.#buckets.get(network);
    if (!bucket) return 0;
    const left = bucket.failures - (now - bucket.at) * FAILURES_A_SECOND;
    if (left > 0) return left;
    this.#buckets.delete(network);
    return 0;
  }
}
