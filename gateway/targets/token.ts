// The token for a target, and the proof of whoever holds its key (RFC 9449 7): looked at before the broker is asked, which verifies the token
// again, uses the proof up and decides.

import { hash } from 'node:crypto';
import { PROOF_WINDOW_SECONDS, type ProofRead, type ProofReader } from '../../serving/jws/dpop.ts';
import { verifyEs256 } from '../../serving/jws/es256.ts';
import { parseCompactJws } from '../../serving/jws/jws.ts';
import { CurfewError } from '../../shared/errors.ts';
import { isId } from '../../shared/gateway_events.ts';
import { between, isSeconds, over, type Seconds } from '../../shared/time.ts';
import { TARGET_TOKEN_TYP } from '../../shared/token_typ.ts';
import { isObject } from '../../shared/wire.ts';
import type { Keys } from '../authority/keys.ts';
import { badProof, KEY_REVOKED, type Refusal, UNAUTHORIZED } from '../words.ts';
import type { Presented } from './presented.ts';

/** The broker's clock is known to the second, and that of its replicas differs. */
const EARLY_SECONDS = 60;

export interface TargetToken {
  readonly sid: string;
  readonly username: string;
  /** Of the broker's key. */
  readonly kid: string;
  /** Thumbprint of the key of whoever may present it. */
  readonly jkt: string;
}

export interface TokenParts {
  readonly issuer: string;
  readonly keys: Pick<Keys, 'find' | 'isRevoked'>;
  /** The broker's. */
  readonly now: () => Seconds | undefined;
}

/** All of it but the audience, which the broker knows of each target, and whether its session may. */
export async function verifyTargetToken(
  { issuer, keys, now }: TokenParts,
  { token, target }: Presented,
): Promise<TargetToken | Refusal> {
  const jws = parseCompactJws(token);
  if (!jws) return UNAUTHORIZED;
  const { typ, alg, kid, crit } = jws.header;
  if (typ !== TARGET_TOKEN_TYP || alg !== 'ES256' || crit !== undefined || typeof kid !== 'string') return UNAUTHORIZED;
  const key = await keys.find(kid);
  if (keys.isRevoked(kid)) return KEY_REVOKED;
  if (!key || !verifyEs256(jws.signed, key, jws.signature)) return UNAUTHORIZED;
  const { iss, sid, username, exp, nbf, cnf, target: named } = jws.payload;
  if (iss !== issuer || named !== target) return UNAUTHORIZED;
  if (!isId(sid) || typeof username !== 'string' || !isSeconds(exp) || !isSeconds(nbf)) return UNAUTHORIZED;
  if (!isObject(cnf) || typeof cnf.jkt !== 'string') return UNAUTHORIZED;
  const at = now();
  if (at === undefined || over(exp, at) || between(at, nbf) > EARLY_SECONDS) return UNAUTHORIZED;
  return { sid, username, kid, jkt: cnf.jkt };
}

/**
 * @param url that the proof must speak of
 * @returns what the broker uses up; a refusal where it does not go with the token, or is not of now
 */
export function verifyProof(
  reader: ProofReader,
  { proof, token }: Presented,
  { jkt }: TargetToken,
  url: string,
  now: Seconds | undefined,
): ProofRead | Refusal {
  let read: ProofRead;
  try {
    read = reader.read(proof, { method: 'GET', url });
  } catch (error) {
    if (!(error instanceof CurfewError)) throw error;
    return badProof(error.message);
  }
  if (read.ath !== hash('sha256', token, 'base64url')) return badProof('the DPoP proof is for another token');
  if (read.jkt !== jkt) return badProof('the DPoP proof is by another key than the token is bound to');
  if (!isId(read.jti)) return badProof('the DPoP proof has no proper jti');
  if (now === undefined || apart(read.iat, now) > PROOF_WINDOW_SECONDS)
    return badProof('the DPoP proof is not of now: is the clock right?');
  return read;
}

function apart(one: Seconds, other: Seconds): number {
  return Math.max(between(one, other), between(other, one));
}
