// Whose a bearer token is: a session's of this broker, that of a ServiceAccount which acts for one, or somebody else's. What looks like
// ours and is not is refused, in whatever spelling an API server might read it otherwise.

import { hash, type KeyObject, verify } from 'node:crypto';
import { verifyEs256 } from '../../serving/jws/es256.ts';
import { type CompactJws, parseCompactJws } from '../../serving/jws/jws.ts';
import type { Asked } from '../../shared/gateway_wire.ts';
import { isSeconds, type Seconds } from '../../shared/time.ts';
import { GATEWAY_TOKEN_TYP, gatewayAudience, TOKEN_TYP } from '../../shared/token_typ.ts';
import { isObject } from '../../shared/wire.ts';
import type { Keys } from '../authority/keys.ts';
import type { ServiceAccountKey } from '../config/service_account_keys.ts';
import { forgetOldest } from '../forget_oldest.ts';

/** A token of a session, whose signature was verified. */
export interface SessionToken {
  readonly kind: 'session';
  readonly asked: Asked;
  /** The person, or the ServiceAccount, that the token speaks as. */
  readonly user: string;
  /** Of the broker's key; absent for a ServiceAccount's token. */
  readonly kid?: string | undefined;
  readonly exp: Seconds;
  readonly not_before: Seconds;
  /** Whether no API server takes it: it is to be swapped. */
  readonly for_gateway: boolean;
}

export type Verified =
  | SessionToken
  | { readonly kind: 'other' }
  | { readonly kind: 'invalid' }
  | { readonly kind: 'revoked' };

const OTHER: Verified = { kind: 'other' };
const INVALID: Verified = { kind: 'invalid' };
/** It names a revoked key: its signature is not looked at. */
const REVOKED: Verified = { kind: 'revoked' };
const MOST_TOKENS = 10_000;

export interface VerifierParts {
  readonly issuer: string;
  readonly cluster: string;
  readonly keys: Keys;
  readonly service_account_keys?: readonly ServiceAccountKey[] | undefined;
}

export class Verifier {
  readonly #parts: VerifierParts;
  readonly #known = new Map<string, SessionToken>();
  #service_account_keys: readonly ServiceAccountKey[];

  constructor(parts: VerifierParts) {
    this.#parts = parts;
    this.#service_account_keys = parts.service_account_keys ?? [];
  }

  /** These have signed the cluster's own tokens, and no others. */
  useServiceAccountKeys(keys: readonly ServiceAccountKey[]): void {
    this.#service_account_keys = keys;
    for (const [key, { asked }] of this.#known) if (asked.secret_uid !== undefined) this.#known.delete(key);
  }

  /** Signature, kind and audience alone: times and the session are judged at each request. */
  async verify(token: string): Promise<Verified> {
    // By its hash: a token may have 16 KiB, and those of hours lie here.
    const key = hash('sha256', token, 'base64url');
    const known = this.#known.get(key);
    if (known) return known;
    const verified = await this.#verify(token);
    if (verified.kind !== 'session') return verified;
    this.#known.set(key, verified);
    forgetOldest(this.#known, MOST_TOKENS);
    return verified;
  }

  /** What a revoked key has signed is not believed any more. */
  forget(kid: string): void {
    for (const [key, known] of this.#known) if (known.kid === kid) this.#known.delete(key);
  }

  async #verify(token: string): Promise<Verified> {
    const jws = parseCompactJws(token);
    // An API server decodes more leniently than we do: nothing that could be a JWT to it passes as somebody else's opaque token.
    if (!jws) return token.split('.').length === 3 ? INVALID : OTHER;
    const { typ } = jws.header;
    if (typ === TOKEN_TYP || typ === GATEWAY_TOKEN_TYP || jws.payload.iss === this.#parts.issuer)
      return this.#verifyOurs(jws);
    return this.#verifyServiceAccount(jws);
  }

  async #verifyOurs({ header, payload, signed, signature }: CompactJws): Promise<Verified> {
    const { typ, alg, kid, crit } = header;
    if (alg !== 'ES256' || crit !== undefined || typeof kid !== 'string') return INVALID;
    const { issuer, cluster, keys } = this.#parts;
    const key = await keys.find(kid);
    if (keys.isRevoked(kid)) return REVOKED;
    if (!key || !verifyEs256(signed, key, signature)) return INVALID;
    const for_gateway = typ === GATEWAY_TOKEN_TYP;
    if (!for_gateway && typ !== TOKEN_TYP) return INVALID;
    if (payload.iss !== issuer || payload.aud !== (for_gateway ? gatewayAudience(cluster) : keys.audience))
      return INVALID;
    const { sid, username, exp, nbf } = payload;
    if (typeof sid !== 'string' || typeof username !== 'string' || !isSeconds(exp) || !isSeconds(nbf)) return INVALID;
    return { kind: 'session', asked: { sid }, user: username, kid, exp, not_before: nbf, for_gateway };
  }

  /** One that is bound to a Secret may be a session's: the broker knows. */
  #verifyServiceAccount({ header, payload, signed, signature }: CompactJws): Verified {
    const uid = secretOf(payload);
    if (uid === undefined) return OTHER;
    // Without keys: never somebody else's where it may be a session's, which would pass and not be cut.
    if (this.#service_account_keys.length === 0) return this.#parts.keys.credential === 'token' ? OTHER : INVALID;
    const { sub, exp, nbf } = payload;
    if (header.crit !== undefined) return INVALID;
    if (typeof sub !== 'string' || !isSeconds(exp) || !isSeconds(nbf)) return INVALID;
    const keys = this.#service_account_keys.filter(({ kid }) => kid === undefined || kid === header.kid);
    if (!keys.some(({ key }) => isSignedBy(key, header.alg, signed, signature))) return INVALID;
    return { kind: 'session', asked: { secret_uid: uid }, user: sub, exp, not_before: nbf, for_gateway: false };
  }
}

/** `kubernetes.io`.`secret`.`uid`, as TokenRequest puts it there. */
function secretOf(payload: Readonly<Record<string, unknown>>): string | undefined {
  const bound = payload['kubernetes.io'];
  const secret = isObject(bound) ? bound.secret : undefined;
  return isObject(secret) && typeof secret.uid === 'string' ? secret.uid : undefined;
}

/** RFC 7518 3.1, as far as API servers sign so. */
const HASHES: Readonly<Record<string, string>> = {
  RS256: 'sha256',
  RS384: 'sha384',
  RS512: 'sha512',
  ES256: 'sha256',
  ES384: 'sha384',
  ES512: 'sha512',
};

function isSignedBy(key: KeyObject, alg: unknown, signed: string, signature: Uint8Array): boolean {
  const hash = typeof alg === 'string' && Object.hasOwn(HASHES, alg) ? HASHES[alg] : undefined;
  if (hash === undefined || typeof alg !== 'string') return false;
  if (key.asymmetricKeyType !== (alg.startsWith('RS') ? 'rsa' : 'ec')) return false;
  try {
    return verify(hash, Buffer.from(signed), { key, dsaEncoding: 'ieee-p1363' }, signature);
  } catch {
    return false;
  }
}
