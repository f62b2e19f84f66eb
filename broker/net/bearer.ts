// Bearer tokens of 256 bits that we gave out, and whose each is.

import { hash, type KeyObject, timingSafeEqual } from 'node:crypto';

/** 32 bytes, base64url without padding. */
const BEARER = /^Bearer ([A-Za-z0-9_-]{43})$/i;

/**
 * @param authorization the header as it came
 * @param tokenOf whose token that would be; some have none
 * @returns the one whose token is presented, or `undefined` for anything else
 */
export function ownerOfBearer<T>(
  owners: readonly T[],
  tokenOf: (owner: T) => KeyObject | undefined,
  authorization = '',
): T | undefined {
  const [, token] = BEARER.exec(authorization) ?? [];
  if (token === undefined) return undefined;
  const given = sha256(token);
  // Each is compared, and hashes in constant time: how long it takes says nothing about any of them.
  const [found] = owners.filter((owner) => {
    const own = tokenOf(owner);
    return own !== undefined && timingSafeEqual(hashOf(own), given);
  });
  return found;
}

const hashes = new WeakMap<KeyObject, Buffer>();

function hashOf(token: KeyObject): Buffer {
  const known = hashes.get(token);
  if (known) return known;
  const own = sha256(token.export().toString('base64url'));
  hashes.set(token, own);
  return own;
}

function sha256(text: string): Buffer {
  return hash('sha256', text, 'buffer');
}
