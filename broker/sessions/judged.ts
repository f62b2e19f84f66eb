// What judges sessions, for webhooks: asked for so often that where the database is another process many ask in one question.

import type { Store } from '../store/store.ts';
import { findAllJudged, findJudged } from './find.ts';
import type { Session } from './session.ts';

/** Questions at a time: who comes while these are under way asks together with all others that do. */
const AT_ONCE = 2;
/** In one question. */
const MOST = 64;

interface Asking {
  readonly sid: string;
  readonly found: (session: Session | undefined) => void;
  readonly failed: (error: unknown) => void;
}

export class JudgedSessions {
  readonly #store: Pick<Store, 'read'>;
  #waiting: Asking[] = [];
  #running = 0;

  constructor(store: Pick<Store, 'read'>) {
    this.#store = store;
  }

  /**
   * As it was committed when this was asked, or later.
   *
   * @returns the session itself, or the one that replaced it @throws CurfewError `store`
   */
  find(sid: string): Promise<Session | undefined> {
    return new Promise((found, failed) => {
      this.#waiting.push({ sid, found, failed });
      if (this.#running < AT_ONCE) void this.#ask();
    });
  }

  async #ask(): Promise<void> {
    this.#running += 1;
    while (this.#waiting.length > 0) {
      const asking = this.#waiting.splice(0, MOST);
      try {
        const sessions = await this.#store.read(async (db) => {
          const [only] = asking;
          if (asking.length > 1 || !only)
            return findAllJudged(
              db,
              asking.map(({ sid }) => sid),
            );
          const session = await findJudged(db, only.sid);
          return new Map(session && [[only.sid, session]]);
        });
        for (const { sid, found } of asking) found(sessions.get(sid));
      } catch (error) {
        for (const { failed } of asking) failed(error);
      }
    }
    this.#running -= 1;
  }
}
