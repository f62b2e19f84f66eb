// Uses seen by the webhook: kept in memory, judged at once, and written to the store in batches. A use that is not written
// yet counts for every decision here; a crash loses at most what came since the last batch.

import { sql } from 'kysely';
import type { Logger } from 'pino';
import { every } from '../../serving/background.ts';
import type { WholeLimits } from '../../shared/limits.ts';
import type { Gap } from '../../shared/session.ts';
import { between, earliest, plus, type Seconds } from '../../shared/time.ts';
import type { Config } from '../config/settings.ts';
import { earlier, later } from '../store/sql.ts';
import type { Store, Transaction } from '../store/store.ts';
import { findBySid } from './find.ts';
import { textOfGaps } from './gap_text.ts';
import { gapsWithUse } from './idle_gaps.ts';
import type { Session } from './session.ts';
import { overAt } from './use.ts';

/** Milliseconds between two batches. With the time of a commit this stays below the 5 s that may be lost. */
const EVERY_MS = 2_000;
/** How many uses one transaction writes: requests wait no longer than that. */
const AT_ONCE = 500;

type Fields = Pick<Session, 'last_used' | 'longest_idle' | 'end_at_most' | 'over_at'>;

/** One use or several, none of them written yet. */
interface Use {
  readonly fields: Fields;
  /** All of the session's own, with the one that each use closed. */
  readonly gaps: readonly Gap[];
  /** The earliest of them: the stored session must not have been over before it. Each later one was judged by the one before. */
  readonly first: Seconds;
}

/** What the sessions of now are found with. */
export interface CurrentParts {
  /** The one in force, read at each use. */
  readonly config: Config;
  readonly touches: Touches;
}

export class Touches {
  readonly #uses = new Map<string, Use>();

  /** Notes a use that was allowed. @param session as read from the store @param limitsOf the session-wide ones, where they are needed */
  note(session: Session, limitsOf: () => WholeLimits, now: Seconds): void {
    // Most come within a second of the last.
    if (now <= (this.#uses.get(session.sid)?.fields.last_used ?? session.last_used)) return;
    const { sid, auth_time, last_used, ...known } = this.overlay(session);
    if (now <= last_used) return;
    const limits = limitsOf();
    const end_at_most = earliest(session.end_at_most, plus(auth_time, limits.max_age));
    const longest_idle = Math.max(known.longest_idle, between(last_used, now)) as Seconds;
    const fields = { last_used: now, longest_idle, end_at_most, over_at: overAt(end_at_most, now, limits) };
    const before = this.#notWritten(session);
    const gaps = gapsWithUse(before?.gaps ?? session.gaps, last_used, now);
    this.#uses.set(sid, { fields, gaps, first: before?.first ?? now });
  }

  /** The session as of its last use, be it written or not. @param session as read from the store */
  overlay(session: Session): Session {
    const use = this.#notWritten(session);
    if (!use) return session;
    const end_at_most = earliest(use.fields.end_at_most, session.end_at_most);
    return { ...session, ...use.fields, end_at_most, over_at: earliest(use.fields.over_at, end_at_most) };
  }

  /** Whether something is known of a session beyond its row. */
  hasUnwritten(session: Session): boolean {
    return this.#notWritten(session) !== undefined;
  }

  /** What is known of a session beyond its row. */
  #notWritten(session: Session): Use | undefined {
    const use = this.#uses.get(session.sid);
    if (!use || session.ended_at !== null || use.fields.last_used <= session.last_used) return undefined;
    return use;
  }

  /** Writes what is known of these sessions, before something is decided on them in this transaction. */
  async apply(transaction: Transaction, sessions: readonly Session[]): Promise<Session[]> {
    const current: Session[] = [];
    for (const session of sessions) {
      const written = await this.#write(transaction, session.sid);
      current.push(written ? ((await findBySid(transaction.db, session.sid)) ?? session) : session);
    }
    return current;
  }

  /** Writes all. @throws CurfewError `store`: nothing is lost then, the next batch tries again */
  async flush(store: Store): Promise<void> {
    // Two replicas that write the same sessions do so in one order.
    const all = [...this.#uses].sort(([a], [b]) => (a < b ? -1 : 1));
    for (let at = 0; at < all.length; at += AT_ONCE) {
      const batch = all.slice(at, at + AT_ONCE);
      await store.transaction(async (transaction) => {
        for (const [sid] of batch) await this.#write(transaction, sid);
      });
      for (const [sid, use] of batch) if (this.#uses.get(sid) === use) this.#uses.delete(sid);
    }
  }

  /** Conditional: a session that has ended, or was over before the first of these uses, is not moved. */
  async #write({ db }: Transaction, sid: string): Promise<boolean> {
    const use = this.#uses.get(sid);
    if (!use) return false;
    const { last_used, longest_idle, end_at_most, over_at } = use.fields;
    const { numUpdatedRows } = await db
      .updateTable('session')
      .set((eb) => ({
        last_used,
        longest_idle: later(eb.ref('longest_idle'), sql.val(longest_idle)),
        gaps: textOfGaps(use.gaps),
        end_at_most: earlier(eb.ref('end_at_most'), sql.val(end_at_most)),
        over_at: earlier(eb.ref('end_at_most'), sql.val(over_at)),
      }))
      .where('sid', '=', sid)
      .where('ended_at', 'is', null)
      .where('over_at', '>', use.first)
      .where('last_used', '<', last_used)
      .executeTakeFirst();
    return numUpdatedRows === 1n;
  }
}

/** @returns a function that stops the batches, after a last one. */
export function startFlushing(touches: Touches, store: Store, log: Pick<Logger, 'error'>): () => Promise<void> {
  const fail = () => log.error('the store failed while uses of sessions were written: trying again');
  const rounds = every(EVERY_MS, () => touches.flush(store), fail);
  return async () => {
    await rounds.stop();
    await touches.flush(store).catch(fail);
  };
}
