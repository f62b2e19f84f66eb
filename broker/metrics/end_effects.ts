// How long an end took to have its effect: from its commit to the first denial of its session at the webhook. For metrics only.

/** Ends that wait for a denial; beyond them the oldest is given up. Most sessions are not asked about after their end. */
const MOST = 10_000;

export class EndEffects {
  readonly #ends = new Map<string, number>();

  /** @param at seconds by a clock that is never set */
  ended(sid: string, at: number): void {
    this.#ends.set(sid, at);
    if (this.#ends.size <= MOST) return;
    const [oldest] = this.#ends.keys();
    if (oldest !== undefined) this.#ends.delete(oldest);
  }

  /** @returns the seconds since the end, for the first denial after it */
  denied(sid: string, at: number): number | undefined {
    const end = this.#ends.get(sid);
    this.#ends.delete(sid);
    return end === undefined ? undefined : at - end;
  }
}
