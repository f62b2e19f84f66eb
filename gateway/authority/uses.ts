// Uses of sessions, until the broker has them on disk. The last of each session is enough.

import { MOST_USES, OLDEST_USE_MS, type Use } from '../../shared/gateway_wire.ts';

export class Uses {
  readonly #elapsed: () => number;
  /** When each was last used, by the session's id. */
  #noted = new Map<string, number>();

  /** @param elapsed milliseconds, by a clock that is never set */
  constructor(elapsed: () => number) {
    this.#elapsed = elapsed;
  }

  note(sid: string): void {
    this.#noted.set(sid, this.#elapsed());
  }

  /** Its session is over: nothing moves it any more. */
  forget(sid: string): void {
    this.#noted.delete(sid);
  }

  /** What is to be told, taken out: as much as one report may hold, and whether there is more. */
  take(): { readonly uses: readonly Use[]; readonly putBack: () => void; readonly left: boolean } {
    const now = this.#elapsed();
    const taken = [...this.#noted].slice(0, MOST_USES);
    for (const [sid] of taken) this.#noted.delete(sid);
    const uses = taken.flatMap(([sid, at]) => {
      const age_ms = Math.max(0, Math.round(now - at));
      // Nobody would take it any more.
      return age_ms > OLDEST_USE_MS ? [] : [{ sid, age_ms }];
    });
    const putBack = () => {
      for (const [sid, at] of taken) if ((this.#noted.get(sid) ?? 0) < at) this.#noted.set(sid, at);
    };
    return { uses, putBack, left: this.#noted.size > 0 };
  }
}
