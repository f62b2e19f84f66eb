// Random texts: session handles, and ids that only have to be unique.

import { randomBytes } from 'node:crypto';

/** 256 random bits for a session handle, 128 for what only has to be unique. */
export function randomHandle(): string {
  return randomBytes(32).toString('base64url');
}

/** Characters of such an id. */
export const ID_LENGTH = 22;
export function randomId(): string {
  // A session's id is typed on command lines: one that begins with `-` would be taken for a flag.
  for (;;) {
    const id = randomBytes(16).toString('base64url');
    if (!id.startsWith('-')) return id;
  }
}
