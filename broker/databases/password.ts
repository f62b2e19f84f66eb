// The password of a role, and what the server keeps in its place: a verifier, so that the password is in no statement and in no log of
// the server (RFC 5802 3, RFC 7677).

import { createHash, createHmac, pbkdf2, randomBytes } from 'node:crypto';
import { promisify } from 'node:util';

/** What PostgreSQL takes by itself. A guess costs as much as it has to: there are 256 bits to guess. */
const ITERATIONS = 4096;
const SALT_BYTES = 16;

/** 256 random bits, in characters that SASLprep leaves as they are. */
export function newPassword(): string {
  return randomBytes(32).toString('base64url');
}

/** @returns `SCRAM-SHA-256$ITERATIONS:SALT$STORED_KEY:SERVER_KEY`, as PostgreSQL keeps it */
export async function verifierOf(password: string, salt: Buffer = randomBytes(SALT_BYTES)): Promise<string> {
  const salted = await promisify(pbkdf2)(password, salt, ITERATIONS, 32, 'sha256');
  const keyed = (text: string) => createHmac('sha256', salted).update(text).digest();
  const stored = createHash('sha256').update(keyed('Client Key')).digest('base64');
  const server = keyed('Server Key').toString('base64');
  return `SCRAM-SHA-256$${ITERATIONS}:${salt.toString('base64')}$${stored}:${server}`;
}
