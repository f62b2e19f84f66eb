// The end of what is cut: first the rest of what is half sent to the client, then its last words, each for a moment.

/** Milliseconds for the rest. */
const REST_MS = 250;
/** Milliseconds for a reader to take its last words. */
export const WORDS_MS = 1_000;

/** Something that is done once what is half sent is whole, or was not for too long: once. */
export class Rest {
  #done: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;

  get awaited(): boolean {
    return this.#done !== undefined;
  }

  wait(done: () => void): void {
    this.#done = done;
    this.#timer = setTimeout(() => this.over(), REST_MS);
  }

  over(): void {
    const done = this.#done;
    this.drop();
    done?.();
  }

  /** Nobody is there any more to whom it would matter. */
  drop(): void {
    clearTimeout(this.#timer);
    this.#done = undefined;
  }
}
