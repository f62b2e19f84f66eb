// How many requests of a class are worked on at a time. Beyond that each waits longer and none is answered sooner: the rest is better
// sent away at once. Whoever has many under way leaves room for those who have few.

export interface InFlightLimit {
  /** So many are taken whoever they are from. */
  readonly shared: number;
  /** So many more, of networks that have less than their share of those. */
  readonly reserved: number;
}

export class InFlight {
  readonly #limit: InFlightLimit;
  readonly #networks = new Map<string, number>();
  #all = 0;

  constructor(limit: InFlightLimit) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#all;
  }

  /** @returns what to call once when it is over; `undefined` where there is no room for it */
  take(network: string): (() => void) | undefined {
    const { shared, reserved } = this.#limit;
    const own = this.#networks.get(network) ?? 0;
    const networks = this.#networks.size + (own === 0 ? 1 : 0);
    const share = Math.max(1, Math.floor(shared / networks));
    const fits = this.#all < shared || (this.#all < shared + reserved && own < share);
    if (!fits) return undefined;
    this.#all += 1;
    this.#networks.set(network, own + 1);
    return () => this.#leave(network);
  }

  #leave(network: string): void {
    this.#all -= 1;
    const left = (this.#networks.get(network) ?? 0) - 1;
    if (left > 0) this.#networks.set(network, left);
    else this.#networks.delete(network);
  }
}
