// What is wrong with an audit log, in words, as far as anybody would read it.

/** What is told in full; further ones are counted. */
const MOST = 100;

export class Faults {
  readonly #told: string[] = [];
  #more = 0;

  add(text: string): void {
    if (this.#told.length < MOST) this.#told.push(text);
    else this.#more += 1;
  }

  get lines(): readonly string[] {
    return this.#more === 0 ? this.#told : [...this.#told, `and ${this.#more} more`];
  }
}
