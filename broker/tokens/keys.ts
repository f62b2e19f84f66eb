// The broker's signing keys: the first is made at the first start, further ones by rotation; kept in the store, published as JWKS. Of those
// that are published, the one that was made last signs, from the moment on when everybody may know it.

import type { KeyObject } from 'node:crypto';
import { sql } from 'kysely';
import { CurfewError } from '../../shared/errors.ts';
import { type Clock, latest, over, type Seconds } from '../../shared/time.ts';
import type { Encryption } from '../encryption.ts';
import type { Store, Transaction } from '../store/store.ts';
import { makeSealedKey, type PublicJwk, type SealedKey, sealedAgain, unseal } from './sealed_key.ts';

export interface SigningKey {
  readonly kid: string;
  readonly key: KeyObject;
  /** Since when it signs. */
  readonly sign_from: Seconds;
}

/** A key as the store has it. */
export interface StoredKey extends SealedKey {
  readonly created_at: Seconds;
  /** Since when it signs, or from when on. */
  readonly sign_from: Seconds;
  /** Seconds for which what it signs can be taken, at most. */
  readonly longest_token: Seconds;
}

export interface Keys {
  /** What signs now. */
  readonly signing: SigningKey;
  /** One that is still published: what was decided while it signed is signed with it. */
  signer(kid: string): SigningKey | undefined;
  /** What is published (RFC 7517 5). */
  readonly jwks: { readonly keys: readonly PublicJwk[] };
}

export interface KeysParts {
  readonly encryption: Encryption;
  /** Seconds for which a token can be taken, at most, by the configuration in force. */
  readonly longest_token: Seconds;
}

/**
 * Loads the keys, making the first one in the same transaction when there is none: of two brokers that start at once, one makes it.
 *
 * @throws CurfewError `configuration` when a key was sealed under another encryption key
 */
export async function loadKeys(store: Store, parts: KeysParts, now: Clock): Promise<Keys> {
  return store.transaction(async (transaction) => {
    const { db, hold } = transaction;
    await hold([SIGNING_KEYS]);
    const found = await db.selectFrom('signing_key').select('kid').executeTakeFirst();
    if (!found) await insertKey(transaction, parts, now(), now());
    return readKeys(db, parts.encryption, now);
  });
}

/** What whoever changes them holds. */
export const SIGNING_KEYS = 'signing keys';

/** @param sign_from no earlier than everybody may know it, unless there is no other @returns its id */
export async function insertKey(
  { db }: Pick<Transaction, 'db'>,
  { encryption, longest_token }: KeysParts,
  now: Seconds,
  sign_from: Seconds,
): Promise<string> {
  const made = makeSealedKey(encryption);
  await db
    .insertInto('signing_key')
    .values({ ...made, created_at: now, sign_from, longest_token })
    .execute();
  return made.kid;
}

/** Before a token that can be taken for so long is minted: its key stays published until then. */
export async function noteLongest({ db }: Pick<Transaction, 'db'>, longest_token: Seconds): Promise<void> {
  await db.updateTable('signing_key').set({ longest_token }).where('longest_token', '<', longest_token).execute();
}

/**
 * Whether a key is still one of this issuer's, as of the transaction that is to be signed for: who revokes keys has no transaction run
 * beside that (`holdAll`), so none is granted by a key that was revoked before.
 *
 * @throws CurfewError `busy` where it was revoked
 */
export async function requireKey({ db }: Pick<Transaction, 'db'>, kid: string): Promise<void> {
  // As text it holds no row: many ask at once.
  const { rows } = await sql`select kid from signing_key where kid = ${kid}`.execute(db);
  if (rows.length === 0) throw keyRevoked();
}

export function keyRevoked(): CurfewError {
  return new CurfewError('busy', 'the signing key was replaced just now', { retry_after: 1 });
}

/**
 * Revokes keys and makes another, which signs at once: what they signed is not accepted any more, and they are not published. To be
 * called where no other transaction runs (`holdAll`).
 *
 * @param which all, where none are named
 * @returns the id of the one that was made
 */
export async function replaceKeys(
  transaction: Transaction,
  parts: KeysParts,
  now: Seconds,
  which?: readonly string[],
): Promise<string> {
  const gone = transaction.db.deleteFrom('signing_key').returning('kid');
  const revoked = await (which ? gone.where('kid', 'in', which) : gone).execute();
  transaction.publish({ kind: 'keys', at: now, revoked: revoked.map(({ kid }) => kid) });
  return insertKey(transaction, parts, now, now);
}

/** Whether this is the encryption key of the store. @throws CurfewError `configuration` where it is not */
export async function requireReadableKeys(db: Transaction['db'], encryption: Encryption): Promise<void> {
  for (const row of await storedKeys(db)) unseal(row, encryption);
}

/** Seals every key by the encryption key that is to seal. @returns how many were sealed by another @throws CurfewError `configuration` likewise */
export async function sealKeysAgain({ db }: Pick<Transaction, 'db'>, encryption: Encryption): Promise<number> {
  let count = 0;
  for (const row of await storedKeys(db)) {
    const sealed = sealedAgain(row, encryption);
    if (!sealed) continue;
    await db.updateTable('signing_key').set({ sealed }).where('kid', '=', row.kid).execute();
    count += 1;
  }
  return count;
}

/** @throws CurfewError `configuration` likewise */
export async function readKeys(db: Transaction['db'], encryption: Encryption, now: Clock): Promise<Keys> {
  const rows = await storedKeys(db);
  if (rows.length === 0) throw new TypeError('no signing key after making one');
  const all = rows.map((row) => ({ kid: row.kid, key: unseal(row, encryption), sign_from: row.sign_from }));
  return {
    get signing() {
      return signingOf(all, now());
    },
    signer: (kid) => all.find((one) => one.kid === kid),
    jwks: { keys: rows.map((row) => JSON.parse(row.public_jwk) as PublicJwk) },
  };
}

/** All that are published: the one that signs last comes first. */
export async function storedKeys(db: Transaction['db']): Promise<readonly StoredKey[]> {
  const rows = await db
    .selectFrom('signing_key')
    .selectAll()
    .orderBy('sign_from', 'desc')
    .orderBy('created_at', 'desc')
    .orderBy('kid')
    .execute();
  // One of a version without rotation signed as soon as it was made.
  return rows.map((row) => ({ ...row, sign_from: latest(row.created_at, row.sign_from) }));
}

/** @param keys of which the one that signs last comes first @returns the one that signs now */
export function signingOf<K extends { readonly sign_from: Seconds }>(keys: readonly K[], now: Seconds): K {
  const signing = keys.find(({ sign_from }) => over(sign_from, now)) ?? keys.at(-1);
  if (!signing) throw new TypeError('no signing key');
  return signing;
}
