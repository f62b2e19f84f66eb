// Everything before now is over, for everybody: what an administrator says after a store was put back, or when the time that it has
// seen was wrong. Nobody can tell then which session, token or use of before still counts; so none does.

import { sql } from 'kysely';
import { plus, type Seconds, seconds } from '../../shared/time.ts';
import type { AdministrationCommand } from '../audit_log/events.ts';
import { earlier, later } from '../store/sql.ts';
import type { Transaction } from '../store/store.ts';
import { type KeysParts, replaceKeys } from '../tokens/keys.ts';
import { randomId } from '../tokens/random.ts';
import { endSession } from './ending.ts';
import { active, read } from './find.ts';

/** What is only remembered so that it does not act twice is remembered for no longer than this, in seconds. */
const REMEMBERED = seconds(30 * 86_400);

/** Longer than a token is taken that a person's name stands in, in seconds. */
const TOKENS_OUT = seconds(86_400);

export interface Declaration {
  readonly command: AdministrationCommand;
  /** Who says so. */
  readonly by: string;
  /** By the clock that holds from now on, however far behind the newest instant of the store it may be. */
  readonly now: Seconds;
  readonly keys: KeysParts;
  /** The highest epoch that is known outside the store, which was put back to before it: nobody goes back. */
  readonly known_epoch: number;
}

/**
 * Ends every session and marks every Secret and role for deletion; no login and no ID token from before this second's end opens another; other keys
 * sign, and what the ones of before signed is not accepted any more. No instant that lies ahead is left to keep anybody out.
 *
 * @returns how many sessions were active
 */
export async function declareAllOver(transaction: Transaction, declaration: Declaration): Promise<number> {
  const { db } = transaction;
  const { command, by, now, keys, known_epoch } = declaration;
  await transaction.holdAll();
  const sessions = await read(active(db));
  for (const session of sessions)
    await endSession(transaction, session, { reason: 'administrator', since: now, now, by });
  const over_before = plus(now, seconds(1));
  await db
    .updateTable('store_state')
    .set((eb) => ({
      epoch: eb(later(eb.ref('epoch'), eb.val(known_epoch)), '+', 1),
      epoch_id: randomId(),
      over_before,
    }))
    .execute();
  await transaction.resetNewest(now);
  // That instant says more than any of these.
  await db.deleteFrom('login_after').execute();
  await db.deleteFrom('idle_gap').execute();
  await db.deleteFrom('failed_login').execute();
  await replaceKeys(transaction, keys, now);
  await db.updateTable('bound_secret').set({ doomed: 1, over_at: now, next_at: now, attempts: 0 }).execute();
  await db.updateTable('session_role').set({ doomed: 1, over_at: now, next_at: now, attempts: 0 }).execute();
  await bringBack(transaction, now);
  transaction.publish({ kind: 'all_over', at: now });
  await transaction.audit({ event: 'administration', at: now, command, by, sessions: sessions.length });
  return sessions.length;
}

/** Nothing in the store lies ahead of the clock that holds, or would be kept until it is. */
async function bringBack({ db }: Transaction, now: Seconds): Promise<void> {
  const [minute, remembered, tokens] = [Math.floor(now / 60) + 1, plus(now, REMEMBERED), plus(now, TOKENS_OUT)];
  const statements = [
    sql`update session set auth_time = ${earlier(sql.ref('auth_time'), sql.val(now))}, raw_auth_time = ${earlier(sql.ref('raw_auth_time'), sql.val(now))},
      revalidated_at = ${earlier(sql.ref('revalidated_at'), sql.val(now))},
      end_at_most = ${earlier(sql.ref('end_at_most'), sql.val(now))}, last_used = ${earlier(sql.ref('last_used'), sql.val(now))}, over_at = ${earlier(sql.ref('over_at'), sql.val(now))},
      opened_at = ${earlier(sql.ref('opened_at'), sql.val(now))}, ended_at = ${earlier(sql.ref('ended_at'), sql.val(now))}, gaps = '[]', idle_before = '[]',
      token_exp = ${earlier(sql.ref('token_exp'), sql.val(tokens))}`,
    sql`update resting_name set free_at = ${earlier(sql.ref('free_at'), sql.val(tokens))}`,
    sql`delete from counted_login where raw > ${now}`,
    sql`update hook_delivery set created_at = ${earlier(sql.ref('created_at'), sql.val(now))}, next_at = ${earlier(sql.ref('next_at'), sql.val(now))}`,
    sql`update signal_received set expires_at = ${earlier(sql.ref('expires_at'), sql.val(remembered))}`,
    sql`update id_token_use set used_at = ${earlier(sql.ref('used_at'), sql.val(now))}, expires_at = ${earlier(sql.ref('expires_at'), sql.val(remembered))}`,
    sql`update old_token_ids set since = ${earlier(sql.ref('since'), sql.val(now))}, until = ${earlier(sql.ref('until'), sql.val(now))}`,
    sql`delete from proof where minute > ${minute}`,
    sql`update gateway_place set at = ${earlier(sql.ref('at'), sql.val(now))}`,
    sql`update feed set at = ${earlier(sql.ref('at'), sql.val(now))}`,
  ];
  for (const statement of statements) await statement.execute(db);
}
