// A security event token (SET, RFC 8417) of a transmitter: verified, and taken apart. What it means is found out elsewhere.

import { type CompactJws, parseCompactJws } from '../../serving/jws/jws.ts';
import { type Code, CurfewError } from '../../shared/errors.ts';
import { numericDate, plus, type Seconds, seconds } from '../../shared/time.ts';
import { isObject } from '../../shared/wire.ts';
import type { Transmitter } from '../config/settings.ts';
import { isName } from '../text/names.ts';
import { notYet, type Published, type Signed, type Signer } from '../upstream/published_keys.ts';

export interface SecurityEventToken {
  readonly iss: string;
  readonly jti: string;
  /** Until when it is remembered that it was received. */
  readonly expires_at: Seconds;
  readonly events: readonly SecurityEvent[];
}

export interface SecurityEvent {
  /** A URI. */
  readonly type: string;
  readonly payload: Readonly<Record<string, unknown>>;
  /** As it came (RFC 9493); `undefined` where there is none. */
  readonly subject: unknown;
}

/** Asymmetric alone, as for ID tokens. */
const ALGS: readonly string[] = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512'];
const MOST_EVENTS = 10;
/** A SET has no end: this old it is taken for a replay, as it is not known any more whether it was received. */
const LONGEST_AGE = seconds(30 * 86_400);

/**
 * Form, type, issuer, key and signature, audience, claims, in this order. Neither `event_timestamp` nor the age of the SET up to
 * 30 days matter: a revocation that comes late is one all the same.
 *
 * @throws CurfewError `set_*`; `identity_provider` when the transmitter's keys are needed and out of reach
 */
export async function verifySet(
  text: string,
  transmitter: Transmitter,
  signer: Pick<Signer<Published>, 'verify' | 'wait'>,
  now: Seconds,
): Promise<SecurityEventToken> {
  const jws = parseCompactJws(text);
  if (!jws) throw fault('set_invalid', 'is not a well-formed JWT');
  const signed = checkHeader(jws);
  if (jws.payload.iss !== transmitter.issuer) throw fault('set_issuer', 'is from another issuer than its transmitter');
  const how = await signer.verify(text, signed);
  if (how === 'unknown_yet') throw notYet('transmitter', signer.wait());
  if (how === 'unknown_key') throw fault('set_key', 'names a key that the transmitter does not publish');
  if (how === 'bad') throw fault('set_key', 'has a signature that is not by the transmitter');
  return checkClaims(jws, transmitter, now);
}

function checkHeader({ header: { alg, kid, typ, crit } }: CompactJws): Signed {
  // RFC 8417 2.3: so that no other token of the same issuer passes for one
  if (typeof typ !== 'string' || !/^(application\/)?secevent\+jwt$/i.test(typ)) {
    throw fault('set_invalid', 'is not of the type secevent+jwt');
  }
  if (crit !== undefined) throw fault('set_invalid', 'has a crit header, which is not understood');
  if (typeof alg !== 'string' || !ALGS.includes(alg))
    throw fault('set_key', 'is not signed with an algorithm that is taken');
  if (kid !== undefined && (typeof kid !== 'string' || kid.length > 256))
    throw fault('set_key', 'has an unfit kid header');
  return { alg, kid: typeof kid === 'string' ? kid : undefined };
}

function checkClaims({ payload }: CompactJws, { issuer, audience }: Transmitter, now: Seconds): SecurityEventToken {
  const { aud, jti, events, sub_id } = payload;
  // A fraction of a second goes to the side on which it still acts.
  const iat = numericDate(payload.iat, 'up');
  const audiences: unknown[] = Array.isArray(aud) ? aud : [aud];
  if (!audiences.includes(audience)) throw fault('set_audience', 'is for another audience');
  if (!isName(jti)) throw fault('set_invalid', 'has no usable jti');
  if (iat === undefined) throw fault('set_invalid', 'has no usable iat');
  if (plus(iat, LONGEST_AGE) <= now) throw fault('set_invalid', 'is older than 30 days');
  const entries = isObject(events) ? Object.entries(events) : [];
  if (entries.length === 0 || entries.length > MOST_EVENTS) throw fault('set_invalid', 'has no usable events');
  const parsed = entries.map(([type, event]): SecurityEvent => {
    if (!isObject(event)) throw fault('set_invalid', 'has an event that is not an object');
    if (!isName(type)) throw fault('set_invalid', 'has an event without a usable type');
    // SSF 1.0 has it beside the events, its drafts within them
    return { type, payload: event, subject: sub_id ?? event.subject };
  });
  const remembered = plus(iat > now ? iat : now, plus(LONGEST_AGE, seconds(86_400)));
  return { iss: issuer, jti, expires_at: remembered, events: parsed };
}

function fault(code: Code, what: string): CurfewError {
  return new CurfewError(code, `the SET ${what}`);
}
