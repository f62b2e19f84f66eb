// Commands of an administrator that change the store, beside a broker that runs or without one: each is a transaction like any
// other, and is in the audit log like any other.

import { CurfewError } from '../../shared/errors.ts';
import type { Seconds } from '../../shared/time.ts';
import { sealerOf } from '../audit_log/chain.ts';
import type { Config } from '../config/settings.ts';
import { openForCommand } from '../open_store.ts';
import type { Store } from '../store/store.ts';

export type Administered = Pick<Config, 'store' | 'encryption_key' | 'other_encryption_key'>;

/**
 * Opens the store that is there, for one command. A broker may run beside it, and sees the change with its next transaction.
 *
 * @param make whether a store that is lost, or of an earlier version, is made or brought to this one
 * @param story what the command does, in transactions that each write their row (`administration`)
 * @throws CurfewError `configuration` when there is no store of this version, `store` when it fails: then nothing was done
 */
export async function administer<T>(
  config: Administered,
  story: (store: Store) => Promise<T>,
  { make = false }: { readonly make?: boolean } = {},
): Promise<T> {
  let sound = true;
  const options = {
    sealer: sealerOf(config),
    onAudit: () => undefined,
    onBroken: () => {
      sound = false;
    },
  };
  const store = await openForCommand(config.store, options, make);
  try {
    const result = await story(store);
    if (sound) return result;
  } finally {
    await store.close();
  }
  throw new CurfewError('store', 'it is done, but the audit log was changed from outside before', {
    hint: 'run: curfew-broker audit verify',
  });
}

/** Nothing is written by a clock that is behind what the store has seen. @throws CurfewError `clock` */
export async function requireTime(store: Pick<Store, 'standing'>, now: Seconds, hint = THEN_AGAIN): Promise<void> {
  if (now >= (await store.standing()).newest) return;
  throw new CurfewError('clock', 'the clock is behind the newest instant of the store', { hint });
}

const THEN_AGAIN = 'correct the clock, then run this again';
