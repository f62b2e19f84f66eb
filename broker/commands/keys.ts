// `curfew-broker keys list`, `rotate` and `rotate-encryption`: what an administrator sees of the keys, and does with them. Beside a broker
// that runs, or without one.

import { CurfewError } from '../../shared/errors.ts';
import { type Clock, plus } from '../../shared/time.ts';
import { sealerOf } from '../audit_log/chain.ts';
import type { Config } from '../config/settings.ts';
import { sealCaKeysAgain, storedCaKeys } from '../ssh/ca_keys.ts';
import { sealLanesAgain } from '../store/sealed_lanes.ts';
import { formatTime } from '../text/rfc3339.ts';
import { addKey, type KeyState, keyStates, keysOf } from '../tokens/key_rotation.ts';
import { sealKeysAgain, storedKeys } from '../tokens/keys.ts';
import { administer, requireTime } from './administration.ts';

export interface Around {
  readonly now: Clock;
  /** Who runs the command, for the audit log. */
  readonly by: string;
  /** What they give as their reason. */
  readonly note?: string | undefined;
}

/** @throws CurfewError `configuration` when there is no store of this version, `store` when it fails */
export async function listKeys(config: Config, now: Clock): Promise<readonly string[]> {
  const states = await administer(config, (store) => store.read((db) => keyStates(db, now())));
  return states.map(sayKey);
}

function sayKey({ kid, state, created_at, sign_from, until }: KeyState): string {
  const made = `made ${formatTime(created_at)}`;
  switch (state) {
    case 'next':
      return `${kid}  next: signs from ${formatTime(sign_from)}, ${made}`;
    case 'signing':
      return `${kid}  signing, ${made}`;
    case 'retiring':
      return `${kid}  retiring: published until ${until === undefined ? 'it is over' : formatTime(until)}, ${made}`;
  }
}

/** Publishes a new key, which signs as soon as everybody may know it. @throws CurfewError `usage` where one waits already */
export async function rotateKeys(config: Config, { now, by, note }: Around): Promise<readonly string[]> {
  const added = await administer(config, async (store) => {
    await requireTime(store, now());
    return store.transaction((transaction) => addKey(transaction, keysOf(config), now(), { by, note }));
  });
  if (!added)
    throw new CurfewError('usage', 'a key that was made before does not sign yet: nothing was done', {
      hint: 'see curfew-broker keys list',
    });
  return [
    `ok: ${added.kid} signs from ${formatTime(added.sign_from)}; the others stay published until what they signed is over`,
  ];
}

/**
 * Seals by the encryption key what the store holds sealed by the other one, which is not needed then but for tokens that are out.
 *
 * @throws CurfewError `usage` where no other one is given
 */
export async function rotateEncryption(config: Config, { now, by, note }: Around): Promise<readonly string[]> {
  if (!config.other_encryption_key)
    throw new CurfewError(
      'usage',
      'keys.other_encryption_key_file: required, as there is nothing to replace without it',
      { hint: 'see docs/commands.md, curfew-broker keys rotate-encryption' },
    );
  const { encryption, longest_token } = keysOf(config);
  const count = await administer(config, async (store) => {
    await requireTime(store, now());
    return store.transaction(async (transaction) => {
      await transaction.holdAll();
      const at = now();
      const sealed = await sealKeysAgain(transaction, encryption);
      const sealedOfCa = await sealCaKeysAgain(transaction, encryption);
      await sealLanesAgain(transaction, sealerOf(config));
      const kids = (await storedKeys(transaction.db)).map(({ kid }) => kid);
      await transaction.audit({ event: 'keys', at, change: 'sealed', kids, by, note });
      const ofCa = (await storedCaKeys(transaction.db)).map(({ kid }) => kid);
      if (ofCa.length > 0)
        await transaction.audit({ event: 'keys', at, of: 'ssh-ca', change: 'sealed', kids: ofCa, by, note });
      return sealed + sealedOfCa;
    });
  });
  const over = plus(now(), longest_token);
  return [
    `ok: ${count} signing ${count === 1 ? 'key' : 'keys'} sealed by the encryption key, and the audit log`,
    `ok: tokens that bear the mark of the other one are over at ${formatTime(over)}: take it out of the configuration then`,
  ];
}
