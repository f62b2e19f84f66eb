// User certificates of OpenSSH (PROTOCOL.certkeys), signed by an Ed25519 key. A certificate without principals is good for every account,
// and one without `source-address` from everywhere: neither can be said here.

import { type KeyObject, randomBytes, sign } from 'node:crypto';
import { isIP } from 'node:net';
import type { Seconds } from '../../shared/time.ts';
import type { SshPermit } from '../config/target_settings.ts';
import { blobOf, ED25519, string, uint32, uint64 } from './encoding.ts';
import type { SshPublicKey } from './public_key.ts';

const TYPE = 'ssh-ed25519-cert-v01@openssh.com';
/** SSH_CERT_TYPE_USER. */
const OF_USER = 1;
const NONCE_BYTES = 32;

/** What a target permits beyond commands, and what the certificate says for it. */
export const EXTENSIONS: Readonly<Record<SshPermit, string>> = {
  pty: 'permit-pty',
  'port-forwarding': 'permit-port-forwarding',
  'agent-forwarding': 'permit-agent-forwarding',
  'x11-forwarding': 'permit-X11-forwarding',
  'user-rc': 'permit-user-rc',
};

/** At least one, each not empty. */
export type Some<T> = readonly [T, ...T[]];

/** `TARGET/LOGIN`: one account at one target. */
export type Principal = string & { readonly __brand: 'Principal' };

export interface UserCertificate {
  /** 64 bits. */
  readonly serial: bigint;
  /** sshd writes it into its log with each login. */
  readonly key_id: string;
  readonly principals: Some<Principal>;
  /** From this instant on. */
  readonly valid_after: Seconds;
  /** At this instant it is over. */
  readonly valid_before: Seconds;
  /** Addresses and CIDR blocks; sshd refuses it from anywhere else. */
  readonly source_addresses: Some<string>;
  readonly permit: readonly SshPermit[];
}

const PART = /^[\w.@-]{1,64}$/;

/** What may be in a principal: nothing that ends one, or begins a comment, in AuthorizedPrincipalsFile. */
export function isPrincipalPart(text: string): boolean {
  return PART.test(text) && !text.startsWith('-');
}

/** @throws TypeError for what no configuration lets through */
export function principalOf(target: string, login: string): Principal {
  if (!isPrincipalPart(target) || !isPrincipalPart(login)) throw new TypeError('not a principal');
  return `${target}/${login}` as Principal;
}

/** Whose session it is for: one line of visible ASCII without quotes, whatever the name is. */
export function keyIdOf({ sid, username }: { readonly sid: string; readonly username: string }): string {
  return `sid=${visible(sid)} user=${visible(username)}`;
}

/** What is not visible ASCII, and what could be taken for more than the name, byte by byte as in a URL. */
function visible(text: string): string {
  const shown = (byte: number) => byte > 0x20 && byte < 0x7f && !'%"\\'.includes(String.fromCharCode(byte));
  return [...Buffer.from(text)]
    .map((byte) => (shown(byte) ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`))
    .join('');
}

/** 63 random bits: as many as every reader of serials takes. */
export function newSerial(): bigint {
  return randomBytes(8).readBigUInt64BE() >> 1n;
}

/**
 * @param ca an Ed25519 private key
 * @returns one line: the type and the certificate in base64
 * @throws TypeError where it would say more than it should, or never be valid
 */
export function signUserCertificate(ca: KeyObject, subject: SshPublicKey, certificate: UserCertificate): string {
  requireNarrow(certificate);
  const { serial, key_id, principals, valid_after, valid_before, source_addresses, permit } = certificate;
  const body = Buffer.concat([
    string(TYPE),
    string(randomBytes(NONCE_BYTES)),
    string(subject.raw),
    uint64(serial),
    uint32(OF_USER),
    string(key_id),
    string(Buffer.concat(principals.map(string))),
    uint64(BigInt(valid_after)),
    uint64(BigInt(valid_before)),
    options([['source-address', string(source_addresses.join(','))]]),
    options(permit.map((permission) => [EXTENSIONS[permission], ''])),
    string(''),
    string(blobOf(ca)),
  ]);
  const signature = Buffer.concat([string(ED25519), string(sign(null, body, ca))]);
  return `${TYPE} ${Buffer.concat([body, string(signature)]).toString('base64')}`;
}

function requireNarrow({ principals, source_addresses, valid_after, valid_before }: UserCertificate): void {
  // Types end at what is read from a store or a test: an empty list here would open every account.
  const named = principals.length > 0 && principals.every((one) => one.split('/').filter(isPrincipalPart).length === 2);
  if (!named) throw new TypeError('a certificate without principals, or with one that is not of a target');
  const placed = source_addresses.length > 0 && source_addresses.every(isPlace);
  if (!placed) throw new TypeError('a certificate without a source address');
  if (!(valid_after >= 0 && valid_after < valid_before)) throw new TypeError('a certificate that is never valid');
}

/** An address, or a block of them, as sshd reads it. */
function isPlace(text: string): boolean {
  const [address = '', bits, ...rest] = text.split('/');
  return isIP(address) > 0 && !address.includes('%') && rest.length === 0 && (bits === undefined || /^\d+$/.test(bits));
}

/** In the order of their names, each once, as the format wants them. */
function options(entries: readonly (readonly [name: string, data: string | Uint8Array])[]): Buffer {
  const sorted = [...new Map(entries)].sort(([one], [other]) => (one < other ? -1 : 1));
  return string(Buffer.concat(sorted.flatMap(([name, data]) => [string(name), string(data)])));
}
