// The connections of a replica: taken for one transaction or one read, and given back. Who waits longer than a second for one is sent
// away: a queue without an end helps nobody.

import { CurfewError } from '../../shared/errors.ts';
import type { Lane } from './lane.ts';

const MOST_WAITING = 2_000;
const LONGEST_WAIT_MS = 1_000;
/** While the database cannot be reached it is not asked more often than this. */
const PAUSE_MS = 200;

interface Waiter {
  readonly take: (lane: Lane) => void;
  readonly fail: (error: unknown) => void;
  readonly timer: NodeJS.Timeout;
}

export class Lanes {
  readonly #open: () => Promise<Lane>;
  readonly #most: number;
  readonly #idle: Lane[] = [];
  readonly #all = new Set<Lane>();
  readonly #waiting = new Set<Waiter>();
  #opening = 0;
  #failed: { readonly error: unknown } | undefined;
  #closed = false;

  constructor(open: () => Promise<Lane>, most: number) {
    this.#open = open;
    this.#most = most;
  }

  /**
   * @param which of those that are free: the one that was used last, or the one that has rested longest
   * @throws CurfewError `store` with `retry_after` where none becomes free in time; what opening one throws
   */
  async take(which: 'used' | 'rested' = 'used'): Promise<Lane> {
    if (this.#closed) throw new CurfewError('store', 'the store is closed');
    const free = () => (which === 'used' ? this.#idle.pop() : this.#idle.shift());
    for (let lane = free(); lane; lane = free()) {
      if (!lane.dead) return lane;
      await this.#drop(lane);
    }
    if (this.#all.size + this.#opening < this.#most) return this.#another();
    if (this.#waiting.size >= MOST_WAITING) throw busy();
    return new Promise<Lane>((resolve, reject) => {
      const waiter: Waiter = {
        take: resolve,
        fail: reject,
        timer: setTimeout(() => {
          this.#waiting.delete(waiter);
          reject(busy());
        }, LONGEST_WAIT_MS),
      };
      this.#waiting.add(waiter);
    });
  }

  /** Several at once, or as many as there may be: those that have rested longest. @throws likewise */
  async takeRested(count: number): Promise<readonly Lane[]> {
    const taken: Lane[] = [];
    try {
      while (taken.length < Math.min(count, this.#most)) taken.push(await this.take('rested'));
      return taken;
    } catch (error) {
      for (const lane of taken) this.give(lane);
      throw error;
    }
  }

  /** Those that are taken are cut when they are given back. */
  retire(useless: (lane: Lane) => boolean): void {
    for (const lane of this.#all) if (useless(lane)) lane.dead = true;
  }

  give(lane: Lane): void {
    if (lane.dead || this.#closed) {
      void this.#drop(lane);
      return;
    }
    const waiter = this.#next();
    if (waiter) waiter.take(lane);
    else this.#idle.push(lane);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#idle].map((lane) => this.#drop(lane)));
    while (this.#all.size > 0) await new Promise((resolve) => setTimeout(resolve, 10));
  }

  async #another(): Promise<Lane> {
    if (this.#failed) throw this.#failed.error;
    this.#opening += 1;
    try {
      const lane = await this.#open();
      this.#all.add(lane);
      return lane;
    } catch (failure) {
      this.#failed = { error: failure };
      setTimeout(() => {
        this.#failed = undefined;
      }, PAUSE_MS).unref();
      // They would wait for nothing.
      if (this.#all.size === 0) for (let waiter = this.#next(); waiter; waiter = this.#next()) waiter.fail(failure);
      throw failure;
    } finally {
      this.#opening -= 1;
    }
  }

  #next(): Waiter | undefined {
    const [waiter] = this.#waiting;
    if (!waiter) return undefined;
    this.#waiting.delete(waiter);
    clearTimeout(waiter.timer);
    return waiter;
  }

  async #drop(lane: Lane): Promise<void> {
    await lane.close();
    this.#all.delete(lane);
    // Whoever waits may open another in its place.
    const waiter = this.#closed ? undefined : this.#next();
    if (waiter) this.take().then(waiter.take, waiter.fail);
  }
}

function busy(): CurfewError {
  return new CurfewError('store', 'the store has more to do than it can', { retry_after: 1 });
}
