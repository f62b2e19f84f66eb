// Whether a text is a Kubernetes token of ours that is not over. Strict: one algorithm, one type, our own keys; a session
// handle, an ID token or anything else is none (T1, T7).

import { createPublicKey, type KeyObject, verify } from 'node:crypto';
import { isSeconds, over, type Seconds } from '../shared/time.ts';
import { parseCompactJws } from './jws.ts';
import type { Keys, PublicJwk } from './keys.ts';
import { TOKEN_TYP, type TokenClaims } from './mint.ts';

/** @returns its claims, or `undefined` for what is no such token, or over */
export function verifyToken(
  { keys, config }: { readonly keys: Keys; readonly config: { readonly issuer: string } },
  text: string,
  now: Seconds,
): TokenClaims | undefined {
  const jws = parseCompactJws(text);
  if (!jws) return undefined;
  const { typ, alg, kid, crit } = jws.header;
  const jwk = keys.jwks.keys.find((candidate) => candidate.kid === kid);
  if (typ !== TOKEN_TYP || alg !== 'ES256' || crit !== undefined || !jwk) return undefined;
  const key = { key: publicKey(jwk), dsaEncoding: 'ieee-p1363' } as const;
  if (!verify('sha256', Buffer.from(jws.signed), key, jws.signature)) return undefined;
  // Signed by us, so its claims are of the shape in which we mint them; only whose and until when is asked here.
  const claims = jws.payload as unknown as TokenClaims;
  return claims.iss === config.issuer && isSeconds(claims.exp) && !over(claims.exp, now) ? claims : undefined;
}

const imported = new WeakMap<PublicJwk, KeyObject>();

function publicKey(jwk: PublicJwk): KeyObject {
  const key = imported.get(jwk) ?? createPublicKey({ key: { ...jwk }, format: 'jwk' });
  imported.set(jwk, key);
  return key;
}
