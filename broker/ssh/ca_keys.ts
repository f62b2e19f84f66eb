// The keys that certify people's SSH keys (ssh-ca), in the store. Hosts learn of them by what is printed for each, so a key signs for a target
// once it has been in print for it long enough; the one of before signs until then. Kept apart from the keys of tokens.

import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { sql } from 'kysely';
import { over, plus, type Seconds, seconds } from '../../shared/time.ts';
import type { KeysEvent } from '../audit_log/events.ts';
import type { Encryption } from '../encryption.ts';
import type { Transaction } from '../store/store.ts';
import { sealedAgain, sealKey, unseal } from '../tokens/sealed_key.ts';
import { blobOf } from './encoding.ts';
import { fingerprintOf, publicKeyLine } from './public_key.ts';

/** For how long a key is in print for a target before it signs there: so long whoever runs the host has to put it there. */
export const PRINTED_BEFORE = seconds(86_400);

/** A key as the store has it. */
export interface CaKey {
  /** Its fingerprint. */
  readonly kid: string;
  /** As in `TrustedUserCAKeys`. */
  readonly public_key: string;
  readonly sealed: Uint8Array;
  /** Of no two keys the same. */
  readonly created_at: Seconds;
  /** By target: since when it has been in print for its host. */
  readonly printed: ReadonlyMap<string, Seconds>;
}

/** What whoever changes them holds. */
export const CA_KEYS = 'ssh-ca keys';

/** Who asked for a change, where somebody did. */
export type Asked = Pick<KeysEvent, 'by' | 'note'>;

/** All of them, the newest first. Holds no row: many ask at once. */
export async function storedCaKeys(db: Transaction['db']): Promise<readonly CaKey[]> {
  const { rows } = await sql<Omit<CaKey, 'printed'> & { readonly printed: string }>`
    select kid, public_key, sealed, created_at, printed from ssh_ca_key order by created_at desc`.execute(db);
  return rows.map((row) => ({ ...row, printed: new Map(JSON.parse(row.printed) as [string, Seconds][]) }));
}

/** @param keys the newest first @returns the one that signs for a target now: of those that its host must have by now the newest */
export function signerFor(keys: readonly CaKey[], target: string, now: Seconds): CaKey | undefined {
  return keys.find((key) => isInPlace(key, target, now)) ?? keys.at(-1);
}

function isInPlace({ printed }: CaKey, target: string, now: Seconds): boolean {
  const since = printed.get(target);
  return since !== undefined && over(plus(since, PRINTED_BEFORE), now);
}

/**
 * Makes another, which is the first thing that is decided on in its transaction where nothing is held yet (`CA_KEYS`).
 *
 * @param keys those that there are, the newest first
 */
export async function insertCaKey(
  transaction: Pick<Transaction, 'db' | 'audit'>,
  encryption: Encryption,
  keys: readonly CaKey[],
  now: Seconds,
  asked: Asked = {},
): Promise<CaKey> {
  const { privateKey } = generateKeyPairSync('ed25519');
  const kid = fingerprintOf(blobOf(privateKey));
  const sealed = sealKey(privateKey.export({ format: 'der', type: 'pkcs8' }), kid, encryption);
  const [newest] = keys;
  const created_at = newest && newest.created_at >= now ? plus(newest.created_at, seconds(1)) : now;
  const made = { kid, public_key: publicKeyLine(privateKey), sealed, created_at };
  await transaction.db
    .insertInto('ssh_ca_key')
    .values({ ...made, printed: '[]' })
    .execute();
  await transaction.audit({ event: 'keys', at: now, of: 'ssh-ca', change: 'added', kids: [kid], ...asked });
  return { ...made, printed: new Map() };
}

/** As they are, with a first one where there was none: two that want it at once make one. */
export async function requireCaKeys(
  transaction: Pick<Transaction, 'db' | 'audit' | 'hold'>,
  encryption: Encryption,
  now: Seconds,
): Promise<readonly CaKey[]> {
  const found = await storedCaKeys(transaction.db);
  if (found.length > 0) return found;
  await transaction.hold([CA_KEYS]);
  const again = await storedCaKeys(transaction.db);
  return again.length > 0 ? again : [await insertCaKey(transaction, encryption, [], now)];
}

/** Seals every key by the encryption key that is to seal. @returns how many were sealed by another @throws CurfewError `configuration` likewise */
export async function sealCaKeysAgain({ db }: Pick<Transaction, 'db'>, encryption: Encryption): Promise<number> {
  let count = 0;
  for (const key of await storedCaKeys(db)) {
    const sealed = sealedAgain(key, encryption);
    if (!sealed) continue;
    await db.updateTable('ssh_ca_key').set({ sealed }).where('kid', '=', key.kid).execute();
    count += 1;
  }
  return count;
}

/** Whether this is the encryption key of the store. @throws CurfewError `configuration` where it is not */
export async function requireReadableCaKeys(db: Transaction['db'], encryption: Encryption): Promise<void> {
  for (const key of await storedCaKeys(db)) unsealCaKey(key, encryption);
}

/** @throws CurfewError `configuration` where it was sealed under another encryption key */
export function unsealCaKey(key: Pick<CaKey, 'kid' | 'sealed'>, encryption: Encryption): KeyObject {
  return unseal(key, encryption);
}
