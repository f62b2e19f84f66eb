// The broker's signing keys: made at first start, kept in the store sealed under the configured key, published as JWKS.

import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createPrivateKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
} from 'node:crypto';
import { sql } from 'kysely';
import { CurfewError } from '../../shared/errors.ts';
import type { Seconds } from '../../shared/time.ts';
import type { Store, Transaction } from '../store/store.ts';

export interface PublicJwk {
  readonly kty: 'EC';
  readonly crv: 'P-256';
  readonly x: string;
  readonly y: string;
  readonly kid: string;
  readonly alg: 'ES256';
  readonly use: 'sig';
}

export interface Keys {
  /** What signs now. */
  readonly signing: { readonly kid: string; readonly key: KeyObject };
  /** When the key that signs was made. */
  readonly signing_since: Seconds;
  /** What is published (RFC 7517 5). */
  readonly jwks: { readonly keys: readonly PublicJwk[] };
}

/**
 * Loads the keys, making the first one in the same transaction when there is none: of two brokers that start at once, one makes it.
 *
 * @param encryptionKey 256 bits
 * @throws CurfewError `configuration` when a key was sealed under another encryption key
 */
export async function loadKeys(store: Store, encryptionKey: KeyObject, now: Seconds): Promise<Keys> {
  return store.transaction(async ({ db, hold }) => {
    await hold(['signing keys']);
    const found = await db.selectFrom('signing_key').select('kid').executeTakeFirst();
    if (!found) await db.insertInto('signing_key').values(makeKey(encryptionKey, now)).execute();
    return readKeys(db, encryptionKey);
  });
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

/** Revokes all keys and makes another: what they signed is not accepted any more, and they are not published. */
export async function replaceKeys(transaction: Transaction, encryptionKey: KeyObject, now: Seconds): Promise<void> {
  const { db } = transaction;
  const gone = await db.deleteFrom('signing_key').returning('kid').execute();
  await db.insertInto('signing_key').values(makeKey(encryptionKey, now)).execute();
  transaction.publish({ kind: 'keys', at: now, revoked: gone.map(({ kid }) => kid) });
}

/** @throws CurfewError `configuration` likewise */
export async function readKeys(db: Transaction['db'], encryptionKey: KeyObject): Promise<Keys> {
  const rows = await db.selectFrom('signing_key').selectAll().orderBy('created_at', 'desc').execute();
  const [newest] = rows;
  if (!newest) throw new TypeError('no signing key after making one');
  return {
    signing: { kid: newest.kid, key: unseal(newest.sealed, newest.kid, encryptionKey) },
    signing_since: newest.created_at,
    jwks: { keys: rows.map((row) => JSON.parse(row.public_jwk) as PublicJwk) },
  };
}

function makeKey(encryptionKey: KeyObject, now: Seconds) {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { x = '', y = '' } = publicKey.export({ format: 'jwk' });
  const kid = createHash('sha256')
    .update(JSON.stringify({ crv: 'P-256', kty: 'EC', x, y }))
    .digest('base64url');
  const jwk: PublicJwk = { kty: 'EC', crv: 'P-256', x, y, kid, alg: 'ES256', use: 'sig' };
  const sealed = seal(privateKey.export({ format: 'der', type: 'pkcs8' }), kid, encryptionKey);
  return { kid, public_jwk: JSON.stringify(jwk), sealed, created_at: now };
}

/** nonce (12) | tag (16) | ciphertext, bound to the `kid`. */
function seal(plain: Uint8Array, kid: string, key: KeyObject): Uint8Array {
  const nonce = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(kid));
  const body = Buffer.concat([cipher.update(plain), cipher.final()]);
  return Buffer.concat([nonce, cipher.getAuthTag(), body]);
}

function unseal(sealed: Uint8Array, kid: string, key: KeyObject): KeyObject {
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, 12), { authTagLength: 16 });
    decipher.setAAD(Buffer.from(kid)).setAuthTag(sealed.subarray(12, 28));
    const plain = Buffer.concat([decipher.update(sealed.subarray(28)), decipher.final()]);
    return createPrivateKey({ key: plain, format: 'der', type: 'pkcs8' });
  } catch (cause) {
    throw new CurfewError(
      'configuration',
      'keys: the signing key in the store was encrypted with another encryption key',
      {
        cause,
        hint: 'give back the encryption key that this store was made with',
      },
    );
  }
}
