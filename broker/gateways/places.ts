// Places in the feed, as gateways hand them back: made so that nobody else can make one. So a place that the store does not have says that
// the store was put back, and is not somebody's way to stop the broker.

import { createHmac, createSecretKey, hash, hkdfSync, type KeyObject } from 'node:crypto';
import { derivedKeys, type Encryption, isMadeBy } from '../encryption.ts';
import type { StoreStateTable } from '../store/tables.ts';

/** `SEQ.DIGEST.MAC` */
const PLACE = /^([0-9]{1,16})\.([A-Za-z0-9_-]{11})\.[A-Za-z0-9_-]{22}$/;
/** HKDF's `info` (RFC 5869 3.2): no other use of the encryption key has this one. */
const PURPOSE = 'curfew gateway feed place v1';

/** All up to there was told. */
export interface Place {
  readonly seq: number;
  /** Of the change at that place: its number alone may have been given again since the store was put back. */
  readonly digest: string;
}

export interface Places {
  textOf(place: Place): string;
  /** @returns `undefined` for what is not a place of this store, or is of before all was declared over */
  parse(text: string): Place | undefined;
}

/** Of the store as it is now. */
export function placesOf(
  encryption: Encryption,
  { database_id, epoch }: Pick<StoreStateTable, 'database_id' | 'epoch'>,
): Places {
  const keys = derivedKeys(encryption, (key) => createSecretKey(Buffer.from(hkdfSync('sha256', key, '', PURPOSE, 32))));
  const macBy = (key: KeyObject, { seq, digest }: Place) =>
    createHmac('sha256', key)
      .update(JSON.stringify([database_id, epoch, seq, digest]))
      .digest()
      .subarray(0, 16);
  const textBy = (key: KeyObject, place: Place) =>
    `${place.seq}.${place.digest}.${macBy(key, place).toString('base64url')}`;
  return {
    textOf: (place) => textBy(keys()[0], place),
    parse(text) {
      const [, digits, digest = ''] = PLACE.exec(text) ?? [];
      if (digits === undefined) return undefined;
      const place = { seq: Number(digits), digest };
      // One spelling for each: `07` is not 7, and the last character of a MAC has bits to spare.
      return isMadeBy(keys(), Buffer.from(text), (key) => Buffer.from(textBy(key, place))) ? place : undefined;
    },
  };
}

/** @param text of the change there, where there is one */
export function placeAt(seq: number, text = ''): Place {
  return { seq, digest: hash('sha256', text, 'buffer').subarray(0, 8).toString('base64url') };
}
