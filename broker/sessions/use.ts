// A use of a session, and what it changes. Each change is conditional and says whether it happened.

import type { WholeLimits } from '../../shared/limits.ts';
import type { Yield } from '../../shared/policy.ts';
import { between, earliest, latest, plus, type Seconds } from '../../shared/time.ts';
import type { Transaction } from '../store/store.ts';
import { textOfGaps } from './gap_text.ts';
import { gapsWithUse } from './idle_gaps.ts';
import type { Row, Session } from './session.ts';

/** What a use changes in the row of a session. */
export type UseChange = Pick<Row, 'last_used' | 'longest_idle' | 'gaps' | 'token_exp' | 'end_at_most' | 'over_at'>;

/** @param limits session-wide @param token_exp of the token that is minted with it */
export function useOf(session: Session, limits: WholeLimits, now: Seconds, token_exp: Seconds): UseChange {
  const end_at_most = earliest(session.end_at_most, plus(session.auth_time, limits.max_age));
  return {
    // A use never moves it back, whatever the clock says.
    last_used: latest(session.last_used, now),
    longest_idle: Math.max(session.longest_idle, between(session.last_used, now)) as Seconds,
    gaps: textOfGaps(gapsWithUse(session.gaps, session.last_used, now)),
    token_exp: latest(session.token_exp, token_exp),
    end_at_most,
    over_at: overAt(end_at_most, now, limits),
  };
}

/**
 * Records a use, and lowers the stored end where the policy is tighter now.
 *
 * @param limits session-wide
 * @param token_exp of the token that is minted with it
 * @returns false when the session has ended or is idle for too long already: then nothing changed
 */
export async function touch(
  { db }: Transaction,
  session: Session,
  limits: WholeLimits,
  now: Seconds,
  token_exp = session.token_exp,
): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('session')
    .set(useOf(session, limits, now, token_exp))
    .where('sid', '=', session.sid)
    .where('ended_at', 'is', null)
    .where('last_used', '>', (now - limits.inactivity_timeout) as Seconds)
    .executeTakeFirst();
  return numUpdatedRows === 1n;
}

export function overAt(end_at_most: Seconds, last_used: Seconds, limits: WholeLimits): Seconds {
  return earliest(end_at_most, plus(last_used, limits.inactivity_timeout));
}

/** Whether rules yielded just now what they did before. */
export function hasYields({ yields }: Session, fresh: readonly Yield[]): boolean {
  if (fresh.length === 0) return yields.length === 0;
  return JSON.stringify(fresh) === JSON.stringify(yields);
}

/** Keeps what rules yielded just now. @returns whether that is something else than before */
export async function keepYields({ db }: Transaction, session: Session, fresh: readonly Yield[]): Promise<boolean> {
  if (hasYields(session, fresh)) return false;
  const yields = JSON.stringify(fresh);
  await db.updateTable('session').set({ yields }).where('sid', '=', session.sid).execute();
  return true;
}

/** A token that bears the name of the session's person may be taken until then: nobody else has that name before. */
export async function bearName({ db }: Transaction, { sid, token_exp }: Session, exp: Seconds): Promise<void> {
  await db
    .updateTable('session')
    .set({ token_exp: latest(token_exp, exp) })
    .where('sid', '=', sid)
    .execute();
}

/** What a newer ID token of the same login says of the person. */
export async function keepRevalidation(
  { db }: Transaction,
  session: Session,
  change: Pick<Session, 'revalidated_at' | 'groups' | 'idp_groups'>,
  now: Seconds,
): Promise<Session> {
  const { sid } = session;
  const [groups, idp_groups] = [JSON.stringify(change.groups), JSON.stringify(change.idp_groups)];
  await db
    .updateTable('session')
    .set({ ...change, groups, idp_groups })
    .where('sid', '=', sid)
    .execute();
  // Whom they act as elsewhere may be another now.
  for (const table of ['bound_secret', 'session_role'] as const)
    await db.updateTable(table).set({ next_at: now }).where('sid', '=', sid).where('doomed', '=', 0).execute();
  return { ...session, ...change };
}
