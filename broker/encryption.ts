// The encryption keys: one makes whatever is sealed or marked as ours, and all are understood, so that it can be replaced while brokers run.

import { type KeyObject, timingSafeEqual } from 'node:crypto';

/** Of 256 bits each; the first makes. */
export type EncryptionKeys = readonly [KeyObject, ...KeyObject[]];

/** One that stays, or those that hold as of now. */
export type Encryption = KeyObject | (() => EncryptionKeys);

export function keysNow(given: Encryption): EncryptionKeys {
  return typeof given === 'function' ? given() : [given];
}

/** As the configuration has them. */
export interface ConfiguredKeys {
  readonly encryption_key: KeyObject;
  readonly other_encryption_key?: KeyObject | undefined;
}

export function encryptionOf({ encryption_key, other_encryption_key: other }: ConfiguredKeys): () => EncryptionKeys {
  return () => (other ? [encryption_key, other] : [encryption_key]);
}

/** The keys for one purpose. @param derive from each; done once */
export function derivedKeys(given: Encryption, derive: (key: KeyObject) => KeyObject): () => EncryptionKeys {
  const known = new WeakMap<KeyObject, KeyObject>();
  const keyOf = (key: KeyObject): KeyObject => {
    const found = known.get(key) ?? derive(key);
    known.set(key, found);
    return found;
  };
  return () => {
    const [own, ...others] = keysNow(given);
    return [keyOf(own), ...others.map(keyOf)];
  };
}

/** Whether one of these has made a mark (a MAC, or a text with one in it). Takes as long whatever is wrong with it. */
export function isMadeBy(keys: EncryptionKeys, given: Buffer, make: (key: KeyObject) => Buffer): boolean {
  return keys.some((key) => {
    const made = make(key);
    return made.length === given.length && timingSafeEqual(made, given);
  });
}
