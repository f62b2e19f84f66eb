// A logout token of the identity provider (OpenID Connect Back-Channel Logout 1.0 2.5 to 2.8): ends the sessions that it means,
// durably before it is answered.

import { type Code, CurfewError } from '../../shared/errors.ts';
import type { Broker } from '../broker.ts';
import { requireTime } from '../clock.ts';
import type { Transaction } from '../store/store.ts';
import { LOGOUT_EVENT, type LogoutToken } from '../upstream/logout_token.ts';
import { act, knowsIdpSessions, type Meant, receiveOnce } from './received.ts';

/**
 * @throws CurfewError `logout_token_*`: nothing was ended; `identity_provider` or `store` likewise
 */
export async function receiveLogout(broker: Broker, text: string, address: string): Promise<void> {
  const { identityProvider, store, log, now } = broker;
  requireTime(broker);
  const token = await identityProvider.verifyLogoutToken(text, now());
  const refused = await store.transaction((transaction) => logOut(transaction, broker, token, address));
  if (refused === 'logout_token_unmatched') {
    log.error(
      'the identity provider logs out sessions by a sid that its ID tokens do not carry: nobody is logged out by it',
    );
  }
  if (refused) throw new CurfewError(refused, sayRefused(refused));
}

async function logOut(
  transaction: Transaction,
  broker: Broker,
  token: LogoutToken,
  address: string,
): Promise<Code | undefined> {
  const now = broker.now();
  const { iss, sub, idp_sid, jti } = token;
  if (!(await receiveOnce(transaction, token))) return 'logout_token_replayed';
  const meant = meantBy(token);
  if (sub === undefined && !(await knowsIdpSessions(transaction, iss))) return 'logout_token_unmatched';
  const sessions = await act(transaction, broker, meant, { action: 'end', reason: 'idp_logout', address }, now);
  await transaction.audit({
    ...{ event: 'signal', at: now, address, source: 'backchannel_logout', issuer: iss, type: LOGOUT_EVENT, jti },
    ...{ iss, sub, idp_sid, action: 'end', sessions },
  });
  return undefined;
}

function meantBy({ iss, sub, idp_sid }: LogoutToken): Meant {
  if (sub !== undefined) return { iss, sub, idp_sid };
  if (idp_sid === undefined) throw new TypeError('a logout token that means nobody');
  return { iss, idp_sid };
}

function sayRefused(code: Code): string {
  return code === 'logout_token_replayed'
    ? 'the logout token was received before'
    : 'the ID tokens of this identity provider carry no sid, so that none can be found by it';
}
