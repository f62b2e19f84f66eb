// Commands of an administrator that change the store, beside a broker that runs or without one: each is a transaction like any
// other, and is in the audit log like any other.

import { CurfewError } from '../../shared/errors.ts';
import { createSealer } from '../audit_log/chain.ts';
import type { Config } from '../config/settings.ts';
import { openAuditLog } from '../store/audit_log.ts';
import { openSqlite } from '../store/sqlite.ts';
import { SqliteStore } from '../store/sqlite_store.ts';
import type { Store } from '../store/store.ts';

export type Administered = Pick<Config, 'store' | 'encryption_key'>;

/**
 * Opens the store that is there, for one command. SQLite lets one process write at a time, and the chain of the audit log goes on from
 * what is in the store: so a broker may run beside it, and sees the change with its next transaction.
 *
 * @param make whether a store that is lost, or of an earlier version, is made or brought to this one
 * @param story what the command does, in transactions that each write their row (`administration`)
 * @throws CurfewError `configuration` when there is no store of this version, `store` when it fails: then nothing was done
 */
export async function administer<T>(
  { store: { sqlite }, encryption_key }: Administered,
  story: (store: Store) => Promise<T>,
  { make = false }: { readonly make?: boolean } = {},
): Promise<T> {
  if (!make) await (await openAuditLog(sqlite.file)).destroy();
  let sound = true;
  const store = await SqliteStore.open(openSqlite(sqlite.file, { checkpoints: false }), {
    sealer: createSealer(encryption_key),
    onAudit: () => undefined,
    onBroken: () => {
      sound = false;
    },
  });
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
