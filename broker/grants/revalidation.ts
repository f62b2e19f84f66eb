// A newer ID token of the same login: the identity provider confirms the account once more. Moves `revalidated_at` and the
// groups; the login stays as old as it was, and no session opens by it.

import { CurfewError } from '../../shared/errors.ts';
import { between, type Seconds } from '../../shared/time.ts';
import type { Broker } from '../broker.ts';
import { groupsTighten } from '../config/clusters.ts';
import type { IdentityProviderSettings } from '../config/settings.ts';
import { findBySid } from '../sessions/find.ts';
import { publishLowered } from '../sessions/lowered.ts';
import type { Session } from '../sessions/session.ts';
import { keepRevalidation } from '../sessions/use.ts';
import { endRenamed } from '../sessions/usernames.ts';
import type { Transaction } from '../store/store.ts';
import type { IdTokenClaims } from '../upstream/id_token.ts';
import { claimedUsername, identityOf } from '../upstream/identity.ts';

/**
 * A token with another name ends the session.
 *
 * @param idToken verified
 * @returns the session as it is now, unchanged where the token is no newer than what was known; or what is wrong with the token:
 *   `id_token_other_login` when it is not of this login, `username` or `groups` as at a login
 */
export async function revalidate(
  transaction: Transaction,
  session: Session,
  idToken: IdTokenClaims,
  { config, touches }: Pick<Broker, 'config' | 'touches'>,
  at: { readonly now: Seconds; readonly address: string },
): Promise<Session | { readonly fault: CurfewError }> {
  const settings = config.identity_provider;
  const renamed = await endIfRenamed(transaction, session, idToken, { config, touches }, at);
  if (renamed) return renamed;
  if (!isOfSameLogin(session, idToken, settings)) {
    return { fault: new CurfewError('id_token_other_login', 'the ID token is of another login than the session') };
  }
  const identity = identityOf(idToken, settings, groupsTighten(config));
  if ('fault' in identity) return identity;
  if (idToken.iat <= session.revalidated_at || session.ended_at !== null) return session;
  const { sid, iss, sub, username, jkt } = session;
  const { groups, idp_groups } = identity;
  const { now, address } = at;
  const change = { revalidated_at: idToken.iat, groups, idp_groups };
  const revalidated = await keepRevalidation(transaction, session, change, now);
  if (JSON.stringify(groups) !== JSON.stringify(session.groups)) publishLowered(transaction, config, session, now);
  const about = { at: now, address, sid, iss, sub, username, jkt };
  await transaction.audit({ event: 'revalidation', ...about, revalidated_at: idToken.iat, groups });
  return revalidated;
}

/** Also where the name that the IdP gives now is unfit, or another person's; not by a token from before the newest one. */
async function endIfRenamed(
  transaction: Transaction,
  { iss, sub, sid, username: before, revalidated_at, ended_at }: Session,
  idToken: IdTokenClaims,
  broker: Pick<Broker, 'config' | 'touches'>,
  at: { readonly now: Seconds; readonly address: string },
): Promise<Session | undefined> {
  if (idToken.iss !== iss || idToken.sub !== sub || ended_at !== null || idToken.iat < revalidated_at) return undefined;
  const username = claimedUsername(idToken, broker.config.identity_provider);
  if (username === undefined || username === before) return undefined;
  await endRenamed(transaction, broker, { iss, sub, username }, at);
  return findBySid(transaction.db, sid);
}

/** Sessions of 0.4.0 do not know the IdP's own `auth_time`: its clock may have been ahead by as much as is tolerated. */
function isOfSameLogin(
  { iss, sub, auth_time, raw_auth_time }: Session,
  idToken: IdTokenClaims,
  { clock_skew }: IdentityProviderSettings,
): boolean {
  if (idToken.iss !== iss || idToken.sub !== sub) return false;
  if (raw_auth_time !== null) return idToken.raw_auth_time === raw_auth_time;
  return idToken.auth_time >= auth_time && between(auth_time, idToken.auth_time) <= clock_skew;
}
