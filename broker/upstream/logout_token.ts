// A logout token's header and claims (OpenID Connect Back-Channel Logout 1.0 2.4, 2.6), checked. Pure; the signature and whether
// it was received before are found out elsewhere.

import type { CompactJws } from '../../serving/jws/jws.ts';
import { sayDuration } from '../../shared/duration.ts';
import { CurfewError } from '../../shared/errors.ts';
import { between, numericDate, over, plus, type Seconds, seconds } from '../../shared/time.ts';
import { isObject } from '../../shared/wire.ts';
import { LOGOUT_EVENT } from '../audit_log/signals.ts';
import { isName } from '../text/names.ts';
import type { Expected } from './id_token.ts';
import type { Signed } from './published_keys.ts';

export interface LogoutToken {
  readonly iss: string;
  readonly jti: string;
  /** The person; at least one of this and the next is there. */
  readonly sub?: string | undefined;
  /** The session at the identity provider, as ID tokens name it in `sid`. */
  readonly idp_sid?: string | undefined;
  /** From when on it is refused for its age. */
  readonly expires_at: Seconds;
}

/** How old one without `exp` may be: two minutes, as 2.4 advises for its life. */
const LIFE = seconds(120);

/** @throws CurfewError `logout_token_invalid` */
export function checkLogoutHeader({ header }: CompactJws, { id_token_signing_algs }: Expected): Signed {
  const { alg, kid, typ, crit } = header;
  if (typeof alg !== 'string' || !id_token_signing_algs.includes(alg)) {
    throw fault(`is not signed with one of ${id_token_signing_algs.join(', ')}`);
  }
  must(crit === undefined, 'has a crit header, which is not understood');
  must(kid === undefined || (typeof kid === 'string' && kid.length <= 256), 'has an unfit kid header');
  // `logout+jwt` where the IdP says what it is; many say JWT, or nothing
  must(
    typ === undefined || (typeof typ === 'string' && /^(application\/)?(logout\+)?jwt$/i.test(typ)),
    'is of another type',
  );
  return { alg, kid: typeof kid === 'string' ? kid : undefined };
}

/** @throws CurfewError `logout_token_invalid`; no message quotes a claim */
export function checkLogoutClaims(payload: CompactJws['payload'], expected: Expected, now: Seconds): LogoutToken {
  const { iss, aud, iat, exp, jti, events, nonce, sub, sid } = payload;
  must(iss === expected.issuer, 'is from another issuer');
  const audiences: unknown[] = Array.isArray(aud) ? aud : [aud];
  must(audiences.includes(expected.client_id), 'is for another client');
  must(isObject(events) && isObject(events[LOGOUT_EVENT]), 'has no event of a back-channel logout');
  // so that no ID token passes for one
  must(nonce === undefined, 'has a nonce');
  if (!isName(jti)) throw fault('has no usable jti');
  const person = nameOf(sub, 'sub');
  const session = nameOf(sid, 'sid');
  must(person !== undefined || session !== undefined, 'names neither a person (sub) nor a session (sid)');
  // A fraction of a second goes to the side on which it still acts.
  const [issued, issued_at_most] = [numericDate(iat, 'down'), numericDate(iat, 'up')];
  if (issued === undefined || issued_at_most === undefined) throw fault('has no usable iat');
  must(issued <= plus(now, expected.clock_skew), 'has an iat in the future, by the clock of the broker');
  const given = exp ?? undefined;
  const expires_at = given === undefined ? plus(issued_at_most, LIFE) : numericDate(given, 'up');
  if (expires_at === undefined) throw fault('has an unusable exp');
  if (over(expires_at, now))
    throw fault(`expired ${sayDuration(between(expires_at, now))} ago, by the clock of the broker`);
  return {
    ...{ iss: expected.issuer, jti, expires_at },
    ...(person !== undefined && { sub: person }),
    ...(session !== undefined && { idp_sid: session }),
  };
}

/** Null is none, as some servers write it. */
function nameOf(value: unknown, claim: string): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (isName(value)) return value;
  throw fault(`has an unusable ${claim}`);
}

function must(holds: boolean, otherwise: string): void {
  if (!holds) throw fault(otherwise);
}

function fault(what: string): CurfewError {
  return new CurfewError('logout_token_invalid', `the logout token ${what}`);
}
