// Brings a database to this version, on a connection that is used for nothing else.

import { sql } from 'kysely';
import { type Migration, Migrator } from 'kysely/migration';
import { CurfewError } from '../../shared/errors.ts';
import { judgeVersion, migrationsDone } from '../store/version.ts';
import { type ConnectOptions, connect, kyselyOn } from './client.ts';
import { LOCK } from './locks.ts';
import { POSTGRES_MIGRATIONS } from './schema.ts';

/**
 * Other replicas work on the tables meanwhile. A change of them waits for the transactions that run, and those that come wait for it:
 * table by table in whatever order, each would wait for the other.
 */
const BESIDE_NOBODY = Object.fromEntries(
  Object.entries(POSTGRES_MIGRATIONS).map(([name, { up }]): [string, Migration] => [
    name,
    {
      async up(db) {
        await sql`select pg_advisory_xact_lock(${sql.lit(LOCK.store)}, 0)`.execute(db);
        await up(db);
      },
    },
  ]),
);

/** @throws what the driver throws, or CurfewError: also where only later versions may use it */
export async function migrate(database: ConnectOptions): Promise<void> {
  const { client } = await connect(database);
  const provider = { getMigrations: async () => BESIDE_NOBODY };
  try {
    const db = kyselyOn(client);
    if ((await judgeVersion(db, await migrationsDone(db), Object.keys(POSTGRES_MIGRATIONS))) === 'newer') return;
    const { error } = await new Migrator({ db, provider }).migrateToLatest();
    if (error) throw error;
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** @throws CurfewError `configuration` where the tables of this version are not there; `store`, what the driver throws */
export async function requireTables(database: ConnectOptions): Promise<void> {
  const fault = (what: string) => new CurfewError('configuration', `store.postgres: the database ${what}`);
  const { client } = await connect(database);
  try {
    const db = kyselyOn(client);
    const done = await migrationsDone(db);
    if (done.length === 0) throw fault('is not a store of curfew-broker: it is made when the broker starts');
    if ((await judgeVersion(db, done, Object.keys(POSTGRES_MIGRATIONS))) === 'older')
      throw fault('is of an earlier version: a restart of the broker brings it to this one');
  } finally {
    await client.end().catch(() => undefined);
  }
}
