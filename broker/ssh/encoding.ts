// Values as SSH writes them (RFC 4251 5), and Ed25519 keys of this process in them (RFC 8709).

import { createPublicKey, type KeyObject } from 'node:crypto';

/** The one algorithm of keys and signatures here. */
export const ED25519 = 'ssh-ed25519';
/** Bytes of such a public key. */
export const ED25519_BYTES = 32;

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

export function uint64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(value);
  return bytes;
}

/** A `string`: text in UTF-8, or bytes, with its length before it. */
export function string(value: string | Uint8Array): Buffer {
  const bytes = Buffer.from(value as string);
  return Buffer.concat([uint32(bytes.length), bytes]);
}

/** An Ed25519 public key (RFC 8709 4). */
export function ed25519Blob(raw: Uint8Array): Buffer {
  return Buffer.concat([string(ED25519), string(raw)]);
}

/** @param key a private or public Ed25519 key */
export function blobOf(key: KeyObject): Buffer {
  const { x } = (key.type === 'private' ? createPublicKey(key) : key).export({ format: 'jwk' });
  const raw = Buffer.from(x ?? '', 'base64url');
  if (key.asymmetricKeyType !== 'ed25519' || raw.length !== ED25519_BYTES) throw new TypeError('not an Ed25519 key');
  return ed25519Blob(raw);
}
