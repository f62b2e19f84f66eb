// Sessions in the store: found, opened, touched, ended. Each change is conditional and says whether it happened.

import { hash } from 'node:crypto';
import { type Kysely, sql } from 'kysely';
import type { WholeLimits } from '../../shared/limits.ts';
import { type Policy, type ResolvedLimits, withYields, type Yield } from '../../shared/policy.ts';
import type { SessionFacts } from '../../shared/session.ts';
import { between, earliest, latest, plus, type Seconds } from '../../shared/time.ts';
import type { IdentityProviderSettings } from '../config/settings.ts';
import { groupsOf } from '../policy/groups.ts';
import type { Subject } from '../policy/target.ts';
import type { Transaction } from '../store/store.ts';
import type { Schema, Session } from '../store/tables.ts';
import { gapsWithUse, parseGaps, textOfGaps } from './idle_gaps.ts';

/** Only this is stored of a handle. */
export function hashOfHandle(handle: string): Uint8Array {
  return hash('sha256', handle, 'buffer');
}

export function factsOf(session: Session): SessionFacts {
  const { auth_time, revalidated_at, last_used, longest_idle, end_at_most, over_at: idle_end } = session;
  const { acr, idle_before, ended_at, end_reason } = session;
  const ended = ended_at !== null && end_reason !== null ? { ended: { at: ended_at, reason: end_reason } } : {};
  return {
    auth_time,
    revalidated_at,
    last_used,
    longest_idle,
    ...(idle_before !== '[]' && { idle_before: parseGaps(idle_before) }),
    end_at_most,
    idle_end,
    ...(acr !== null && { acr }),
    ...ended,
  };
}

/** What rules have yielded for the session, as of its last exchange or renewal. */
export function yieldsOfSession({ yields: text }: Pick<Session, 'yields'>): readonly Yield[] {
  if (text === '[]') return NONE;
  const known = parsed.get(text);
  if (known) return known;
  const yields = JSON.parse(text) as Yield[];
  if (parsed_length + text.length > MOST_TEXT) {
    parsed.clear();
    parsed_length = 0;
  }
  parsed.set(text, yields);
  parsed_length += text.length;
  return yields;
}

/** A memory of what was parsed: sessions of people alike have the same text, and the webhook asks for it with each request. */
const parsed = new Map<string, readonly Yield[]>();
let parsed_length = 0;

/** Characters. */
const MOST_TEXT = 4_000_000;
const NONE: readonly Yield[] = [];

/** Keeps what rules yielded just now. */
export async function keepYields({ db }: Transaction, session: Session, fresh: readonly Yield[]): Promise<void> {
  const yields = JSON.stringify(fresh);
  if (yields !== session.yields)
    await db.updateTable('session').set({ yields }).where('sid', '=', session.sid).execute();
}

/** The session-wide limits: the policy's, and what rules that name no target have yielded. */
export function sessionLimits(policy: Policy, session: Pick<Session, 'yields'>): WholeLimits {
  return wholeLimits(policy, session).session;
}

/**
 * The limits that say whether a session lives at all. How strong its login must be, and how lately vouched for, is asked where
 * something is to be done with it.
 */
export function livingLimits(policy: Policy, session: Pick<Session, 'yields'>): ResolvedLimits {
  const limits = sessionLimits(policy, session);
  return { session: limits, target: { ...limits, acr: undefined, revalidate: undefined } };
}

export function wholeLimits(policy: Policy, session: Pick<Session, 'yields'>): ResolvedLimits {
  return withYields({ session: policy.limits, target: policy.limits }, {}, yieldsOfSession(session));
}

// The webhook and renewals look here with each request, and building a query costs more than its answer: these are texts.

export async function findBySid(db: Kysely<Schema>, sid: string): Promise<Session | undefined> {
  const { rows } = await sql<Session>`select * from session where sid = ${sid}`.execute(db);
  return rows[0];
}

export async function findByHandle({ db }: Pick<Transaction, 'db'>, handle: string): Promise<Session | undefined> {
  const handle_hash = hashOfHandle(handle);
  const { rows } = await sql<Session>`select * from session where handle_hash = ${handle_hash}`.execute(db);
  return rows[0];
}

export async function openSession(transaction: Transaction, session: Session): Promise<void> {
  await transaction.db.insertInto('session').values(session).execute();
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
  const end_at_most = earliest(session.end_at_most, plus(session.auth_time, limits.max_age));
  const { numUpdatedRows } = await db
    .updateTable('session')
    .set({
      // A use never moves it back, whatever the clock says.
      last_used: latest(session.last_used, now),
      longest_idle: Math.max(session.longest_idle, between(session.last_used, now)) as Seconds,
      gaps: textOfGaps(gapsWithUse(parseGaps(session.gaps), session.last_used, now)),
      token_exp: latest(session.token_exp, token_exp),
      end_at_most,
      over_at: overAt(end_at_most, now, limits),
    })
    .where('sid', '=', session.sid)
    .where('ended_at', 'is', null)
    .where('last_used', '>', (now - limits.inactivity_timeout) as Seconds)
    .executeTakeFirst();
  return numUpdatedRows === 1n;
}

export function overAt(end_at_most: Seconds, last_used: Seconds, limits: WholeLimits): Seconds {
  return earliest(end_at_most, plus(last_used, limits.inactivity_timeout));
}

/** The living sessions of a person, the oldest login first. */
export function livingOfPerson({ db }: Transaction, { iss, sub }: { iss: string; sub: string }): Promise<Session[]> {
  const living = db.selectFrom('session').selectAll().where('ended_at', 'is', null);
  return living.where('iss', '=', iss).where('sub', '=', sub).orderBy('opened_at').orderBy('sid').execute();
}

/** The living session that a key holds: at most one. */
export function livingOfKey({ db }: Transaction, jkt: string): Promise<Session | undefined> {
  return db.selectFrom('session').selectAll().where('ended_at', 'is', null).where('jkt', '=', jkt).executeTakeFirst();
}

/** The person of a session, by the IdP's names. */
export function subjectOf(session: Session, { username_prefix }: IdentityProviderSettings): Subject {
  const { username, acr, amr, address } = session;
  const name = username.startsWith(username_prefix) ? username.slice(username_prefix.length) : username;
  return {
    user: {
      ...{ name, groups: groupsOf(session), acr: acr ?? undefined },
      amr: amr === null ? [] : (JSON.parse(amr) as string[]),
    },
    login_address: address,
    yields: yieldsOfSession(session),
  };
}
