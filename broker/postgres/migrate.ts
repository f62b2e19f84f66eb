// Brings a database to this version, on a connection that is used for nothing else.

import { Migrator } from 'kysely/migration';
import { type ConnectOptions, connect, kyselyOn } from './client.ts';
import { POSTGRES_MIGRATIONS } from './schema.ts';

/** @throws what the driver throws, or CurfewError */
export async function migrate(database: ConnectOptions): Promise<void> {
  const { client } = await connect(database);
  const provider = { getMigrations: async () => ({ ...POSTGRES_MIGRATIONS }) };
  try {
    const { error } = await new Migrator({ db: kyselyOn(client), provider }).migrateToLatest();
    if (error) throw error;
  } finally {
    await client.end().catch(() => undefined);
  }
}
