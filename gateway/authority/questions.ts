// Questions for leases that requests wait for, one at a time: whoever comes while one is under way is in the next, with all others that
// came meanwhile. So any number of new sessions are few questions, and nobody is passed by.

import { batches, type Entry } from './lease_entries.ts';

export class Questions {
  readonly #ask: (entries: readonly Entry[]) => Promise<void>;
  /** In the order in which they came. */
  readonly #waiting = new Map<Entry, PromiseWithResolvers<void>>();
  #under_way: ReadonlySet<Entry> = new Set();
  #running = false;

  constructor(ask: (entries: readonly Entry[]) => Promise<void>) {
    this.#ask = ask;
  }

  /** Whether it is asked for, or will be. */
  has(entry: Entry): boolean {
    return this.#waiting.has(entry) || this.#under_way.has(entry);
  }

  /** @returns once a question that begins after this call was answered @throws CurfewError `broker_unreachable` */
  ask(entry: Entry): Promise<void> {
    const known = this.#waiting.get(entry);
    if (known) return known.promise;
    const made = Promise.withResolvers<void>();
    // Whoever waited for it may have gone.
    made.promise.catch(() => undefined);
    this.#waiting.set(entry, made);
    // All that is wanted in this turn of the loop goes in one question.
    if (!this.#running) setImmediate(() => void this.#run());
    this.#running = true;
    return made.promise;
  }

  async #run(): Promise<void> {
    while (this.#waiting.size > 0) {
      const [batch = []] = batches(this.#waiting.keys());
      const waiting = batch.map((entry) => this.#waiting.get(entry));
      for (const entry of batch) this.#waiting.delete(entry);
      this.#under_way = new Set(batch);
      await this.#ask(batch).then(
        () => waiting.forEach((one) => void one?.resolve()),
        (error: unknown) => waiting.forEach((one) => void one?.reject(error)),
      );
    }
    this.#under_way = new Set();
    this.#running = false;
  }
}
