// What an ID token must say (OIDC Core 3.1.3.7), once its signature is known to be good. Pure; each check has one job and one code.

import type { CompactJws } from '../../serving/jws/jws.ts';
import { sayDuration } from '../../shared/duration.ts';
import { type Code, CurfewError } from '../../shared/errors.ts';
import { between, earliest, numericDate, over, plus, type Seconds } from '../../shared/time.ts';
import { faultOfName } from '../text/names.ts';
import type { Signed } from './published_keys.ts';

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
  /** As the IdP says it, by its own clock: what is told of logins by it is compared with this. */
  readonly raw_auth_time: Seconds;
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

/** OIDC Core 2. */
const LONGEST_SUB = 255;
const MOST_METHODS = 50;

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
  const raw_auth_time = authenticatedAt(payload, expected, now);
  return {
    ...{ iss, sub, aud, azp, exp, iat, raw_auth_time, auth_time: earliest(raw_auth_time, now) },
    nonce: nonceOf(payload),
    acr: acrOf(payload),
    amr: amrOf(payload),
    sid: sidOf(payload),
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
  must('id_token_invalid', events === undefined, 'is a security event, not an ID token');
  const unfit = faultOfName(sub, LONGEST_SUB);
  if (unfit) throw fault('id_token_invalid', `has no usable sub: it ${unfit}`);
  return String(sub);
}

function expiryOf(payload: Payload, now: Seconds): Seconds {
  const exp = numericDate(payload.exp, 'down');
  if (exp === undefined) throw fault('id_token_invalid', 'has no usable exp');
  if (!over(exp, now)) return exp;
  throw fault('id_token_expired', `expired ${sayDuration(between(exp, now))} ago, by the clock of the broker`);
}

function issuedAt(payload: Payload, { clock_skew }: Expected, now: Seconds): Seconds {
  const iat = numericDate(payload.iat, 'down');
  if (iat === undefined) throw fault('id_token_invalid', 'has no usable iat');
  mustNotBeAhead('iat', iat, clock_skew, now);
  if (isGiven(payload.nbf)) {
    const nbf = numericDate(payload.nbf, 'up');
    if (nbf === undefined) throw fault('id_token_invalid', 'has an unusable nbf');
    mustNotBeAhead('nbf', nbf, clock_skew, now);
  }
  return earliest(iat, now);
}

function authenticatedAt(payload: Payload, { clock_skew }: Expected, now: Seconds): Seconds {
  if (payload.auth_time === undefined) throw fault('auth_time', 'has no auth_time');
  const auth_time = numericDate(payload.auth_time, 'down');
  const iat = numericDate(payload.iat, 'down');
  if (auth_time === undefined) throw fault('auth_time', 'has an auth_time that is not a number of seconds since 1970');
  mustNotBeAhead('auth_time', auth_time, clock_skew, now);
  must('auth_time', iat !== undefined && auth_time <= plus(iat, clock_skew), 'has an auth_time later than its iat');
  return auth_time;
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

/** OIDC Core 2 has a text. Whatever else stands there was meant to say how strong the login is, and is not to pass for silence. */
function acrOf({ acr }: Payload): string | undefined {
  if (!isGiven(acr)) return undefined;
  const unfit = faultOfName(acr);
  if (unfit) throw fault('acr', `has an acr that ${unfit}`);
  return String(acr);
}

/** OIDC Core 2 has a list of texts; many send one text for a list of one. */
function amrOf({ amr }: Payload): readonly string[] | undefined {
  if (!isGiven(amr)) return undefined;
  // methods have no separators in their names (RFC 8176): one text with some is a list in a form that is not known
  if (typeof amr === 'string' && /[\s,;[\]{}"]/.test(amr))
    throw fault('amr', 'has several methods in one text as its amr');
  const list: unknown = typeof amr === 'string' ? [amr] : amr;
  if (!Array.isArray(list)) throw fault('amr', 'has an amr that is not a list of texts');
  if (list.length > MOST_METHODS) throw fault('amr', `has an amr of more than ${MOST_METHODS} methods`);
  for (const method of list) {
    const unfit = faultOfName(method);
    if (unfit) throw fault('amr', `has a method in its amr that ${unfit}`);
  }
  return list as string[];
}

/** Dropped, a logout of that session would not find what was opened in it. */
function sidOf({ sid }: Payload): string | undefined {
  if (!isGiven(sid)) return undefined;
  const unfit = faultOfName(sid);
  if (unfit) throw fault('id_token_invalid', `has an unusable sid: it ${unfit}`);
  return String(sid);
}

/** Some servers write null, or an empty text, for what they do not have. */
function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null && value !== '';
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
