// Verifies tokens that this broker signed, for API servers, gateways and targets, as strictly as they were minted. Whether their session still lives is
// the caller's to find out: a token alone says nothing of that.

import { createPublicKey, hash, type KeyObject } from 'node:crypto';
import { verifyEs256 } from '../../serving/jws/es256.ts';
import { type CompactJws, parseCompactJws } from '../../serving/jws/jws.ts';
import { isSeconds, over, type Seconds } from '../../shared/time.ts';
import { GATEWAY_TOKEN_TYP, TARGET_TOKEN_TYP, TOKEN_TYP, type TokenTyp } from '../../shared/token_typ.ts';
import { isObject } from '../../shared/wire.ts';
import { gatewayAudienceOf } from '../config/clusters.ts';
import type { Cluster, Config } from '../config/settings.ts';
import type { TargetSettings } from '../config/target_settings.ts';
import type { Keys } from './keys.ts';
import type { TargetTokenClaims, TokenClaims } from './mint.ts';
import type { PublicJwk } from './sealed_key.ts';

interface Parts {
  readonly config: Pick<Config, 'issuer' | 'clusters'>;
  readonly keys: Pick<Keys, 'jwks'>;
}

/**
 * Checks own key, `typ`, `alg`, `iss`, `aud` (of a cluster there is), the times, and that every claim has its form.
 *
 * @param now by the broker's clock; at `exp` it is over, before `nbf` it is not yet good, without tolerance
 * @returns `undefined` for whatever is not a token of ours that is good now
 */
export function verifyToken(parts: Parts, text: string, now: Seconds): TokenClaims | undefined {
  return verify(parts, TOKEN_TYP, ({ audience }) => audience, text, now);
}

/** The same for a token that is for the gateway of a cluster alone. */
export function verifyGatewayToken(parts: Parts, text: string, now: Seconds): TokenClaims | undefined {
  return verify(parts, GATEWAY_TOKEN_TYP, gatewayAudienceOf, text, now);
}

/** A token for a target, and which. That it is bound to a key is for whoever asks to check: `cnf.jkt` must be the proof's. */
export interface VerifiedTargetToken {
  readonly claims: TargetTokenClaims;
  readonly target: TargetSettings;
  /** Of the key that signed it. */
  readonly kid: string;
}

/**
 * The same for a token for the gateway of targets: the target that it names has its audience.
 *
 * @param now at `exp` it is over, without tolerance
 */
export function verifyTargetToken(
  { config, keys }: { readonly config: Pick<Config, 'issuer' | 'targets'>; readonly keys: Pick<Keys, 'jwks'> },
  text: string,
  now: Seconds,
): VerifiedTargetToken | undefined {
  const { claims, kid = '' } = signedClaims(keys, TARGET_TOKEN_TYP, text) ?? {};
  if (!isTargetTokenClaims(claims) || !isGoodNow(config, claims, now)) return undefined;
  const target = config.targets.find(({ audience, name }) => audience === claims.aud && name === claims.target);
  return target && { claims, target, kid };
}

function verify(
  { config, keys }: Parts,
  wanted: TokenTyp,
  audienceOf: (cluster: Cluster) => string | undefined,
  text: string,
  now: Seconds,
): TokenClaims | undefined {
  const { claims } = signedClaims(keys, wanted, text) ?? {};
  if (!isTokenClaims(claims) || !isGoodNow(config, claims, now)) return undefined;
  return config.clusters.some((cluster) => audienceOf(cluster) === claims.aud) ? claims : undefined;
}

function isGoodNow(
  { issuer }: Pick<Config, 'issuer'>,
  { iss, iat, nbf, exp }: Pick<TokenClaims, 'iss' | 'iat' | 'nbf' | 'exp'>,
  now: Seconds,
): boolean {
  return iss === issuer && !over(exp, now) && nbf <= now && exp > iat;
}

/** What one of our keys has signed as a token of this kind, and which key. */
function signedClaims(
  keys: Pick<Keys, 'jwks'>,
  wanted: TokenTyp | typeof TARGET_TOKEN_TYP,
  text: string,
): { readonly claims: unknown; readonly kid: string } | undefined {
  const jws = parseCompactJws(text);
  if (!jws) return undefined;
  const { typ, alg, kid, crit } = jws.header;
  if (typ !== wanted || alg !== 'ES256' || crit !== undefined) return undefined;
  // The key is one of ours by its id: keys and addresses of keys in the token are not looked at.
  const jwk = keys.jwks.keys.find((candidate) => candidate.kid === kid);
  if (!jwk) return undefined;
  return isSignedBy(jwk, text, jws) ? { claims: jws.payload, kid: jwk.kid } : undefined;
}

/** Of each key, the hashes of tokens that it was found to have signed, oldest first: who asks, asks about the same ones. */
const found = new WeakMap<PublicJwk, Set<string>>();
const MOST_FOUND = 10_000;

/** Whatever else is to be true of a token is looked at each time. */
function isSignedBy(jwk: PublicJwk, text: string, { signed, signature }: CompactJws): boolean {
  const id = hash('sha256', text, 'base64url');
  const known = found.get(jwk) ?? new Set();
  if (known.has(id)) return true;
  if (!verifyEs256(signed, importKey(jwk), signature)) return false;
  const [oldest] = known.size < MOST_FOUND ? [] : known;
  if (oldest !== undefined) known.delete(oldest);
  found.set(jwk, known.add(id));
  return true;
}

const imported = new WeakMap<PublicJwk, KeyObject>();

/** Importing a key costs as much as verifying with it. */
function importKey(jwk: PublicJwk): KeyObject {
  const known = imported.get(jwk);
  if (known) return known;
  const { kty, crv, x, y } = jwk;
  const key = createPublicKey({ key: { kty, crv, x, y }, format: 'jwk' });
  imported.set(jwk, key);
  return key;
}

function isTokenClaims(value: unknown): value is TokenClaims {
  if (!isObject(value)) return false;
  const { groups, acr } = value;
  return (
    [value.iss, value.aud, value.sub, value.username, value.sid, value.jti].every(isText) &&
    [value.iat, value.nbf, value.exp, value.auth_time].every(isSeconds) &&
    Array.isArray(groups) &&
    groups.every(isText) &&
    (acr === undefined || isText(acr))
  );
}

function isTargetTokenClaims(value: unknown): value is TargetTokenClaims {
  if (!isObject(value)) return false;
  const { cnf, account } = value;
  return (
    [value.iss, value.aud, value.sub, value.username, value.sid, value.jti, value.target].every(isText) &&
    [value.iat, value.nbf, value.exp].every(isSeconds) &&
    isObject(cnf) &&
    isText(cnf.jkt) &&
    (account === undefined || isText(account))
  );
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}
