// DPoP proofs (RFC 9449): that a request comes from the holder of a key. Whether it is of now is decided here; using a proof up is the store's.

import { createHmac, createSecretKey, hash as hashOf, type KeyObject } from 'node:crypto';
import { createProofReader, isProofId, PROOF_WINDOW_SECONDS } from '../../serving/jws/dpop.ts';
import { CurfewError } from '../../shared/errors.ts';
import { between, type Clock, isSeconds, type Seconds } from '../../shared/time.ts';
import { derivedKeys, type Encryption, isMadeBy } from '../encryption.ts';

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
  const reader = createProofReader();
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
    verify(header, request) {
      const { jkt, jti, iat, ath, nonce: given } = reader.read(header, request);
      const reference = given === undefined ? iat : timeOfNonce(given);
      // With a nonce of ours `iat` is not judged: a laptop with a wrong clock can go on.
      if (reference === undefined || apart(reference, now()) > PROOF_WINDOW_SECONDS) {
        throw new CurfewError('proof_nonce', "use the broker's DPoP nonce");
      }
      return { ...usedUpAs(jkt, jti, reference), ...(ath !== undefined && { ath }) };
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

function usedUpAs(jkt: string, jti: string, reference: Seconds): Proof {
  return { jkt, hash: hashOf('sha256', `${jkt}.${jti}`, 'buffer'), minute: Math.floor(reference / 60) };
}

/** Seconds within which a proof that was verified is used up: an ID token beside it may have to wait for the IdP's keys. */
const USED_WITHIN_SECONDS = 60;

/** The first minute whose proofs could still be taken: proofs of earlier ones need not be remembered. */
export function firstLiveMinute(now: Seconds): number {
  return Math.floor((now - PROOF_WINDOW_SECONDS - USED_WITHIN_SECONDS) / 60);
}

function apart(a: Seconds, b: Seconds): number {
  return Math.max(between(a, b), between(b, a));
}
