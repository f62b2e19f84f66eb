// Stores of both databases, for suites that hold for each: opened as often as wanted on one database, as replicas open it.

import { createSecretKey, randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createSealer } from '../../broker/audit_log/chain.ts';
import { parseDatabaseAddress } from '../../broker/config/database_address.ts';
import { PostgresStore } from '../../broker/postgres/store.ts';
import { openSqlite } from '../../broker/store/sqlite.ts';
import { SqliteStore } from '../../broker/store/sqlite_store.ts';
import type { Store } from '../../broker/store/store.ts';
import { CurfewError } from '../../shared/errors.ts';
import { type Postgres, startPostgres } from './postgres.ts';

export const DATABASES = ['sqlite', 'postgres'] as const;
export type Database = (typeof DATABASES)[number];

export interface Stores {
  /** A new, empty database for all that is opened from here on. */
  renew(): Promise<void>;
  open(): Promise<Store>;
  /** Where the database is: a file, or a URL. */
  readonly place: string;
  /** The server; there is one for PostgreSQL alone. */
  readonly server: Postgres | undefined;
  /** Closes what was opened, and removes all. */
  stop(): Promise<void>;
}

const OPTIONS = {
  sealer: createSealer(createSecretKey(randomBytes(32))),
  onAudit: () => undefined,
  onBroken: () => undefined,
  stopwatch: () => performance.now() / 1_000,
};

export async function startStores(database: Database): Promise<Stores> {
  const opened: Store[] = [];
  const folder = await mkdtemp(path.join(tmpdir(), 'curfew-stores-'));
  const server = database === 'postgres' ? await startPostgres() : undefined;
  let count = 0;
  let place = '';
  const stores: Stores = {
    server,
    get place() {
      return place;
    },
    async renew() {
      place = server ? await server.createDatabase() : path.join(folder, `${++count}.db`);
    },
    async open() {
      const store = server
        ? await PostgresStore.open(
            { address: parseDatabaseAddress(place, 'place'), application: 'curfew-test', connections: 6 },
            OPTIONS,
          )
        : await SqliteStore.open(openSqlite(place), OPTIONS);
      opened.push(store);
      return store;
    },
    async stop() {
      await Promise.all(opened.splice(0).map((store) => store.close()));
      await server?.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
  await stores.renew();
  return stores;
}

/** However often it is sent away with the word to come again: on a slow machine others come first. */
export async function insist<T>(ask: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof CurfewError && error.retry_after !== undefined)) throw error;
    }
  }
}
