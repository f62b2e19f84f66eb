// The broker's signing keys: the first is made at the first start, further ones by rotation; kept in the store, published as JWKS. Of those
// that are published, the one that was made last signs, from the moment on when everybody may know it.

import type { KeyObject } from 'node:crypto';
import { sql } from 'kysely';
import { CurfewError } from '../../shared/errors.ts';
import { type Clock, over, type Seconds } from '../../shared/time.ts';
import type { Encryption } from '../encryption.ts';
import type { Store, Transaction } from '../store/store.ts';
import { makeSealedKey, type PublicJwk, sealedAgain, unseal } from './sealed_key.ts';

export interface SigningKey {
  readonly kid: string;
  readonly key: KeyObject;
  /** Since when it signs. */
  readonly sign_from: Seconds;
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
    else await noteLongest(transaction, parts.longest_token);
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
 */
export async function replaceKeys(
  transaction: Transaction,
  parts: KeysParts,
  now: Seconds,
  which?: readonly string[],
): Promise<Replaced> {
  const gone = transaction.db.deleteFrom('signing_key').returning('kid');
  const revoked = await (which ? gone.where('kid', 'in', which) : gone).execute();
  const kids = revoked.map(({ kid }) => kid);
  const made = await insertKey(transaction, parts, now, now);
  transaction.publish({ kind: 'keys', at: now, revoked: kids });
  return { revoked: kids, made };
}

/** Ids of keys. */
export interface Replaced {
  readonly revoked: readonly string[];
  readonly made: string;
}

/** Whether this is the encryption key of the store. @throws CurfewError `configuration` where it is not */
export async function requireReadableKeys(db: Transaction['db'], encryption: Encryption): Promise<void> {
  for (const row of await db.selectFrom('signing_key').select(['kid', 'sealed']).execute()) unseal(row, encryption);
}

/** Seals every key by the encryption key that is to seal. @returns how many were sealed by another @throws CurfewError `configuration` likewise */
export async function sealKeysAgain({ db }: Pick<Transaction, 'db'>, encryption: Encryption): Promise<number> {
  let count = 0;
  for (const row of await db.selectFrom('signing_key').select(['kid', 'sealed']).execute()) {
    const sealed = sealedAgain(row, encryption);
    if (!sealed) continue;
    await db.updateTable('signing_key').set({ sealed }).where('kid', '=', row.kid).execute();
    count += 1;
  }
  return count;
}

/** @throws CurfewError `configuration` likewise */
export async function readKeys(db: Transaction['db'], encryption: Encryption, now: Clock): Promise<Keys> {
  const rows = await db
    .selectFrom('signing_key')
    .selectAll()
    .orderBy('sign_from', 'desc')
    .orderBy('created_at', 'desc')
    .orderBy('kid')
    .execute();
  const all = rows.map(({ sign_from, ...row }) => ({ kid: row.kid, key: unseal(row, encryption), sign_from }));
  const oldest = all.at(-1);
  if (!oldest) throw new TypeError('no signing key after making one');
  return {
    get signing() {
      const at = now();
      return all.find(({ sign_from }) => over(sign_from, at)) ?? oldest;
    },
    signer: (kid) => all.find((one) => one.kid === kid),
    jwks: { keys: rows.map((row) => JSON.parse(row.public_jwk) as PublicJwk) },
  };
}
