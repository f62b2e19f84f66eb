// Questions to a database in another process, of which each costs as much as many: those who ask at once share one.

/** In one question. */
const MOST = 64;
/** One question at a time; where that takes so many milliseconds, those that wait are asked for beside it. */
const LONGEST_WAIT_MS = 10;
const AT_ONCE = 4;

interface Asking<T> {
  readonly key: string;
  readonly found: (value: T | undefined) => void;
  readonly failed: (error: unknown) => void;
}

export class Together<T> {
  readonly #read: (keys: readonly string[]) => Promise<ReadonlyMap<string, T>>;
  #waiting: Asking<T>[] = [];
  #running = 0;
  #next: NodeJS.Immediate | undefined;
  #beside: NodeJS.Timeout | undefined;

  /** @param read what there is of these keys, each of which may come more than once */
  constructor(read: (keys: readonly string[]) => Promise<ReadonlyMap<string, T>>) {
    this.#read = read;
  }

  /** As it was committed when this was asked, or later. @throws what `read` throws */
  find(key: string): Promise<T | undefined> {
    return new Promise((found, failed) => {
      this.#waiting.push({ key, found, failed });
      this.#plan();
    });
  }

  /** Requests that came with this turn of the event loop ask together; those that come while a question is under way, after it. */
  #plan(): void {
    if (this.#waiting.length === 0) return;
    if (this.#running === 0) {
      this.#next ??= setImmediate(() => {
        this.#next = undefined;
        void this.#ask();
      });
    } else if (this.#running < AT_ONCE) {
      this.#beside ??= setTimeout(() => {
        this.#beside = undefined;
        void this.#ask();
      }, LONGEST_WAIT_MS);
    }
  }

  async #ask(): Promise<void> {
    const asking = this.#waiting.splice(0, MOST);
    if (asking.length === 0) return;
    this.#running += 1;
    this.#plan();
    try {
      const values = await this.#read(asking.map(({ key }) => key));
      for (const { key, found } of asking) found(values.get(key));
    } catch (error) {
      for (const { failed } of asking) failed(error);
    }
    this.#running -= 1;
    if (this.#running > 0) return this.#plan();
    clearTimeout(this.#beside);
    this.#beside = undefined;
    return this.#ask();
  }
}
