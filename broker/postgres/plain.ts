// A connection for what is no transaction of the service: migrations, and commands that only read.

import { Kysely, PostgresDialect } from 'kysely';
import type { Schema } from '../store/tables.ts';
import { type ConnectOptions, connect } from './client.ts';

export interface Plain {
  readonly db: Kysely<Schema>;
  close(): Promise<void>;
}

/** @throws what the driver throws, or CurfewError */
export async function openPlain(options: ConnectOptions): Promise<Plain> {
  const { client } = await connect(options);
  const pool = { connect: async () => ({ query: client.query.bind(client), release: () => {} }), end: async () => {} };
  // biome-ignore lint/suspicious/noExplicitAny: the pool is this one connection
  const db = new Kysely<Schema>({ dialect: new PostgresDialect({ pool: pool as any }) });
  return { db, close: () => client.end().catch(() => undefined) };
}
