// How the store does, by what it last did: nothing is tried for whoever only asks.

/** Milliseconds: two commits in a row that took longer than this, and the disk does not keep up. */
const SLOW_MS = 750;

export class StoreHealth {
  #failure: string | undefined;
  #slow = 0;
  #last_ms = 0;

  committed(ms: number): void {
    this.#failure = undefined;
    this.#last_ms = ms;
    this.#slow = ms < SLOW_MS ? 0 : this.#slow + 1;
  }

  /** @param why in words */
  failed(why: string): void {
    this.#failure = why;
  }

  /** Whether what can wait is to be sent away: while one commit waits for the disk, this process does nothing else. */
  get slow(): boolean {
    return this.#slow >= 2;
  }

  /** @returns what keeps it from its work, in words */
  get fault(): string | undefined {
    return (
      this.#failure ??
      (this.slow ? `commits take ${Math.round(this.#last_ms)} ms: its disk does not keep up` : undefined)
    );
  }

  /** Milliseconds until it is tried again while it does not work: a slow one is to leave this process its time. */
  get pause_ms(): number {
    return Math.max(1_000, 4 * this.#last_ms);
  }
}
