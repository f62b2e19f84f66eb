// How a session ends: once, whatever the cause, with all that has to follow.

import { type Denied, decide } from '../../shared/decide.ts';
import type { Policy } from '../../shared/policy.ts';
import { type EndReason, needsNewLogin } from '../../shared/session.ts';
import { between, over, plus, type Seconds, seconds } from '../../shared/time.ts';
import type { EndEvent } from '../audit_log/events.ts';
import type { Transaction } from '../store/store.ts';
import { moveConnections } from './connections.ts';
import { personHeld } from './holds.ts';
import { keepGaps } from './idle_gaps.ts';
import { factsOf, wholeLimits } from './limits.ts';
import { laterLogin, requireLoginAfter } from './login_after.ts';
import type { Session } from './session.ts';

export interface End extends Pick<EndEvent, 'reason' | 'address' | 'replaced_by' | 'by' | 'note'> {
  /** Since when it is over; `now` unless a limit struck before it was noticed. */
  readonly since: Seconds;
  readonly now: Seconds;
}

/**
 * Ends a session, once: every cause of an end comes through here. Sets `login_after`, so that the IdP's active single sign-on does
 * not bring the session back. All replicas are told.
 *
 * @returns false when it had ended already: the first reason stands
 */
export async function endSession(transaction: Transaction, session: Session, end: End): Promise<boolean> {
  const { db } = transaction;
  const { reason, since, now, address, replaced_by, by, note } = end;
  await transaction.hold([personHeld(session)]);
  const { numUpdatedRows } = await db
    .updateTable('session')
    .set({ ended_at: since, end_reason: reason, replaced_by: replaced_by ?? null })
    .where('sid', '=', session.sid)
    .where('ended_at', 'is', null)
    .executeTakeFirst();
  if (numUpdatedRows !== 1n) return false;
  await letGo(transaction, session.sid, replaced_by, since);
  if (replaced_by !== undefined) await moveConnections(transaction, session.sid, replaced_by);
  const { sid, iss, sub, username, jkt } = session;
  if (needsNewLogin(reason)) await requireLoginAfter(transaction, { iss, sub }, laterLogin(session, since));
  else await keepGaps(transaction, session, end);
  await transaction.audit({
    event: 'end',
    at: now,
    sid,
    iss,
    sub,
    username,
    jkt,
    reason,
    ended_at: since,
    address,
    replaced_by,
    by,
    note,
  });
  transaction.publish({ kind: 'end', at: now, sid, reason, since, replaced_by });
  return true;
}

/** What a session has elsewhere goes with it, or is judged on for the session that replaced it. */
async function letGo({ db }: Transaction, sid: string, replaced_by: string | undefined, since: Seconds): Promise<void> {
  const gone = { doomed: 1, over_at: since, next_at: since } as const;
  const change = replaced_by === undefined ? gone : { sid: replaced_by };
  for (const table of ['bound_secret', 'session_role'] as const)
    await db.updateTable(table).set(change).where('sid', '=', sid).where('doomed', '=', 0).execute();
}

/** Ends what a word of the identity provider left until the next renewal. @returns the session as it is now */
export async function endIfDue(transaction: Transaction, session: Session, now: Seconds): Promise<Session> {
  const { end_at_renewal: reason } = session;
  if (reason === null || session.ended_at !== null) return session;
  await endSession(transaction, session, { reason, since: now, now });
  return { ...session, ended_at: now, end_reason: reason };
}

/** Seconds that a use takes at most from the replica that saw it into the store. */
export const UNSEEN_USE = seconds(5);

/**
 * Whether it was only idle for too long by what is stored, and by so little that another replica may have seen a use that is on its way
 * there: then it is denied, and not ended yet.
 */
export function isInDoubt(
  { shared }: Pick<Transaction, 'shared'>,
  session: Session,
  denied: Denied,
  now: Seconds,
): boolean {
  if (!shared || denied.ends !== 'inactivity_timeout' || over(plus(denied.since, UNSEEN_USE), now)) return false;
  // Not by a time without use that a use has closed: that is known.
  return denied.found === between(session.last_used, now);
}

/** Ends what session-wide limits have ended already, as of when they did. @returns whether it is over, be it ended or in doubt */
export async function endIfOver(
  transaction: Transaction,
  session: Session,
  policy: Policy,
  now: Seconds,
  doubt: 'ends' | 'spares',
): Promise<boolean> {
  const verdict = decide(wholeLimits(policy, session), factsOf(session), now);
  if (verdict.allow || !verdict.ends) return false;
  if (doubt === 'spares' && isInDoubt(transaction, session, verdict, now)) return true;
  await endSession(transaction, session, { reason: verdict.ends, since: verdict.since, now });
  return true;
}

/** Where the limit that denies a target is one of the whole session: that is ended, unless it is in doubt. */
export async function endByVerdict(
  transaction: Transaction,
  session: Session,
  denied: Denied,
  at: { readonly now: Seconds; readonly address: string },
): Promise<void> {
  const { ends: reason, since } = denied;
  if (reason !== undefined && !isInDoubt(transaction, session, denied, at.now))
    await endSession(transaction, session, { reason, since, ...at });
}

/** How the person's last session ended, if time ended it: whoever fails then does not get back in. */
export async function lastTimeout(
  { db }: Transaction,
  { iss, sub }: { readonly iss: string; readonly sub: string },
): Promise<EndReason | undefined> {
  const ended = db.selectFrom('session').select('end_reason').where('ended_at', 'is not', null);
  const last = await ended.where('iss', '=', iss).where('sub', '=', sub).orderBy('ended_at', 'desc').executeTakeFirst();
  const reason = last?.end_reason;
  return reason === 'max_age' || reason === 'inactivity_timeout' ? reason : undefined;
}
