// DPoP proofs (RFC 9449): that a request comes from the holder of a key. Checks all of 4.3; using a proof up is the store's.

import { createHmac, createPublicKey, createSecretKey, hash as hashOf, type KeyObject } from 'node:crypto';
import { verifyEs256 } from '../../serving/jws/es256.ts';
import { parseCompactJws } from '../../serving/jws/jws.ts';
import { CurfewError } from '../../shared/errors.ts';
import { memo } from '../../shared/memo.ts';
import { between, type Clock, isSeconds, type Seconds } from '../../shared/time.ts';
import { isObject } from '../../shared/wire.ts';
import { derivedKeys, type Encryption, isMadeBy } from '../encryption.ts';

/** How far a proof's `iat`, or the age of its nonce, may be from now, in seconds. */
export const PROOF_WINDOW_SECONDS = 60;
/** Imported keys that are kept: importing one costs as much as verifying with it. */
const MOST_KEYS = 10_000;

const NONCE = /^([0-9a-z]{1,11})[.]([A-Za-z0-9_-]{22})$/;

export interface Proof {
  /** Thumbprint of the key (RFC 7638). */
  readonly jkt: string;
  /** Identity of the proof, and the minute it speaks of: together they are used up once. */
  readonly hash: Uint8Array;
  readonly minute: number;
  /** Hash of the handle that it was made for, where it goes with one in `Authorization` (RFC 9449 4.2). */
  readonly ath?: string | undefined;
}

export interface ProofVerifier {
  /**
   * @param header the `DPoP` header as it came
   * @param request the method and URL that the proof must speak of; of `url` neither query nor fragment counts
   * @throws CurfewError `proof_invalid`, or `proof_nonce` when it must carry a nonce of ours
   */
  verify(header: string | undefined, request: { method: string; url: string }): Proof;
  /** A nonce that is good for the next 60 seconds, on each replica that has the same secret (RFC 9449 8). */
  nonce(): string;
}

export function createProofVerifier(encryption: Encryption, now: Clock): ProofVerifier {
  const importKey = memo(MOST_KEYS, ({ jwk }: { jkt: string; jwk: EcJwk }) => importPublic(jwk), {
    keyOf: ({ jkt }) => jkt,
  });
  const secrets = derivedKeys(encryption, (key) =>
    createSecretKey(createHmac('sha256', key).update('dpop-nonce').digest()),
  );
  const macBy = (secret: KeyObject, time: string) => createHmac('sha256', secret).update(time).digest().subarray(0, 16);
  const nonce = () => {
    const time = now().toString(36);
    return `${time}.${macBy(secrets()[0], time).toString('base64url')}`;
  };

  /** The instant at which a nonce of ours was made. */
  const timeOfNonce = (text: unknown): Seconds | undefined => {
    const [, time = '', tag = ''] = typeof text === 'string' ? (NONCE.exec(text) ?? []) : [];
    const given = Buffer.from(tag, 'base64url');
    if (given.toString('base64url') !== tag || !isMadeBy(secrets(), given, (secret) => macBy(secret, time)))
      return undefined;
    const instant = Number.parseInt(time, 36);
    return isSeconds(instant) ? instant : undefined;
  };

  return {
    nonce,
    verify(header, { method, url }) {
      const jws = parseCompactJws(header ?? '');
      if (!jws)
        throw invalid(header === undefined ? 'a DPoP proof is required' : 'the DPoP proof is not one compact JWS');
      const { typ, alg, jwk, crit } = jws.header;
      if (typ !== 'dpop+jwt') throw invalid('the DPoP proof has another typ');
      if (alg !== 'ES256') throw invalid('the DPoP proof must be signed by ES256');
      if (crit !== undefined) throw invalid('the DPoP proof has critical headers');
      if (!isEcJwk(jwk)) throw invalid('the DPoP proof carries no public P-256 key');
      const jkt = thumbprint(jwk);
      const key = importKey({ jkt: jkt, jwk: jwk });
      if (!verifyEs256(jws.signed, key, jws.signature)) {
        throw invalid("the DPoP proof's signature does not verify");
      }
      const { htm, htu, jti, iat, ath, nonce: given } = jws.payload;
      if (htm !== method) throw invalid('the DPoP proof is for another method');
      if (!sameUrl(htu, url)) throw invalid('the DPoP proof is for another URL');
      if (!isProofId(jti)) throw invalid('the DPoP proof has no proper jti');
      if (!isSeconds(iat)) throw invalid('the DPoP proof has no proper iat');
      const reference = given === undefined ? iat : timeOfNonce(given);
      // With a nonce of ours `iat` is not judged: a laptop with a wrong clock can go on.
      if (reference === undefined || apart(reference, now()) > PROOF_WINDOW_SECONDS) {
        throw new CurfewError('proof_nonce', "use the broker's DPoP nonce");
      }
      return { ...usedUpAs(jkt, jti, reference), ...(typeof ath === 'string' && { ath }) };
    },
  };
}

/**
 * What is used up of a proof that somebody else has verified: a gateway.
 *
 * @returns `undefined` for one whose `jti` or `iat` would not be taken here: it could not be remembered for as long as it is good
 */
export function proofOf(
  { jti, jkt, iat }: { readonly jti: string; readonly jkt: string; readonly iat: Seconds },
  now: Seconds,
): Proof | undefined {
  return isProofId(jti) && apart(iat, now) <= PROOF_WINDOW_SECONDS ? usedUpAs(jkt, jti, iat) : undefined;
}

function isProofId(jti: unknown): jti is string {
  return typeof jti === 'string' && jti.length >= 8 && jti.length <= 256;
}

function usedUpAs(jkt: string, jti: string, reference: Seconds): Proof {
  return { jkt, hash: hashOf('sha256', `${jkt}.${jti}`, 'buffer'), minute: Math.floor(reference / 60) };
}

/** Seconds within which a proof that was verified is used up: an ID token beside it may have to wait for the IdP's keys. */
const USED_WITHIN_SECONDS = 60;

/** The first minute whose proofs could still be taken: proofs of earlier ones need not be remembered. */
export function firstLiveMinute(now: Seconds): number {
  return Math.floor((now - PROOF_WINDOW_SECONDS - USED_WITHIN_SECONDS) / 60);
}

interface EcJwk {
  readonly kty: 'EC';
  readonly crv: 'P-256';
  readonly x: string;
  readonly y: string;
}

function isEcJwk(jwk: unknown): jwk is EcJwk {
  if (!isObject(jwk) || jwk.kty !== 'EC' || jwk.crv !== 'P-256' || 'd' in jwk) return false;
  return isForSignatures(jwk) && [jwk.x, jwk.y].every(isCoordinate);
}

/** A key may say what it is for (RFC 7517 4.2 to 4.4): one that is for anything else makes no proofs. */
function isForSignatures({
  use = 'sig',
  alg = 'ES256',
  key_ops = ['verify'],
}: Readonly<Record<string, unknown>>): boolean {
  const verifies = Array.isArray(key_ops) && key_ops.length === 1 && key_ops[0] === 'verify';
  return use === 'sig' && alg === 'ES256' && verifies;
}

/** 32 bytes in their one spelling: the last character has bits to spare, and one key must have one thumbprint. */
function isCoordinate(part: unknown): boolean {
  return (
    typeof part === 'string' && part.length === 43 && Buffer.from(part, 'base64url').toString('base64url') === part
  );
}

/** RFC 7638 3.2: the required members in lexicographic order. */
function thumbprint({ crv, kty, x, y }: EcJwk): string {
  return hashOf('sha256', JSON.stringify({ crv, kty, x, y }), 'base64url');
}

function importPublic({ kty, crv, x, y }: EcJwk): KeyObject {
  try {
    return createPublicKey({ key: { kty, crv, x, y }, format: 'jwk' });
  } catch (cause) {
    throw invalid("the DPoP proof's key is not a point of P-256", cause);
  }
}

function sameUrl(htu: unknown, url: string): boolean {
  if (typeof htu !== 'string' || !URL.canParse(htu)) return false;
  return bare(htu) === bare(url);
}

/** Without query and fragment (RFC 9449 4.3); a name or a password in it makes it another URL. */
function bare(text: string): string {
  const url = new URL(text);
  url.search = '';
  url.hash = '';
  return url.href;
}

function apart(a: Seconds, b: Seconds): number {
  return Math.max(between(a, b), between(b, a));
}

function invalid(message: string, cause?: unknown): CurfewError {
  return new CurfewError('proof_invalid', message, { cause });
}
