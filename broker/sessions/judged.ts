// What judges sessions, for webhooks: asked for so often that where the database is another process many ask in one question.

import type { Store } from '../store/store.ts';
import { findAllJudged, findJudged } from './find.ts';
import type { Session } from './session.ts';

/** In one question. */
const MOST = 64;
/** One question at a time; where that takes so many milliseconds, those that wait are asked for beside it. */
const LONGEST_WAIT_MS = 10;
const AT_ONCE = 4;

type Reading = Parameters<typeof findJudged>[0];

interface Asking {
  readonly sid: string;
  readonly found: (session: Session | undefined) => void;
  readonly failed: (error: unknown) => void;
}

export class JudgedSessions {
  readonly #store: Pick<Store, 'read'>;
  readonly #together: boolean;
  #waiting: Asking[] = [];
  #running = 0;
  #due: NodeJS.Immediate | NodeJS.Timeout | undefined;

  /** @param together whether a question costs so much that those who ask at once are to share it */
  constructor(store: Pick<Store, 'read'>, together: boolean) {
    this.#store = store;
    this.#together = together;
  }

  /**
   * As it was committed when this was asked, or later.
   *
   * @returns the session itself, or the one that replaced it @throws CurfewError `store`
   */
  find(sid: string): Promise<Session | undefined> {
    if (!this.#together) return this.#store.read((db) => findJudged(db, sid));
    return new Promise((found, failed) => {
      this.#waiting.push({ sid, found, failed });
      this.#plan();
    });
  }

  /** Requests that came with this turn of the event loop ask together; those that come while a question is under way, after it. */
  #plan(): void {
    if (this.#due !== undefined || this.#running >= AT_ONCE || this.#waiting.length === 0) return;
    const ask = () => {
      this.#due = undefined;
      void this.#ask(this.#waiting.splice(0, MOST));
      this.#plan();
    };
    this.#due = this.#running === 0 ? setImmediate(ask) : setTimeout(ask, LONGEST_WAIT_MS);
  }

  async #ask(asking: readonly Asking[]): Promise<void> {
    this.#running += 1;
    try {
      const sessions = await this.#store.read((db) => readAll(db, asking));
      for (const { sid, found } of asking) found(sessions.get(sid));
    } catch (error) {
      for (const { failed } of asking) failed(error);
    }
    this.#running -= 1;
    if (this.#running > 0) return;
    // What waits now waits no longer than it has.
    if (this.#due !== undefined) clearTimeout(this.#due as NodeJS.Timeout);
    this.#due = undefined;
    if (this.#waiting.length > 0) void this.#ask(this.#waiting.splice(0, MOST));
  }
}

async function readAll(db: Reading, asking: readonly Asking[]): Promise<ReadonlyMap<string, Session>> {
  const [only] = asking;
  if (asking.length > 1 || !only)
    return findAllJudged(
      db,
      asking.map(({ sid }) => sid),
    );
  const session = await findJudged(db, only.sid);
  return new Map(session && [[only.sid, session]]);
}
