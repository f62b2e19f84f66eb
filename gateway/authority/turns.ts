// Questions to the broker of which any number may come: so many at a time, the others wait in their order.

export class Turns {
  readonly #most: number;
  readonly #waiting: (() => void)[] = [];
  #taken = 0;

  constructor(most: number) {
    this.#most = most;
  }

  /** Does it in its turn. @returns what it returns @throws what it throws */
  async take<T>(work: () => Promise<T>): Promise<T> {
    if (this.#taken >= this.#most) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#taken += 1;
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      // The turn is handed on.
      if (next) next();
      else this.#taken -= 1;
    }
  }
}
