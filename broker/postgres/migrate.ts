// Brings a database to this version, on a connection that is used for nothing else.

import { Migrator } from 'kysely/migration';
import { judgeVersion, migrationsDone } from '../store/version.ts';
import { type ConnectOptions, connect, kyselyOn } from './client.ts';
import { POSTGRES_MIGRATIONS } from './schema.ts';

/** @throws what the driver throws, or CurfewError: also where only later versions may use it */
export async function migrate(database: ConnectOptions): Promise<void> {
  const { client } = await connect(database);
  const provider = { getMigrations: async () => ({ ...POSTGRES_MIGRATIONS }) };
  try {
    const db = kyselyOn(client);
    if ((await judgeVersion(db, await migrationsDone(db), Object.keys(POSTGRES_MIGRATIONS))) === 'newer') return;
    const { error } = await new Migrator({ db, provider }).migrateToLatest();
    if (error) throw error;
  } finally {
    await client.end().catch(() => undefined);
  }
}
