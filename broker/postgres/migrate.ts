// Brings a database to this version, on a connection that is used for nothing else. First it is looked at: whether it is the one that is
// known, as an old primary or a stranger's database is not to be changed.

import { sql } from 'kysely';
import { type Migration, Migrator } from 'kysely/migration';
import type { Client } from 'pg';
import { CurfewError } from '../../shared/errors.ts';
import { NO_STORE } from '../store/bear_witness.ts';
import { requireInUse } from '../store/moved.ts';
import { judgeVersion, migrationsDone } from '../store/version.ts';
import { type ConnectOptions, connect, kyselyOn } from './client.ts';
import { type Identity, WrongDatabase } from './identity.ts';
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

export interface TablesOptions extends ConnectOptions {
  /** Whether a copy into it may be unfinished. */
  readonly unfinished?: boolean | undefined;
}

/**
 * @throws what the driver throws, or CurfewError: also where only later versions may use it, where it is not the one that is known, or is
 *   not in use
 */
export async function migrate(database: TablesOptions, identity: Identity): Promise<void> {
  const client = await connectTo(database, identity);
  const provider = { getMigrations: async () => BESIDE_NOBODY };
  try {
    const db = kyselyOn(client);
    const done = await migrationsDone(db);
    await requireInUse(db, done, database.unfinished);
    if ((await judgeVersion(db, done, Object.keys(POSTGRES_MIGRATIONS))) === 'newer') return;
    const { error } = await new Migrator({ db, provider }).migrateToLatest();
    if (error) throw error;
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** @throws CurfewError `configuration` where the tables of this version are not there; `store`, what the driver throws */
export async function requireTables(database: TablesOptions, identity: Identity): Promise<void> {
  const fault = (what: string) => new CurfewError('configuration', `store.postgres: the database ${what}`);
  const client = await connectTo(database, identity);
  try {
    const db = kyselyOn(client);
    const done = await migrationsDone(db);
    if (done.length === 0) throw fault('is not a store of curfew-broker: it is made when the broker starts');
    await requireInUse(db, done, database.unfinished);
    if ((await judgeVersion(db, done, Object.keys(POSTGRES_MIGRATIONS))) === 'older')
      throw fault('is of an earlier version: a restart of the broker brings it to this one');
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** To the first host with the database that is known, or with any where none is. */
async function connectTo(database: ConnectOptions, identity: Identity): Promise<Client> {
  const { client } = await connect(database, async (client) => {
    const db = kyselyOn(client);
    const done = await migrationsDone(db);
    if (done.length > 0) {
      await judgeVersion(db, done, Object.keys(POSTGRES_MIGRATIONS));
      return identity.see(client);
    }
    if (identity.expects) throw new WrongDatabase(NO_STORE);
    return 0;
  });
  return client;
}
