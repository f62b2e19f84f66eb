// Whose a username is: one person's at a time. A name that changes at the IdP is not followed: what went on under the old one ends,
// and that is nobody's until the last token that bears it is over.

import { over, plus, type Seconds, seconds } from '../../shared/time.ts';
import type { Transaction } from '../store/store.ts';
import { currentSessions } from './current.ts';
import { endSession } from './ending.ts';
import { nameHeld, personHeld } from './holds.ts';
import type { Person } from './login_after.ts';
import type { CurrentParts } from './touches.ts';

/** kube-apiserver goes on taking a token for as long after its `exp`: the cache of its authenticators. */
const LINGERS = seconds(10);

/** A person by the name that the IdP gives now, as Kubernetes sees it. */
export interface Named extends Person {
  readonly username: string;
}

/**
 * The IdP calls a person by this name now: their sessions under another one end, and that name is theirs no more, whether or not
 * they can have the new one. Without `login_after`: they may be logged in again at once.
 */
export async function endRenamed(
  transaction: Transaction,
  parts: CurrentParts,
  { iss, sub, username }: Named,
  { now, address }: { readonly now: Seconds; readonly address?: string | undefined },
): Promise<void> {
  // What is over by itself ends as of then, and for that.
  const current = await currentSessions(transaction, parts, { persons: [{ iss, sub }] }, now);
  for (const session of current) {
    if (session.username === username) continue;
    await endSession(transaction, session, { reason: 'renamed', since: now, now, address });
  }
  const own = transaction.db.selectFrom('person').select('username').where('iss', '=', iss).where('sub', '=', sub);
  const known = await own.executeTakeFirst();
  if (known && known.username !== username) await giveUpName(transaction, { iss, sub, username: known.username }, now);
}

/** A person has a name no more: it is free once no token bears it. Their sessions under it have ended. */
export async function giveUpName(
  transaction: Transaction,
  { iss, sub, username }: Named,
  now: Seconds,
): Promise<Seconds> {
  const { db } = transaction;
  await transaction.hold([personHeld({ iss, sub }), nameHeld(username)]);
  const bearing = db
    .selectFrom('session')
    .select(({ fn }) => fn.max('token_exp').as('exp'))
    .where('iss', '=', iss)
    .where('sub', '=', sub)
    .where('username', '=', username);
  const { exp } = await bearing.executeTakeFirstOrThrow();
  const free_at = plus(exp ?? seconds(0), LINGERS);
  await db.deleteFrom('person').where('iss', '=', iss).where('sub', '=', sub).execute();
  if (over(free_at, now)) return now;
  await db
    .insertInto('resting_name')
    .values({ username, iss, sub, free_at })
    .onConflict((conflict) => conflict.column('username').doUpdateSet({ iss, sub, free_at }))
    .execute();
  return free_at;
}

/**
 * Makes the person known by this name.
 *
 * @returns since when or until when it cannot be: `another` while another person holds it, or when it is free
 */
export async function holdUsername(
  { db }: Transaction,
  { iss, sub, username }: Named,
  now: Seconds,
): Promise<'held' | 'another' | { readonly free_at: Seconds }> {
  const holder = await db.selectFrom('person').selectAll().where('username', '=', username).executeTakeFirst();
  if (holder) return holder.iss === iss && holder.sub === sub ? 'held' : 'another';
  const rests = await db.selectFrom('resting_name').selectAll().where('username', '=', username).executeTakeFirst();
  if (rests && !over(rests.free_at, now) && !(rests.iss === iss && rests.sub === sub))
    return { free_at: rests.free_at };
  await db.deleteFrom('resting_name').where('username', '=', username).execute();
  await db.insertInto('person').values({ iss, sub, username }).execute();
  return 'held';
}

export async function forgetRestingNames({ db }: Transaction, now: Seconds): Promise<void> {
  await db.deleteFrom('resting_name').where('free_at', '<=', now).execute();
}

/** Who holds a name. @param usernames as Kubernetes sees them: the first that somebody holds */
export async function holderOf({ db }: Transaction, usernames: readonly string[]): Promise<Named | undefined> {
  for (const username of usernames) {
    const holder = await db.selectFrom('person').selectAll().where('username', '=', username).executeTakeFirst();
    if (holder) return holder;
  }
  return undefined;
}

/** Some of those who hold a name. */
export function anyHolders({ db }: Transaction, most: number): Promise<readonly Named[]> {
  return db.selectFrom('person').selectAll().limit(most).execute();
}
