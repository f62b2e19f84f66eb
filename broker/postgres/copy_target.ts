// A database that a store is copied into: in one transaction, and compared with what was read before that is committed. What is there then
// is not in use until the store that it was copied from says that it is not any more.

import type { Client } from 'pg';
import { CurfewError } from '../../shared/errors.ts';
import type { CopiedTable } from '../store/copied_tables.ts';
import { asFailure } from '../store/failure.ts';
import { type Moved, movedOf } from '../store/moved.ts';
import { RowDigest, type Value } from '../store/row_digest.ts';
import { judgeVersion, migrationsDone } from '../store/version.ts';
import { sayStoreFault } from '../store/words.ts';
import { type ConnectOptions, connect, cut, kyselyOn } from './client.ts';
import { commitOn } from './commit.ts';
import { Identity } from './identity.ts';
import { LOCK } from './locks.ts';
import { migrate } from './migrate.ts';
import { newestFirst } from './newest_first.ts';
import { POSTGRES_MIGRATIONS } from './schema.ts';

/** Rows, and characters of text in them, that are on their way at a time. */
const ROWS_AT_ONCE = 500;
const TEXT_AT_ONCE = 4 * 1024 * 1024;
/** A statement of a copy takes longer than one of a request. */
const STATEMENT_MS = 60_000;
const PATIENCE = `set statement_timeout = ${STATEMENT_MS}; set lock_timeout = 10000;
  set idle_in_transaction_session_timeout = ${STATEMENT_MS}`;

const TABLES = `select tablename as name from pg_tables where schemaname = current_schema() order by 1`;
/** Of these a store has rows before anything has happened. */
const BEGINNINGS: Readonly<Record<string, string>> = {
  store_state: 'epoch = 0 and newest = 0',
  feed_head: 'seq = 0',
  audit_lane: 'seq = 0',
};
const SYSTEM = 'select system_identifier::text as system_id from pg_control_system()';
const TYPES = { INTEGER: 'bigint', TEXT: 'text', BLOB: 'bytea' } as const;

interface FilledTable {
  readonly table: CopiedTable;
  readonly rows: () => Iterable<readonly Value[]>;
}

/** Is told how many rows of a table are there. */
export type Tell = (table: string, rows: number, count: number) => void;

export class CopyTarget {
  /** Where it is, in words. */
  readonly name: string;
  readonly #client: Client;

  private constructor(client: Client, name: string) {
    this.#client = client;
    this.name = name;
  }

  /**
   * Makes the tables where there is nothing yet.
   *
   * @throws CurfewError `configuration` where there is something else than an empty store, or an unfinished copy; `store`
   */
  static async open(given: ConnectOptions): Promise<CopyTarget> {
    try {
      const database = await newestFirst(given);
      const { client } = await connect({ ...database, query_ms: STATEMENT_MS + 10_000 });
      try {
        await client.query(PATIENCE);
        await makeTables(client, database);
        const { rows } = await client.query<{ system_id: string }>(SYSTEM);
        return new CopyTarget(client, nameOf(database, rows[0]?.system_id));
      } catch (error) {
        await cut(client);
        throw error;
      }
    } catch (error) {
      throw asFailure(error);
    }
  }

  /** What is there. @returns nothing where the store is empty @throws CurfewError `configuration` where another one is in use */
  async found(): Promise<(Moved & { readonly database_id: string }) | undefined> {
    try {
      const moved = await movedOf(kyselyOn(this.#client));
      if (!moved) {
        await this.#requireEmpty();
        return undefined;
      }
      const { rows } = await this.#client.query<{ database_id: string }>('select database_id from store_state');
      return { ...moved, database_id: rows[0]?.database_id ?? '' };
    } catch (error) {
      throw asFailure(error);
    }
  }

  /**
   * All in one transaction: what was there of an unfinished copy goes. Whoever else has the store open waits, or is sent away.
   *
   * @returns how many rows there are @throws CurfewError `store`, and what reading throws: then nothing was written
   */
  async fill(tables: readonly FilledTable[], tell: Tell): Promise<number> {
    const client = this.#client;
    try {
      await client.query(`begin; select pg_advisory_xact_lock(${LOCK.store}, 0)`);
      const moved = await movedOf(kyselyOn(client));
      if (!moved) await this.#requireEmpty();
      else if (!moved.unfinished) throw inUse('it holds a store');
      await client.query(`truncate ${(await tablesOf(client)).map(quoted).join(', ')}`);
      let count = 0;
      for (const { table, rows } of tables) count += await this.#fillOne(table, rows(), tell);
      await client.query('analyze');
      await commitOn(client);
      return count;
    } catch (error) {
      await client.query('rollback').catch(() => undefined);
      throw asFailure(error);
    }
  }

  async close(): Promise<void> {
    await this.#client.end().catch(() => undefined);
  }

  async #fillOne(table: CopiedTable, rows: Iterable<readonly Value[]>, tell: Tell): Promise<number> {
    const { name, count, numbered } = table;
    const read = new RowDigest();
    try {
      for (const batch of batches(rows)) {
        for (const row of batch) read.add(row);
        await this.#insert(table, batch);
        tell(name, read.rows, count);
      }
      if (numbered !== undefined)
        await this.#client.query('select setval(pg_get_serial_sequence($1, $2), $3, true)', [
          quoted(name),
          table.key[0],
          Math.max(1, numbered),
        ]);
      const written = await this.#digestOf(table);
      if (read.rows !== count || written.rows !== count || read.finish() !== written.finish())
        throw new CurfewError('store', `table ${name} is not in the copy as it was read: nothing was moved`);
      return count;
    } catch (error) {
      if (error instanceof CurfewError) throw error;
      const why = sayStoreFault(error) ?? 'unknown';
      throw new CurfewError('store', `table ${name} cannot be copied after row ${read.rows}: ${why}`, { cause: error });
    }
  }

  async #insert({ name, columns }: CopiedTable, rows: readonly (readonly Value[])[]): Promise<void> {
    const names = columns.map((column) => quoted(column.name)).join(', ');
    const lists = columns.map(({ type }, n) => `$${n + 1}::${TYPES[type]}[]`).join(', ');
    await this.#client.query(
      `insert into ${quoted(name)} (${names}) select * from unnest(${lists})`,
      columns.map((_, n) => rows.map((row) => row[n])),
    );
  }

  async #digestOf({ name, columns, key }: CopiedTable): Promise<RowDigest> {
    const digest = new RowDigest();
    const names = columns.map((column) => quoted(column.name)).join(', ');
    const order = key.map(quoted).join(', ');
    await this.#client.query(
      `declare copied no scroll cursor for select ${names} from ${quoted(name)} order by ${order}`,
    );
    for (;;) {
      const text = `fetch ${ROWS_AT_ONCE} from copied`;
      const { rows } = await this.#client.query<Value[]>({ text, rowMode: 'array' });
      if (rows.length === 0) break;
      for (const row of rows) digest.add(row);
    }
    await this.#client.query('close copied');
    return digest;
  }

  async #requireEmpty(): Promise<void> {
    for (const table of await tablesOf(this.#client)) {
      const beginning = BEGINNINGS[table];
      const other = beginning === undefined ? '' : `where not (${beginning})`;
      const { rows } = await this.#client.query(`select 1 from ${quoted(table)} ${other} limit 1`);
      if (rows.length > 0) throw inUse(`table ${table} has rows`);
    }
  }
}

async function makeTables(client: Client, database: ConnectOptions): Promise<void> {
  const { rows } = await client.query<{ name: string }>(TABLES);
  if (rows.length === 0) return migrate({ ...database, unfinished: true }, new Identity([]));
  const done = await migrationsDone(kyselyOn(client));
  if (done.length === 0) throw inUse(`it has a table ${rows[0]?.name}, and is not a store of curfew-broker`);
  const version = await judgeVersion(kyselyOn(client), done, Object.keys(POSTGRES_MIGRATIONS));
  if (version !== 'same') throw inUse(`it holds a store of ${version === 'older' ? 'an earlier' : 'a later'} version`);
}

async function tablesOf(client: Client): Promise<readonly string[]> {
  const { rows } = await client.query<{ name: string }>(TABLES);
  return rows.map(({ name }) => name).filter((name) => !name.startsWith('kysely_'));
}

/** Nothing is copied into what somebody may need. */
export function inUse(why: string): CurfewError {
  return new CurfewError('configuration', `store.postgres: the database is not empty: ${why}`, {
    hint: 'give an empty database; nothing was moved',
  });
}

function nameOf({ address: { database, hosts } }: ConnectOptions, system_id = 'unknown'): string {
  const places = hosts.map(({ host, port }) => `${host}:${port}`).join(', ');
  return `PostgreSQL (database ${database} at ${places}, system identifier ${system_id})`;
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

function* batches(rows: Iterable<readonly Value[]>): Generator<readonly (readonly Value[])[]> {
  let batch: (readonly Value[])[] = [];
  let text = 0;
  for (const row of rows) {
    batch.push(row);
    for (const value of row) if (typeof value === 'string') text += value.length;
    if (batch.length < ROWS_AT_ONCE && text < TEXT_AT_ONCE) continue;
    yield batch;
    [batch, text] = [[], 0];
  }
  if (batch.length > 0) yield batch;
}
