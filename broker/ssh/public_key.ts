// A person's SSH public key as they send it: one algorithm, one spelling. What is not exactly that is refused, so nothing that sshd would
// read otherwise than this is ever certified.

import { createHash, type KeyObject } from 'node:crypto';
import { blobOf, ED25519, ED25519_BYTES, ed25519Blob } from './encoding.ts';

export interface SshPublicKey {
  /** As in an SSH message. */
  readonly blob: Uint8Array;
  readonly raw: Uint8Array;
}

export interface PublicKeyFault {
  /** In words, for whoever sent it. Quotes nothing of it. */
  readonly fault: string;
}

/** What comes before the key itself: the algorithm's name and the key's length. */
const PREFIX = ed25519Blob(new Uint8Array(ED25519_BYTES)).subarray(0, -ED25519_BYTES);
/** 51 bytes: neither padding nor bits that are left over, so each key has one spelling. */
const LINE = new RegExp(`^${ED25519} ([A-Za-z0-9+/]{68})$`);
const LONGEST = 1_024;
/** What `ssh-keygen` makes of other kinds, certificates among it. */
const OTHER_KIND =
  /^(ssh-(rsa|dss)|ecdsa-sha2-nistp\d+|sk-[a-z0-9-]+@openssh\.com|[a-z0-9-]+-cert-v0[01]@openssh\.com) /;

/** @param line as in `authorized_keys`, without options and comment (RFC 8709 4) */
export function parsePublicKey(line: string): SshPublicKey | PublicKeyFault {
  if (line.length > LONGEST) return { fault: 'the SSH public key is longer than any of ssh-ed25519' };
  if (OTHER_KIND.test(line)) return { fault: 'only plain SSH keys of type ssh-ed25519 are certified' };
  const [, text] = LINE.exec(line) ?? [];
  const blob = Buffer.from(text ?? '', 'base64');
  if (text === undefined || !blob.subarray(0, PREFIX.length).equals(PREFIX)) {
    return { fault: 'expected an SSH public key in one line: ssh-ed25519 and 68 characters of base64' };
  }
  return { blob, raw: blob.subarray(PREFIX.length) };
}

/** As in `authorized_keys`, without a comment. @param key a private or public Ed25519 key */
export function publicKeyLine(key: KeyObject): string {
  return `${ED25519} ${blobOf(key).toString('base64')}`;
}

/** As `ssh-keygen -l` prints it: `SHA256:` and 43 characters. */
export function fingerprintOf(blob: Uint8Array): string {
  return `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`;
}
