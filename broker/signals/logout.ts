// A logout token of the identity provider (OpenID Connect Back-Channel Logout 1.0 2.5 to 2.8): ends the sessions that it means,
// durably before it is answered.

import { CurfewError } from '../../shared/errors.ts';
import { LOGOUT_EVENT } from '../audit_log/signals.ts';
import { requireTime } from '../clock/clock.ts';
import { meantHeld } from '../sessions/holds.ts';
import { isKnown, knowsIdpSessions, type Meant } from '../sessions/meant.ts';
import type { Transaction } from '../store/store.ts';
import type { LogoutToken } from '../upstream/logout_token.ts';
import { act, receiveOnce, type SignalParts, sayUnmatched } from './act.ts';

/**
 * @throws CurfewError `logout_token_*`: nothing was ended; `identity_provider` or `store` likewise
 */
export async function receiveLogout(broker: SignalParts, text: string, address: string): Promise<void> {
  const { identityProvider, store, log, now } = broker;
  requireTime(broker);
  const token = await identityProvider.verifyLogoutToken(text, now());
  const outcome = await store.transaction((transaction) => logOut(transaction, broker, token, address));
  switch (outcome) {
    case 'done':
      return;
    case 'unmatched':
      return sayUnmatched(log, { source: 'backchannel_logout', jti: token.jti });
    case 'logout_token_unmatched':
      log.error(
        'the identity provider logs out sessions by a sid that its ID tokens do not carry: nobody is logged out by it',
      );
      throw new CurfewError(
        outcome,
        'the ID tokens of this identity provider carry no sid, so that none can be found by it',
      );
    case 'logout_token_replayed':
      throw new CurfewError(outcome, 'the logout token was received before');
  }
}

type LogoutOutcome = 'done' | 'unmatched' | 'logout_token_replayed' | 'logout_token_unmatched';

async function logOut(
  transaction: Transaction,
  broker: SignalParts,
  token: LogoutToken,
  address: string,
): Promise<LogoutOutcome> {
  const now = broker.now();
  const { iss, sub, idp_sid, jti } = token;
  const meant = meantBy(token);
  await transaction.hold(meantHeld(meant));
  if (!(await receiveOnce(transaction, 'logout_token', token))) return 'logout_token_replayed';
  if (sub === undefined && !(await knowsIdpSessions(transaction, iss))) return 'logout_token_unmatched';
  const known = await isKnown(transaction, meant);
  const sessions = await act(transaction, broker, meant, { action: 'end', reason: 'idp_logout', address }, now);
  await transaction.audit({
    ...{ event: 'signal', at: now, address, source: 'backchannel_logout', issuer: iss, type: LOGOUT_EVENT, jti },
    ...{ iss, sub, idp_sid, action: 'end', sessions, ...(!known && { unmatched: true }) },
  });
  return known ? 'done' : 'unmatched';
}

function meantBy({ iss, sub, idp_sid }: LogoutToken): Meant {
  if (sub !== undefined) return { iss, sub, idp_sid };
  if (idp_sid === undefined) throw new TypeError('a logout token that means nobody');
  return { iss, idp_sid };
}
