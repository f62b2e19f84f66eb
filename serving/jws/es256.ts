// ES256 (RFC 7518 3.4): ECDSA over P-256 with SHA-256, signatures as the 64 bytes of R and S. OpenSSL speaks DER: converted here,
// as Node.js takes twice as long where it is told to do that itself.

import { type KeyObject, sign, verify } from 'node:crypto';

/** Bytes of R, and of S. */
const HALF_BYTES = 32;
const [SEQUENCE, INTEGER] = [0x30, 0x02];

/** @param key private, of P-256 */
export function signEs256(data: string, key: KeyObject): Buffer {
  return rawOf(sign('sha256', Buffer.from(data), key));
}

/** @param key public, of P-256 @param signature of any length: only 64 bytes can verify */
export function verifyEs256(data: string, key: KeyObject, signature: Uint8Array): boolean {
  if (signature.length !== 2 * HALF_BYTES) return false;
  return verify('sha256', Buffer.from(data), key, derOf(signature));
}

/** `SEQUENCE { r INTEGER, s INTEGER }` (RFC 3279 2.2.3), each in its shortest form, as DER has it. */
function derOf(signature: Uint8Array): Buffer {
  const [r, s] = [integerOf(signature.subarray(0, HALF_BYTES)), integerOf(signature.subarray(HALF_BYTES))];
  return Buffer.concat([Buffer.from([SEQUENCE, r.length + s.length]), r, s]);
}

function integerOf(bytes: Uint8Array): Buffer {
  let start = 0;
  while (start < HALF_BYTES - 1 && bytes[start] === 0) start += 1;
  const digits = bytes.subarray(start);
  // The first bit is the sign.
  const sign_byte = (digits[0] ?? 0) > 0x7f ? [0] : [];
  return Buffer.concat([Buffer.from([INTEGER, digits.length + sign_byte.length, ...sign_byte]), digits]);
}

/** Of what OpenSSL made: its lengths are one byte each. */
function rawOf(der: Uint8Array): Buffer {
  const raw = Buffer.alloc(2 * HALF_BYTES);
  let at = 2;
  for (const end of [HALF_BYTES, 2 * HALF_BYTES]) {
    const length = der[at + 1] ?? 0;
    const digits = der.subarray(at + 2, at + 2 + length);
    const shortest = digits.subarray(Math.max(0, length - HALF_BYTES));
    raw.set(shortest, end - shortest.length);
    at += 2 + length;
  }
  return raw;
}
