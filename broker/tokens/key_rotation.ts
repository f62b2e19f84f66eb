// Rotation: a key is published before it signs, so that whoever verifies knows it, and stays published until the last token that it has
// signed is over.

import { type Clock, over, plus, type Seconds, seconds } from '../../shared/time.ts';
import type { KeysEvent } from '../audit_log/events.ts';
import { longestTaken } from '../config/clusters.ts';
import type { Config } from '../config/settings.ts';
import { encryptionOf } from '../encryption.ts';
import type { Store, Transaction } from '../store/store.ts';
import { insertKey, type KeysParts, SIGNING_KEYS, type StoredKey, signingOf, storedKeys } from './keys.ts';

/** Seconds for which a JWKS may be kept (`Cache-Control`), and a minute for whoever fetches it late. */
export const JWKS_MAX_AGE = seconds(60);
const PUBLISHED_BEFORE = plus(JWKS_MAX_AGE, seconds(60));
/** Clocks of those who verify may be behind ours by this much. */
const LATE = seconds(60);

export interface RotationParts extends KeysParts {
  /** Absent where keys are only changed by hand. */
  readonly rotate_every?: Seconds | undefined;
}

/** As the configuration has it. */
export function keysOf(
  config: Pick<Config, 'encryption_key' | 'other_encryption_key' | 'rotate_keys_every' | 'policy' | 'clusters'>,
): RotationParts {
  const { rotate_keys_every: rotate_every } = config;
  return { encryption: encryptionOf(config), longest_token: longestTaken(config), rotate_every };
}

/** Of the keys that are published, newest first: what each does as of now. */
export interface KeyState extends StoredKey {
  readonly state: 'next' | 'signing' | 'retiring';
  /** When it is not published any more; absent while it signs. */
  readonly until?: Seconds | undefined;
}

export interface Added {
  readonly kid: string;
  readonly sign_from: Seconds;
}

/**
 * Makes the key that signs next, and publishes it.
 *
 * @param asked who asked for it, where somebody did
 * @returns `undefined` where one that was made before does not sign yet
 */
export async function addKey(
  transaction: Transaction,
  parts: KeysParts,
  now: Seconds,
  asked: Pick<KeysEvent, 'by' | 'note'> = {},
): Promise<Added | undefined> {
  await transaction.hold([SIGNING_KEYS]);
  const [newest] = await storedKeys(transaction.db);
  if (newest && !over(newest.sign_from, now)) return undefined;
  const sign_from = plus(now, PUBLISHED_BEFORE);
  const kid = await insertKey(transaction, parts, now, sign_from);
  transaction.publish({ kind: 'keys', at: now });
  await transaction.audit({ event: 'keys', at: now, change: 'added', kids: [kid], sign_from, ...asked });
  return { kid, sign_from };
}

/** One round: what is due by the schedule. Two replicas that do it at once do it once. @throws CurfewError `store` */
export async function keepKeys(
  { store, now }: { readonly store: Pick<Store, 'read' | 'transaction'>; readonly now: Clock },
  parts: RotationParts,
): Promise<void> {
  const seen = await store.read(async (db) => dueOf(await storedKeys(db), parts, now()));
  if (!seen.add && seen.retired.length === 0) return;
  await store.transaction(async (transaction) => {
    await transaction.hold([SIGNING_KEYS]);
    const at = now();
    const { add, retired } = dueOf(await storedKeys(transaction.db), parts, at);
    if (retired.length > 0) {
      await transaction.db.deleteFrom('signing_key').where('kid', 'in', retired).execute();
      transaction.publish({ kind: 'keys', at });
      await transaction.audit({ event: 'keys', at, change: 'retired', kids: retired });
    }
    if (add) await addKey(transaction, parts, at);
  });
}

function dueOf(rows: readonly StoredKey[], { rotate_every }: RotationParts, now: Seconds) {
  const states = statesOf(rows, now);
  const [newest] = states;
  return {
    add: newest !== undefined && rotate_every !== undefined && over(plus(newest.created_at, rotate_every), now),
    retired: states.filter(({ until }) => until !== undefined && over(until, now)).map(({ kid }) => kid),
  };
}

/** @returns newest first */
export async function keyStates(db: Transaction['db'], now: Seconds): Promise<readonly KeyState[]> {
  return statesOf(await storedKeys(db), now);
}

function statesOf(rows: readonly StoredKey[], now: Seconds): readonly KeyState[] {
  if (rows.length === 0) return [];
  const at = rows.indexOf(signingOf(rows, now));
  return rows.map((row, i) => {
    if (i < at) return { ...row, state: 'next' };
    const successor = rows[i - 1];
    if (i === at || !successor) return { ...row, state: 'signing' };
    return { ...row, state: 'retiring', until: plus(successor.sign_from, plus(row.longest_token, LATE)) };
  });
}
