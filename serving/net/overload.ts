// Whether whoever routes requests is to send them to another process, as this one's event loop is late: not yes and no in turn.

/** From which delay of the event loop on, and below which it is over, in milliseconds. */
const [OVERLOADED_MS, IN_TIME_MS] = [500, 100];

export class Overload {
  readonly #delay: () => number;
  #overloaded = false;

  /** @param delay of the event loop, in milliseconds */
  constructor(delay: () => number) {
    this.#delay = delay;
  }

  now(): boolean {
    const delay = this.#delay();
    if (delay >= OVERLOADED_MS) this.#overloaded = true;
    else if (delay < IN_TIME_MS) this.#overloaded = false;
    return this.#overloaded;
  }
}
