// What this process has read of the feed last, kept for whoever passes it on. Each change is here once it has taken effect.

import type { FeedEntry } from '../store/feed.ts';

/** How many are kept: who is further behind reads the store. */
const MOST = 1_000;

export class FeedTail {
  /** Without gaps, up to `place`. */
  #entries: FeedEntry[] = [];
  #place: number;
  readonly #told = new Set<() => void>();

  constructor(place: number) {
    this.#place = place;
  }

  /** All up to here has taken effect. */
  get place(): number {
    return this.#place;
  }

  add(entry: FeedEntry): void {
    this.#entries.push(entry);
    if (this.#entries.length > 2 * MOST) this.#entries = this.#entries.slice(-MOST);
    this.#place = entry.seq;
    this.wake();
  }

  /** Changes up to there were forgotten before they were read. */
  skip(place: number): void {
    this.#entries = [];
    this.#place = place;
    this.wake();
  }

  /** @returns `undefined` where some of them are not kept */
  after(place: number): readonly FeedEntry[] | undefined {
    if (place >= this.#place) return [];
    const first = this.#entries[0]?.seq;
    return first === undefined || first > place + 1 ? undefined : this.#entries.filter(({ seq }) => seq > place);
  }

  /** Calls whenever there may be more, or something else may have changed. @returns ends that */
  onWake(told: () => void): () => void {
    this.#told.add(told);
    return () => void this.#told.delete(told);
  }

  wake(): void {
    for (const told of this.#told) told();
  }
}
