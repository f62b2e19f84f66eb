// What judges sessions, for webhooks: asked for so often that where the database is another process many ask in one question.

import type { Store } from '../store/store.ts';
import { Together } from '../store/together.ts';
import { findAllJudged, findJudged } from './find.ts';
import type { Session } from './session.ts';

export class JudgedSessions {
  readonly #store: Pick<Store, 'read'>;
  readonly #together: Together<Session> | undefined;

  /** @param together whether a question costs so much that those who ask at once are to share it */
  constructor(store: Pick<Store, 'read'>, together: boolean) {
    this.#store = store;
    this.#together = together ? new Together((sids) => store.read(async (db) => findAllJudged(db, sids))) : undefined;
  }

  /**
   * As it was committed when this was asked, or later.
   *
   * @returns the session itself, or the one that replaced it @throws CurfewError `store`
   */
  find(sid: string): Promise<Session | undefined> {
    return this.#together?.find(sid) ?? this.#store.read((db) => findJudged(db, sid));
  }
}
