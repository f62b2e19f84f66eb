// What an ID token must say (OIDC Core 3.1.3.7), once its signature is known to be good. Pure; each check has one job and one code.

import { sayDuration } from '../../shared/duration.ts';
import { type Code, CurfewError } from '../../shared/errors.ts';
import { between, earliest, isSeconds, over, plus, type Seconds } from '../../shared/time.ts';
import type { CompactJws } from '../jws.ts';
import type { Signed } from './signer.ts';

export interface IdTokenClaims {
  readonly iss: string;
  readonly sub: string;
  readonly aud: readonly string[];
  readonly azp?: string | undefined;
  readonly exp: Seconds;
  /** Never in the future: within the tolerance for clocks it counts as now. */
  readonly iat: Seconds;
  /** When the person last actively authenticated. Never in the future: within the tolerance for clocks it counts as now. */
  readonly auth_time: Seconds;
  readonly nonce?: string | undefined;
  readonly acr?: string | undefined;
  readonly amr?: readonly string[] | undefined;
  /** The IdP's own session, for its logout tokens; never ours. */
  readonly sid?: string | undefined;
  /** What a token is known by when it may be used once. */
  readonly signing_input_hash: string;
  /** All claims as they came, for the mapping to username and groups. */
  readonly claims: Readonly<Record<string, unknown>>;
}

export interface Expected {
  readonly issuer: string;
  readonly client_id: string;
  readonly clock_skew: Seconds;
  readonly id_token_signing_algs: readonly string[];
}

type Payload = CompactJws['payload'];

/**
 * What the header may say. `jku`, `jwk`, `x5u` and `x5c` are not even looked at: keys come from the issuer alone.
 *
 * @throws CurfewError `id_token_invalid` or `id_token_signature`
 */
export function checkHeader({ header }: CompactJws, { id_token_signing_algs }: Expected): Signed {
  const { alg, kid, typ, crit } = header;
  if (typeof alg !== 'string' || !id_token_signing_algs.includes(alg)) {
    throw new CurfewError(
      'id_token_signature',
      `the ID token is not signed with one of ${id_token_signing_algs.join(', ')}`,
    );
  }
  must('id_token_invalid', crit === undefined, 'has a crit header, which is not understood');
  must(
    'id_token_invalid',
    kid === undefined || (typeof kid === 'string' && kid.length <= 256),
    'has an unfit kid header',
  );
  // our own tokens, DPoP proofs, logout tokens and security events have types of their own
  must(
    'id_token_invalid',
    typ === undefined || (typeof typ === 'string' && /^(application\/)?jwt$/i.test(typ)),
    'is of another type',
  );
  return { alg, kid: typeof kid === 'string' ? kid : undefined };
}

/**
 * @throws CurfewError with the code of the first check that fails; no message quotes a claim
 */
export function checkClaims(
  payload: Payload,
  expected: Expected,
  now: Seconds,
): Omit<IdTokenClaims, 'signing_input_hash'> {
  const iss = issuerOf(payload, expected);
  const { aud, azp } = audienceOf(payload, expected);
  const sub = subjectOf(payload);
  const exp = expiryOf(payload, now);
  const iat = issuedAt(payload, expected, now);
  const auth_time = authenticatedAt(payload, expected, now);
  const { acr, amr, sid } = payload;
  return {
    ...{ iss, sub, aud, azp, exp, iat, auth_time },
    nonce: nonceOf(payload),
    acr: isText(acr) ? acr : undefined,
    amr: Array.isArray(amr) && amr.every(isText) ? amr : undefined,
    sid: isText(sid) && sid.length <= 256 ? sid : undefined,
    claims: Object.freeze(payload),
  };
}

function issuerOf({ iss }: Payload, { issuer }: Expected): string {
  must('id_token_issuer', iss === issuer, 'is from another issuer');
  return issuer;
}

function audienceOf({ aud, azp }: Payload, { client_id }: Expected) {
  const audiences: unknown[] = Array.isArray(aud) ? aud : [aud];
  must('id_token_audience', audiences.every(isText) && audiences.includes(client_id), 'is for another client');
  must('id_token_azp', azp !== undefined || audiences.length === 1, 'is for several clients and names none in azp');
  must('id_token_azp', azp === undefined || azp === client_id, 'was issued to another client (azp)');
  return { aud: audiences.filter(isText), azp: azp === undefined ? undefined : client_id };
}

function subjectOf({ sub, events }: Payload): string {
  // a logout token or a security event from the same issuer, for the same client, signed with the same key
  must('id_token_invalid', events === undefined, 'is no ID token but a security event');
  if (isText(sub) && sub.length <= 255 && !/\p{Cc}/u.test(sub)) return sub;
  throw fault('id_token_invalid', 'has no usable sub');
}

function expiryOf({ exp }: Payload, now: Seconds): Seconds {
  if (!isSeconds(exp)) throw fault('id_token_invalid', 'has no usable exp');
  if (!over(exp, now)) return exp;
  throw fault('id_token_expired', `expired ${sayDuration(between(exp, now))} ago, by the clock of the broker`);
}

function issuedAt({ iat, nbf }: Payload, { clock_skew }: Expected, now: Seconds): Seconds {
  if (!isSeconds(iat)) throw fault('id_token_invalid', 'has no usable iat');
  mustNotBeAhead('iat', iat, clock_skew, now);
  if (nbf !== undefined && !isSeconds(nbf)) throw fault('id_token_invalid', 'has an unusable nbf');
  if (nbf !== undefined) mustNotBeAhead('nbf', nbf, clock_skew, now);
  return earliest(iat, now);
}

function authenticatedAt({ auth_time, iat }: Payload, { clock_skew }: Expected, now: Seconds): Seconds {
  if (auth_time === undefined) throw fault('auth_time', 'has no auth_time');
  if (!isSeconds(auth_time)) throw fault('auth_time', 'has an auth_time that is no whole number of seconds since 1970');
  mustNotBeAhead('auth_time', auth_time, clock_skew, now);
  must('auth_time', isSeconds(iat) && auth_time <= plus(iat, clock_skew), 'has an auth_time later than its iat');
  return earliest(auth_time, now);
}

/** The IdP's clock may be ahead by a little; more would move a login into the future, and its end with it. */
function mustNotBeAhead(claim: string, instant: Seconds, clock_skew: Seconds, now: Seconds): void {
  if (instant <= plus(now, clock_skew)) return;
  throw fault(
    'clock',
    `has an ${claim} ${sayDuration(between(now, instant))} in the future, by the clock of the broker`,
  );
}

/** A nonce of the wrong type must not pass for none. */
function nonceOf({ nonce }: Payload): string | undefined {
  if (nonce === undefined || isText(nonce)) return nonce;
  throw fault('id_token_nonce', 'has an unusable nonce');
}

function must(code: Code, holds: boolean, otherwise: string): void {
  if (!holds) throw fault(code, otherwise);
}

function fault(code: Code, what: string): CurfewError {
  return new CurfewError(code, `the ID token ${what}`);
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value.length > 0;
}
