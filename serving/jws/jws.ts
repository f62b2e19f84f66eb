// Compact JWS (RFC 7515 3.1), split and decoded strictly: one spelling for each token, so that a hash of it is its identity.

import { hash } from 'node:crypto';
import { isObject } from '../../shared/wire.ts';

export interface CompactJws {
  readonly header: Readonly<Record<string, unknown>>;
  readonly payload: Readonly<Record<string, unknown>>;
  /** `header.payload` as it came. */
  readonly signed: string;
  readonly signature: Uint8Array;
}

const BASE64URL = /^[A-Za-z0-9_-]+$/;
/**
 * Characters. The one limit on how large a token, and so an identity, may be: what is minted keeps within it, so that it is
 * understood wherever it is presented here.
 */
export const LONGEST_JWS = 16_384;
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** @returns `undefined` for anything but three canonical base64url parts with JSON objects in the first two. */
export function parseCompactJws(text: string): CompactJws | undefined {
  if (text.length > LONGEST_JWS) return undefined;
  const parts = text.split('.');
  const [header, payload, signature] = parts.map(decode);
  if (parts.length !== 3 || !header || !payload || !signature) return undefined;
  const [head, body] = [parseObject(header), parseObject(payload)];
  return head && body && { header: head, payload: body, signed: `${parts[0]}.${parts[1]}`, signature };
}

/** SHA-256 of the signing input, base64url: what a token is known by when it may be used once. */
export function signingInputHash(jws: CompactJws): string {
  return hash('sha256', jws.signed, 'base64url');
}

/** Only the canonical form: padding and stray tail bits would give one token several spellings. */
function decode(part: string): Uint8Array | undefined {
  if (!BASE64URL.test(part)) return undefined;
  const bytes = Buffer.from(part, 'base64url');
  return bytes.toString('base64url') === part ? bytes : undefined;
}

function parseObject(bytes: Uint8Array): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(utf8.decode(bytes));
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
