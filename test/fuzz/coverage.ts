// Which branches an input reaches, and whether one of them was not reached before, or not as often.

/** Of how often a branch was reached, as far as it tells something: once, twice, three times, up to 7, 15, 31, 127, more. */
const BUCKETS = Uint8Array.from({ length: 256 }, (_, n) => {
  if (n < 4) return n;
  return 4 + [8, 16, 32, 128].filter((from) => n >= from).length;
});
const WORD_BYTES = 4;
/** Texts that are remembered of one run, and how long they may be. */
const [MOST_COMPARED, LONGEST_COMPARED] = [64, 200];

/** What modules that are instrumented count into. One is made for each bundle. */
export class Coverage {
  readonly counters: Uint8Array;
  readonly #words: Uint32Array;
  readonly #best: Uint8Array;
  /** Texts that were compared with others in the last run: what was there, and what may have been looked for. */
  readonly compared = new Map<string, string>();
  #covered = 0;

  /** @param count of branches */
  constructor(count: number) {
    const buffer = new ArrayBuffer(Math.ceil(Math.max(count, 1) / WORD_BYTES) * WORD_BYTES);
    this.counters = new Uint8Array(buffer);
    this.#words = new Uint32Array(buffer);
    this.#best = new Uint8Array(buffer.byteLength);
  }

  /** Branches that were reached so far. */
  get covered(): number {
    return this.#covered;
  }

  /** In place of `left === right`. */
  readonly same = (left: unknown, right: unknown): boolean => {
    if (left !== right && typeof left === 'string' && typeof right === 'string') this.#remember(left, right);
    return left === right;
  };

  begin(): void {
    this.#words.fill(0);
    this.compared.clear();
  }

  /** Whether what ran since `begin` has reached something new. */
  isNew(): boolean {
    let news = false;
    for (let i = 0; i < this.#words.length; i += 1) {
      if (this.#words[i] === 0) continue;
      for (let j = i * WORD_BYTES; j < (i + 1) * WORD_BYTES; j += 1) {
        const [bucket = 0, best = 0] = [BUCKETS[this.counters[j] ?? 0], this.#best[j]];
        if (bucket <= best) continue;
        if (best === 0) this.#covered += 1;
        this.#best[j] = bucket;
        news = true;
      }
    }
    return news;
  }

  /** As if nothing had run: for the next target. */
  forget(): void {
    this.#best.fill(0);
    this.#covered = 0;
  }

  #remember(left: string, right: string): void {
    if (this.compared.size >= MOST_COMPARED) return;
    const fits = (text: string) => text.length > 0 && text.length < LONGEST_COMPARED;
    if (fits(right)) this.compared.set(right, left);
    if (fits(left)) this.compared.set(left, right);
  }
}
