// The client's key and what it proves: DPoP proofs (RFC 9449 section 4.2), its thumbprint (RFC 7638), the ID token's nonce.

import { createHash, createPrivateKey, generateKeyPairSync, sign } from 'node:crypto';
import { isObject } from '../../shared/wire.ts';
import type { Host } from '../host/host.ts';

/** A private P-256 key as it is kept in the keychain. */
export interface PrivateJwk {
  readonly kty: 'EC';
  readonly crv: 'P-256';
  readonly x: string;
  readonly y: string;
  readonly d: string;
}

export function isPrivateJwk(value: unknown): value is PrivateJwk {
  if (!isObject(value) || value.kty !== 'EC' || value.crv !== 'P-256') return false;
  return [value.x, value.y, value.d].every((part) => typeof part === 'string' && /^[A-Za-z0-9_-]{43}$/.test(part));
}

export function generateKey(): PrivateJwk {
  const jwk = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' });
  const { kty, crv, x, y, d } = jwk;
  const key = { kty, crv, x, y, d };
  if (!isPrivateJwk(key)) throw new TypeError('a generated key is not a P-256 key');
  return key;
}

/** `jkt` (RFC 7638 section 3): SHA-256 over the required members of the public key, in the order of their names. */
export function thumbprint({ crv, kty, x, y }: PrivateJwk): string {
  return sha256(JSON.stringify({ crv, kty, x, y }));
}

/** `base64url(SHA-256(jkt "." nonce_random))`: the ID token that carries it is worth nothing without the key. */
export function commit(key: PrivateJwk, nonce_random: string): string {
  return sha256(`${thumbprint(key)}.${nonce_random}`);
}

export interface ProofRequest {
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly url: string;
  readonly handle?: string | undefined;
  readonly nonce?: string | undefined;
}

/**
 * A DPoP proof for one request (RFC 9449 section 4.2).
 *
 * @param url its query and fragment are not part of `htu`
 * @param handle that goes with the proof in `Authorization`: its hash becomes `ath`
 * @param nonce the broker's `DPoP-Nonce`, when it asked for one
 */
export function prove(
  key: PrivateJwk,
  { method, url, handle, nonce }: ProofRequest,
  host: Pick<Host, 'now' | 'random'>,
): string {
  const { kty, crv, x, y } = key;
  const { origin, pathname } = new URL(url);
  const jti = host.random(16).toString('base64url');
  const header = encode({ typ: 'dpop+jwt', alg: 'ES256', jwk: { kty, crv, x, y } });
  const more = { ...(handle !== undefined && { ath: sha256(handle) }), ...(nonce && { nonce }) };
  const payload = encode({ htm: method, htu: origin + pathname, jti, iat: host.now(), ...more });
  const signing = { key: createPrivateKey({ key: { ...key }, format: 'jwk' }), dsaEncoding: 'ieee-p1363' } as const;
  const signature = sign('sha256', Buffer.from(`${header}.${payload}`), signing);
  return `${header}.${payload}.${signature.toString('base64url')}`;
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('base64url');
}
