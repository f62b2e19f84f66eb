// What a DPoP proof says (RFC 9449): all of 4.3 but whether it is of now, and whether it was used before. These are for whoever reads it.

import { createPublicKey, hash, type KeyObject } from 'node:crypto';
import { CurfewError } from '../../shared/errors.ts';
import { memo } from '../../shared/memo.ts';
import { isSeconds, type Seconds } from '../../shared/time.ts';
import { isObject } from '../../shared/wire.ts';
import { verifyEs256 } from './es256.ts';
import { parseCompactJws } from './jws.ts';

/** How far a proof's `iat`, or the age of its nonce, may be from now, in seconds. */
export const PROOF_WINDOW_SECONDS = 60;
/** Imported keys that are kept: importing one costs as much as verifying with it. */
const MOST_KEYS = 10_000;

export interface ProofRead {
  /** Thumbprint of the key (RFC 7638). */
  readonly jkt: string;
  readonly jti: string;
  readonly iat: Seconds;
  /** Hash of the token that it was made for, where it goes with one in `Authorization` (RFC 9449 4.2). */
  readonly ath?: string | undefined;
  /** As it came. */
  readonly nonce?: unknown;
}

export interface ProofReader {
  /**
   * @param header the `DPoP` header as it came
   * @param request the method and URL that the proof must speak of; of `url` neither query nor fragment counts
   * @throws CurfewError `proof_invalid`
   */
  read(header: string | undefined, request: { readonly method: string; readonly url: string }): ProofRead;
}

export function createProofReader(): ProofReader {
  const importKey = memo(MOST_KEYS, ({ jwk }: { jkt: string; jwk: EcJwk }) => importPublic(jwk), {
    keyOf: ({ jkt }) => jkt,
  });
  return {
    read(header, { method, url }) {
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
      const { htm, htu, jti, iat, ath, nonce } = jws.payload;
      if (htm !== method) throw invalid('the DPoP proof is for another method');
      if (!sameUrl(htu, url)) throw invalid('the DPoP proof is for another URL');
      if (!isProofId(jti)) throw invalid('the DPoP proof has no proper jti');
      if (!isSeconds(iat)) throw invalid('the DPoP proof has no proper iat');
      return { jkt, jti, iat, ...(typeof ath === 'string' && { ath }), ...(nonce !== undefined && { nonce }) };
    },
  };
}

/** One that whoever uses proofs up remembers. */
export function isProofId(jti: unknown): jti is string {
  return typeof jti === 'string' && jti.length >= 8 && jti.length <= 256;
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
  return hash('sha256', JSON.stringify({ crv, kty, x, y }), 'base64url');
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

function invalid(message: string, cause?: unknown): CurfewError {
  return new CurfewError('proof_invalid', message, { cause });
}
