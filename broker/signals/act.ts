// What a signal is about, and what it does: the sessions that are meant are ended, or marked, durably and once.

import type { EndReason } from '../../shared/session.ts';
import { latest, plus, type Seconds } from '../../shared/time.ts';
import type { Action } from '../audit_log/signals.ts';
import type { Broker } from '../broker.ts';
import { currentSessions } from '../sessions/current.ts';
import { endSession } from '../sessions/ending.ts';
import { meantHeld } from '../sessions/holds.ts';
import { laterLogin, requireLoginAfter } from '../sessions/login_after.ts';
import { endAtRenewal, type Meant, sessionsMeant } from '../sessions/meant.ts';
import type { CurrentParts } from '../sessions/touches.ts';
import type { Transaction } from '../store/store.ts';
import type { SignalReceivedTable } from '../store/tables.ts';

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

/** What a signal is received with. */
export type SignalParts = CurrentParts &
  Pick<Broker, 'store' | 'identityProvider' | 'transmitters' | 'clock' | 'metrics' | 'refusals' | 'log' | 'now'>;

/** Acknowledged, it does not come again: whoever runs the broker is to see that it hit nobody. */
export function sayUnmatched(log: Broker['log'], what: Readonly<Record<string, unknown>>): void {
  log.warn(what, 'a signal of the identity provider names a person or a session that is not known here');
}

/** @returns how many sessions it was about */
export async function act(
  transaction: Transaction,
  parts: CurrentParts,
  meant: Meant,
  { action, reason, address }: { readonly action: Action; readonly reason: EndReason; readonly address?: string },
  now: Seconds,
): Promise<number> {
  if (action === 'ignore') return 0;
  await transaction.hold(meantHeld(meant));
  const sids = (await sessionsMeant(transaction, meant)).map(({ sid }) => sid);
  const logins: Seconds[] = [];
  // What is over by itself ends as of then, and for that.
  for (const session of await currentSessions(transaction, parts, { sids }, now)) {
    const login_after = laterLogin(session, now);
    logins.push(login_after);
    if (action === 'end') await endSession(transaction, session, { reason, since: now, now, address });
    else await endAtRenewal(transaction, session, reason);
    await requireLoginAfter(transaction, { iss: session.iss, sub: session.sub }, login_after);
  }
  const { iss, sub, idp_sid } = meant;
  // Also where nothing is active: an ID token from before may be on its way, by a clock of the IdP that is ahead.
  const login_after = logins.length > 0 ? latest(now, ...logins) : plus(now, parts.config.identity_provider.clock_skew);
  if (sub !== undefined) await requireLoginAfter(transaction, { iss, sub }, login_after);
  if (idp_sid !== undefined) await requireLoginAfter(transaction, { iss, idp_sid }, login_after);
  return logins.length;
}
