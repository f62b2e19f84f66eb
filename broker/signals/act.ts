// What a signal is about, and what it does: the sessions that are meant are ended, or marked, durably and once.

import type { EndReason } from '../../shared/session.ts';
import { latest, plus, type Seconds } from '../../shared/time.ts';
import type { Action } from '../audit_log/signals.ts';
import type { Broker } from '../broker.ts';
import { endSession, settle } from '../sessions/ending.ts';
import { laterLogin, requireLoginAfter } from '../sessions/login_after.ts';
import { findBySid } from '../sessions/sessions.ts';
import type { Transaction } from '../store/store.ts';
import type { Session, SignalReceivedTable } from '../store/tables.ts';

/** Whom a signal speaks of: a person, a session at the identity provider, or that session of that person. */
export type Meant = { readonly iss: string } & (
  | { readonly sub: string; readonly idp_sid?: string | undefined }
  | { readonly sub?: undefined; readonly idp_sid: string }
);

/**
 * @param kind what it came as: a `jti` is unique among tokens of one kind alone, as issuers count them apart
 * @returns false when it was received before: then it is not to act again
 */
export async function receiveOnce(
  { db }: Transaction,
  kind: SignalReceivedTable['kind'],
  signal: { readonly iss: string; readonly jti: string; readonly expires_at: Seconds },
): Promise<boolean> {
  const { iss, jti, expires_at } = signal;
  const { numInsertedOrUpdatedRows } = await db
    .insertInto('signal_received')
    .values({ kind, iss, jti, expires_at })
    .onConflict((conflict) => conflict.doNothing())
    .executeTakeFirst();
  return numInsertedOrUpdatedRows === 1n;
}

/**
 * The living sessions that are meant. Where a session of the IdP is named, those that were opened in it, and those of the
 * person of which that is not known: better one too many than one that goes on.
 */
export async function sessionsMeant({ db }: Transaction, { iss, sub, idp_sid }: Meant): Promise<Session[]> {
  let living = db.selectFrom('session').selectAll().where('ended_at', 'is', null).where('iss', '=', iss);
  if (sub === undefined) return living.where('idp_sid', '=', idp_sid).execute();
  living = living.where('sub', '=', sub);
  if (idp_sid !== undefined)
    living = living.where((eb) => eb.or([eb('idp_sid', '=', idp_sid), eb('idp_sid', 'is', null)]));
  return living.execute();
}

/**
 * Whether a session of the IdP could be told at all: not where sessions live and none of them knows its own, as the ID tokens
 * carry no `sid`.
 */
export async function knowsIdpSessions({ db }: Transaction, iss: string): Promise<boolean> {
  const living = db.selectFrom('session').select('sid').where('ended_at', 'is', null).where('iss', '=', iss);
  if (await living.where('idp_sid', 'is not', null).limit(1).executeTakeFirst()) return true;
  return (await living.limit(1).executeTakeFirst()) === undefined;
}

/**
 * Whether what a signal names is known here: the person by a login, the session of the IdP by one that was opened in it within
 * the last 30 days. Sessions of the person that do not know theirs count for each.
 */
export async function isKnown({ db }: Transaction, { iss, sub, idp_sid }: Meant): Promise<boolean> {
  if (sub !== undefined && idp_sid === undefined) {
    const person = db.selectFrom('person').select('sub').where('iss', '=', iss).where('sub', '=', sub);
    return (await person.executeTakeFirst()) !== undefined;
  }
  const opened = db.selectFrom('session').select('sid').where('iss', '=', iss).limit(1);
  const inIt = opened.where('idp_sid', '=', idp_sid ?? '');
  const found = sub === undefined ? inIt : inIt.where('sub', '=', sub);
  if (await found.executeTakeFirst()) return true;
  if (sub === undefined) return false;
  const unsaid = opened.where('sub', '=', sub).where('idp_sid', 'is', null);
  // Two questions, as there is an index for each.
  const [living, over] = [unsaid.where('ended_at', 'is', null), unsaid.where('ended_at', 'is not', null)];
  return ((await living.executeTakeFirst()) ?? (await over.executeTakeFirst())) !== undefined;
}

/** Acknowledged, it does not come again: whoever runs the broker is to see that it hit nobody. */
export function sayUnmatched(log: Broker['log'], what: Readonly<Record<string, unknown>>): void {
  log.warn(what, 'a signal of the identity provider names a person or a session that is not known here');
}

/** @returns how many sessions it was about */
export async function act(
  transaction: Transaction,
  { config, touches }: Broker,
  meant: Meant,
  { action, reason, address }: { readonly action: Action; readonly reason: EndReason; readonly address?: string },
  now: Seconds,
): Promise<number> {
  if (action === 'ignore') return 0;
  const found = await sessionsMeant(transaction, meant);
  // What is over by itself ends as of then, and for that.
  await settle(transaction, await touches.apply(transaction, found), config.policy, now);
  const logins: Seconds[] = [];
  for (const { sid } of found) {
    const session = await findBySid(transaction.db, sid);
    if (!session || session.ended_at !== null) continue;
    const login_after = laterLogin(session, now);
    logins.push(login_after);
    if (action === 'end') await endSession(transaction, session, { reason, since: now, now, address });
    else await endAtRenewal(transaction, session, reason);
    await requireLoginAfter(transaction, { iss: session.iss, sub: session.sub }, login_after);
  }
  const { iss, sub, idp_sid } = meant;
  // Also where nothing lives: an ID token from before may be on its way, by a clock of the IdP that is ahead.
  const login_after = logins.length > 0 ? latest(now, ...logins) : plus(now, config.identity_provider.clock_skew);
  if (sub !== undefined) await requireLoginAfter(transaction, { iss, sub }, login_after);
  if (idp_sid !== undefined) await requireLoginAfter(transaction, { iss, idp_sid }, login_after);
  return logins.length;
}

/** The first reason stands. */
async function endAtRenewal({ db }: Transaction, { sid }: Session, reason: EndReason): Promise<void> {
  const due = db.updateTable('session').set({ end_at_renewal: reason }).where('sid', '=', sid);
  await due.where('ended_at', 'is', null).where('end_at_renewal', 'is', null).execute();
}
