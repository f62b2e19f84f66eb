// All rows of a store, as texts that are the same whichever database they are in.

import { DatabaseSync } from 'node:sqlite';
import type { Postgres } from './postgres.ts';

/** By table, in an order of their own. */
export type StoreRows = Readonly<Record<string, readonly string[]>>;

type Row = Readonly<Record<string, unknown>>;

const AUDIT_HEAD = 'audit_head';
/** What each has as its own: leases, what it says of a copy, and the database's tables. */
const isOwn = (table: string) => /^(lease|store_state|sqlite_.*|kysely_.*)$/.test(table);

/** @param file that nobody has open */
export function rowsOfFile(file: string): StoreRows {
  const database = new DatabaseSync(file, { readOnly: true });
  try {
    const tables = database.prepare(`select name from sqlite_master where type = 'table'`).all();
    const names = tables.map(({ name }) => String(name)).filter((name) => !isOwn(name));
    return rowsOf(names, (name) => database.prepare(`select * from "${name}"`).all(), { id: 1 });
  } finally {
    database.close();
  }
}

/** Those that were copied, as `rowsOfFile` has them. @param tables of the file */
export async function rowsOfCopy(server: Postgres, database: string, tables: readonly string[]): Promise<StoreRows> {
  const found: Record<string, Row[]> = {};
  for (const name of tables) {
    const text =
      name === AUDIT_HEAD
        ? 'select seq, hash, seal from audit_lane where lane = 0'
        : `select * from "${name}" ${name === 'audit' ? 'where lane = 0' : ''}`;
    found[name] = (await server.query(text, database)) as Row[];
  }
  return rowsOf(tables, (name) => found[name] ?? [], {});
}

/** @param without of the head of the one chain */
function rowsOf(tables: readonly string[], read: (table: string) => readonly Row[], without: Row): StoreRows {
  const text = (table: string, row: Row) => {
    const own = table === AUDIT_HEAD ? Object.keys(without) : ['lane'];
    const fields = Object.entries(row).filter(([name]) => !own.includes(name));
    return JSON.stringify(fields.map(([name, value]) => [name, plain(value)]).sort());
  };
  return Object.fromEntries(
    tables.map((table) => [
      table,
      read(table)
        .map((row) => text(table, row))
        .sort(),
    ]),
  );
}

function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex');
  return value === null ? null : String(value);
}
