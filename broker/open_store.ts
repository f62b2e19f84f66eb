// Opens the store that the settings name, whatever it is in: for the service, or for one command of an administrator.

import { CurfewError } from '../shared/errors.ts';
import type { Sealer } from './audit_log/chain.ts';
import type { PostgresSettings, SqlitePlace, StorePlaces } from './config/settings.ts';
import { DatabaseGuard } from './postgres/guard.ts';
import { newestFirst } from './postgres/newest_first.ts';
import { PostgresStore } from './postgres/store.ts';
import { openAuditLog } from './store/audit_log.ts';
import { ACCEPT, bearWitness, UNREADABLE_WITNESS } from './store/bear_witness.ts';
import { FileGuard, refuseLostStore, refuseWrongStore } from './store/file_guard.ts';
import type { StoreGuard, StoreOptions } from './store/options.ts';
import { openSqlite } from './store/sqlite.ts';
import { SqliteStore } from './store/sqlite_store.ts';
import type { Store } from './store/store.ts';
import { type Known, Witness } from './store/witness.ts';
import { isDiskFault, sayStoreFault } from './store/words.ts';

export interface Opened {
  readonly store: Store;
  readonly guard: StoreGuard;
}

type FilePlace = Extract<StorePlaces, SqlitePlace>;

const APPLICATION = 'curfew-broker';

/**
 * For a service: made or brought to this version, and compared with its witness.
 *
 * @throws CurfewError `configuration` or `store`, naming what is wrong
 */
export async function openStore(places: StorePlaces, options: StoreOptions): Promise<Opened> {
  return places.postgres ? openDatabase(places.postgres, places.witness_file, options) : openFile(places, options);
}

/**
 * For one command, which may run beside a service.
 *
 * @param make whether a store that is lost, moved or of an earlier version is taken as it is, and made or brought to this one
 * @throws CurfewError `configuration` when there is no store of this version, `store` when it cannot be opened
 */
export async function openForCommand(places: StorePlaces, options: StoreOptions, make: boolean): Promise<Store> {
  if (places.postgres) {
    const database = await newestFirst({ ...places.postgres, application: `${APPLICATION} command`, connections: 2 });
    const store = await PostgresStore.open({ ...database, make, unchecked: make, unfinished: make }, options);
    if (make) store.useUnfinished();
    return store;
  }
  const { file } = places.sqlite;
  if (!make) await (await openAuditLog(file)).destroy();
  return SqliteStore.open(openSqlite(file, { checkpoints: false }), options);
}

/** Into which a store was copied, whether or not that is finished. @throws CurfewError `store` */
export async function openCopied(settings: PostgresSettings, options: StoreOptions): Promise<Store> {
  const database = await newestFirst({ ...settings, application: `${APPLICATION} command`, connections: 2 });
  const store = await PostgresStore.open({ ...database, make: false, unfinished: true }, options);
  store.useUnfinished();
  return store;
}

/** An administrator has said that the store may be used where it is and as it is. @throws CurfewError `store`, `configuration` */
export async function settleStore(store: Store, { witness_file }: StorePlaces, sealer: Sealer): Promise<void> {
  await store.settle();
  if (witness_file === undefined) return;
  const witness = new Witness(witness_file, sealer);
  await bearWitness(store, witness);
  witness.close();
}

async function openDatabase(
  settings: PostgresSettings,
  witness_file: string | undefined,
  options: StoreOptions,
): Promise<Opened> {
  const witness = witness_file === undefined ? undefined : new Witness(witness_file, options.sealer);
  const known = witness?.there ? knownTo(witness) : [];
  const database = await newestFirst({ ...settings, application: APPLICATION });
  const store = await PostgresStore.open({ ...database, known }, options);
  return withGuard(store, () => DatabaseGuard.open(store, witness));
}

function knownTo(witness: Witness): readonly Known[] {
  const known = witness.read();
  if (known.length > 0) return known;
  throw new CurfewError('store', `the store ${UNREADABLE_WITNESS} (${witness.file})`, { hint: ACCEPT });
}

async function openFile(places: FilePlace, options: StoreOptions): Promise<Opened> {
  const { file } = places.sqlite;
  refuseLostStore(places);
  try {
    await refuseWrongStore(places, options.sealer);
    const store = await SqliteStore.open(openSqlite(file), options);
    return await withGuard(store, () => FileGuard.open(store, places, options.sealer));
  } catch (cause) {
    if (cause instanceof CurfewError) throw cause;
    const why = sayStoreFault(cause) ?? codeOf(cause);
    if (isDiskFault(cause)) {
      const hint = 'mend the disk that is named, then start again';
      throw new CurfewError('store', `the store ${file} cannot be opened: ${why}`, { cause, hint });
    }
    throw new CurfewError('configuration', `store.sqlite.file: ${file} cannot be opened: ${why}`, { cause });
  }
}

async function withGuard(store: Store, open: () => Promise<StoreGuard>): Promise<Opened> {
  try {
    return { store, guard: await open() };
  } catch (error) {
    await store.close();
    throw error;
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
}
