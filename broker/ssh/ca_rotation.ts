// Rotation of the ssh-ca: a key waits until it has been printed for a target, signs there a day later, and is removed once it signs for no
// target any more. What is not printed again keeps the key that it has.

import { between, type Clock, over, plus, type Seconds, seconds } from '../../shared/time.ts';
import type { Config } from '../config/settings.ts';
import type { SshTarget } from '../config/target_settings.ts';
import { type Encryption, encryptionOf } from '../encryption.ts';
import type { Store, Transaction } from '../store/store.ts';
import { type Asked, CA_KEYS, type CaKey, insertCaKey, PRINTED_BEFORE, signerFor, storedCaKeys } from './ca_keys.ts';

export interface CaParts {
  readonly encryption: Encryption;
  /** Names of the targets of kind ssh. */
  readonly targets: readonly string[];
  /** Absent where keys are only changed by hand. */
  readonly rotate_every?: Seconds | undefined;
}

/** As the configuration has it. */
export function caOf(
  config: Parameters<typeof encryptionOf>[0] & Pick<Config, 'rotate_keys_every' | 'targets'>,
): CaParts {
  const targets = sshTargets(config).map(({ name }) => name);
  return { encryption: encryptionOf(config), targets, rotate_every: config.rotate_keys_every };
}

export function sshTargets({ targets }: Pick<Config, 'targets'>): readonly SshTarget[] {
  return targets.filter((target) => target.kind === 'ssh');
}

/** For how long after another has begun to sign what this one signed may still be on its way: a certificate's life, and clocks that differ. */
const LATE = seconds(120);

export interface CaKeyState extends CaKey {
  /** For which of the targets it signs now. */
  readonly signs_for: readonly string[];
  /** For which it is to sign: where it is in print, and since when it signs there; `undefined` where it is not printed. */
  readonly waits_for: readonly Waiting[];
}

interface Waiting {
  readonly target: string;
  readonly sign_from: Seconds | undefined;
}

/** @param keys the newest first */
export function caKeyStates(keys: readonly CaKey[], targets: readonly string[], now: Seconds): readonly CaKeyState[] {
  return keys.map((key, i) => ({
    ...key,
    signs_for: targets.filter((target) => signerFor(keys, target, now) === key),
    waits_for: targets.flatMap((target): readonly Waiting[] => {
      const signing = signerFor(keys, target, now);
      if (!signing || keys.indexOf(signing) <= i) return [];
      const since = key.printed.get(target);
      // What is printed next is all of them, of which the newest will sign.
      if (since === undefined) return i === 0 ? [{ target, sign_from: undefined }] : [];
      return [{ target, sign_from: plus(since, PRINTED_BEFORE) }];
    }),
  }));
}

/**
 * Makes the key that is printed from now on beside those of before.
 *
 * @returns `undefined` where one that was made before signs for no target yet
 */
export async function addCaKey(
  transaction: Transaction,
  { encryption, targets }: CaParts,
  now: Seconds,
  asked: Asked = {},
): Promise<CaKey | undefined> {
  await transaction.hold([CA_KEYS]);
  const keys = await storedCaKeys(transaction.db);
  const [newest] = caKeyStates(keys, targets, now);
  if (newest && keys.length > 1 && newest.signs_for.length === 0) return undefined;
  return insertCaKey(transaction, encryption, keys, now, asked);
}

/** One round: what is due by the schedule. Two replicas that do it at once do it once. @throws CurfewError `store` */
export async function keepCaKeys(
  { store, now }: { readonly store: Pick<Store, 'read' | 'transaction'>; readonly now: Clock },
  parts: CaParts,
): Promise<void> {
  if (parts.targets.length === 0) return;
  const seen = await store.read(async (db) => dueOf(await storedCaKeys(db), parts, now()));
  if (!seen.add && seen.retired.length === 0) return;
  await store.transaction(async (transaction) => {
    await transaction.hold([CA_KEYS]);
    const at = now();
    const { add, retired } = dueOf(await storedCaKeys(transaction.db), parts, at);
    if (retired.length > 0) {
      await transaction.db.deleteFrom('ssh_ca_key').where('kid', 'in', retired).execute();
      await transaction.audit({ event: 'keys', at, of: 'ssh-ca', change: 'retired', kids: retired });
    }
    if (add) await addCaKey(transaction, parts, at);
  });
}

function dueOf(keys: readonly CaKey[], { targets, rotate_every }: CaParts, now: Seconds) {
  const [newest, ...older] = caKeyStates(keys, targets, now);
  if (!newest) return { add: true, retired: [] };
  const before = between(LATE, now);
  const signedBefore = (key: CaKey) => targets.some((target) => signerFor(keys, target, before)?.kid === key.kid);
  return {
    add:
      rotate_every !== undefined &&
      over(plus(newest.created_at, rotate_every), now) &&
      (older.length === 0 || newest.signs_for.length > 0),
    retired: older
      .filter((key) => key.signs_for.length === 0 && key.waits_for.length === 0 && !signedBefore(key))
      .map(({ kid }) => kid),
  };
}

/** @param keys the newest first @returns those that a target's host is to trust: what signs there, has signed until just now, or is to sign */
export function keysInPrint(keys: readonly CaKey[], target: string, now: Seconds): readonly CaKey[] {
  const signed = signerFor(keys, target, between(LATE, now));
  return signed ? keys.slice(0, keys.indexOf(signed) + 1) : [];
}

/** Notes that keys are in print for a target from now on, where they were not. */
export async function notePrinted(
  transaction: Transaction,
  keys: readonly CaKey[],
  target: string,
  now: Seconds,
  asked: Asked,
): Promise<void> {
  const fresh = keys.filter(({ printed }) => !printed.has(target));
  for (const { kid, printed } of fresh) {
    const all = JSON.stringify([...printed, [target, now]]);
    await transaction.db.updateTable('ssh_ca_key').set({ printed: all }).where('kid', '=', kid).execute();
  }
  if (fresh.length === 0) return;
  const kids = fresh.map(({ kid }) => kid);
  await transaction.audit({ event: 'keys', at: now, of: 'ssh-ca', change: 'printed', kids, target, ...asked });
}

/**
 * Takes keys back at once: nothing is signed by them from here on. Where none is left another is made, which signs at once. To be called
 * where no other transaction runs (`holdAll`).
 *
 * @returns those that there are then, the newest first
 */
export async function revokeCaKeys(
  transaction: Transaction,
  encryption: Encryption,
  kids: readonly string[],
  now: Seconds,
  asked: Asked,
): Promise<readonly CaKey[]> {
  await transaction.db.deleteFrom('ssh_ca_key').where('kid', 'in', kids).execute();
  await transaction.audit({ event: 'keys', at: now, of: 'ssh-ca', change: 'revoked', kids, ...asked });
  const left = await storedCaKeys(transaction.db);
  return left.length > 0 ? left : [await insertCaKey(transaction, encryption, [], now, asked)];
}
