// The chain of the audit log: each row's hash covers the row before it, and a seal over the newest one, made with the
// encryption key, shows when rows were cut off at the end or the whole chain was made again. Pure.

import { createHash, createHmac, createSecretKey, hash, type KeyObject } from 'node:crypto';
import { type ConfiguredKeys, derivedKeys, type Encryption, encryptionOf, isMadeBy } from '../encryption.ts';

/** What stands before the first row. */
export const GENESIS: Link = { seq: 0, hash: '0'.repeat(64) };

export interface Link {
  readonly seq: number;
  /** SHA-256, hex. */
  readonly hash: string;
  /** Which of several chains it is in. Covered by hash and seal, so that none can be put in another's place. */
  readonly lane?: number | undefined;
}

/** Before the first row of a chain. */
export function genesisOf(lane: number): Link {
  return lane === 0 ? GENESIS : { ...GENESIS, lane };
}

/** @param data the event as JSON, as it is in the row: as text, or as the bytes of it */
export function linkOf({ lane, ...before }: Link, data: string | Uint8Array): Link {
  const seq = before.seq + 1;
  const start = `${before.hash}\n${lane ? `${lane}\n` : ''}${seq}\n`;
  const digest =
    typeof data === 'string'
      ? hash('sha256', start + data, 'hex')
      : createHash('sha256').update(start).update(data).digest('hex');
  return { seq, hash: digest, ...(lane && { lane }) };
}

export interface Sealer {
  seal(link: Link): string;
  isSealed(link: Link, seal: string): boolean;
}

export function sealerOf(config: ConfiguredKeys): Sealer {
  return createSealer(encryptionOf(config));
}

export function createSealer(encryption: Encryption): Sealer {
  const keys = derivedKeys(encryption, (key) =>
    createSecretKey(createHmac('sha256', key).update('audit-seal').digest()),
  );
  const sealBy = (key: KeyObject, { lane, seq, hash }: Link) =>
    createHmac('sha256', key)
      .update(`${lane ? `${lane}.` : ''}${seq}.${hash}`)
      .digest('hex');
  return {
    seal: (link) => sealBy(keys()[0], link),
    isSealed: (link, given) => isMadeBy(keys(), Buffer.from(given), (key) => Buffer.from(sealBy(key, link))),
  };
}
