// The tables of a store in SQLite as another database is to have them: each with its columns and its key, and its rows in the order of that.
// What PostgreSQL would refuse, or keep as something else, is refused here by the name of the row.

import type { DatabaseSync } from 'node:sqlite';
import { CurfewError } from '../../shared/errors.ts';
import { visibleJson } from '../text/names.ts';
import type { Value } from './row_digest.ts';

type Type = 'INTEGER' | 'TEXT' | 'BLOB';

export interface CopiedColumn {
  readonly name: string;
  readonly type: Type;
  /** What it is in each row of the copy, in place of what is there. */
  readonly instead?: Value | undefined;
}

export interface CopiedTable {
  /** In the copy. */
  readonly name: string;
  /** In the file. */
  readonly from: string;
  readonly columns: readonly CopiedColumn[];
  /** Orders the rows, in the file as in the copy. */
  readonly key: readonly string[];
  /** Columns of which each group is in one row of an index. */
  readonly indexed: readonly (readonly string[])[];
  readonly count: number;
  /** The newest number that was given, where the database numbers its rows. */
  readonly numbered?: number | undefined;
}

type Values = Readonly<Record<string, Value>>;

/** The one chain is the lane that nobody takes on; a lease is nobody's once its broker has stopped. */
const INSTEAD: Readonly<
  Record<string, { readonly name?: string; readonly values: Values; readonly without?: string }>
> = {
  audit: { values: { lane: 0 } },
  audit_head: { name: 'audit_lane', values: { lane: 0, newest: 0 }, without: 'id' },
  lease: { values: { holder: null, until: null } },
};
/** Bytes of what one row of an index holds (PostgreSQL: 2,704 with what surrounds it). */
const LARGEST_KEY_BYTES = 2_600;
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** @param values by table and column, in place of what is there */
export function tablesOf(database: DatabaseSync, values: Readonly<Record<string, Values>>): readonly CopiedTable[] {
  return all(
    database,
    `select name from sqlite_master where type = 'table' and name not like 'sqlite^_%' escape '^'
      and name not like 'kysely^_%' escape '^' order by name`,
  ).map(({ name }) => tableOf(database, String(name), values[String(name)] ?? {}));
}

function tableOf(database: DatabaseSync, from: string, given: Values): CopiedTable {
  const { name = from, values = {}, without } = INSTEAD[from] ?? {};
  const instead: Values = { ...values, ...given };
  const found = all(database, 'select name, type, pk from pragma_table_info(?)', from);
  const own = found
    .map((column) => ({ name: String(column.name), type: typeOf(from, column.type) }))
    .filter((column) => column.name !== without);
  const more = Object.keys(instead).filter((column) => !own.some(({ name }) => name === column));
  const key = found.filter(({ pk }) => pk !== 0).sort((a, b) => Number(a.pk) - Number(b.pk));
  const [counted] = all(database, `select count(*) as count from "${from}"`);
  const [numbered] = hasNumbers(database) ? all(database, 'select seq from sqlite_sequence where name = ?', from) : [];
  return {
    name,
    from,
    columns: [
      ...more.map((column) => ({ name: column, type: 'INTEGER' as const, instead: instead[column] })),
      ...own.map((column) => ({ ...column, instead: instead[column.name] })),
    ],
    key: from === 'audit_head' ? ['lane'] : key.map((column) => String(column.name)),
    indexed: indexesOf(
      database,
      from,
      own.filter(({ type }) => type !== 'INTEGER').map((column) => column.name),
    ),
    count: Number(counted?.count),
    ...(numbered && { numbered: Number(numbered.seq) }),
  };
}

/** Each as the columns that it is about, also where it is of an expression. */
function indexesOf(database: DatabaseSync, table: string, long: readonly string[]): readonly (readonly string[])[] {
  const indexes = all(database, 'select name from pragma_index_list(?)', table);
  return indexes.map(({ name }) => {
    const [made] = all(database, 'select sql from sqlite_master where name = ?', String(name));
    const columns = all(database, 'select name from pragma_index_info(?)', String(name));
    const [, expression = ''] = /\((.*)\)/s.exec(String(made?.sql ?? '')) ?? [];
    return long.filter(
      (column) => columns.some((one) => one.name === column) || new RegExp(`\\b${column}\\b`).test(expression),
    );
  });
}

function hasNumbers(database: DatabaseSync): boolean {
  return all(database, `select 1 from sqlite_master where name = 'sqlite_sequence'`).length > 0;
}

function typeOf(table: string, type: unknown): Type {
  if (type === 'INTEGER' || type === 'TEXT' || type === 'BLOB') return type;
  throw new TypeError(`a column of ${table} is of no known type`);
}

function all(database: DatabaseSync, text: string, ...values: readonly string[]): Record<string, unknown>[] {
  return database.prepare(text).all(...values);
}

/** One after the other: never more of them in memory than whoever asks keeps. */
export function* readRows(database: DatabaseSync, table: CopiedTable): Generator<readonly Value[]> {
  const { columns, from, key } = table;
  // Text as bytes: what is no UTF-8 would be read as something else than what is there.
  const read = columns.map(({ name, type, instead }, n) => {
    if (instead !== undefined) return `null as c${n}`;
    return type === 'TEXT' ? `cast("${name}" as blob) as c${n}` : `"${name}" as c${n}`;
  });
  const order = from === 'audit_head' ? '1' : key.map((name) => `"${name}"`).join(', ');
  const statement = database.prepare(`select ${read.join(', ')} from "${from}" order by ${order}`);
  statement.setReadBigInts(true);
  let n = 0;
  for (const found of statement.iterate()) {
    n += 1;
    const row = columns.map(({ instead }, i) => (instead !== undefined ? instead : found[`c${i}`]));
    const fault = (what: string) => faultOfRow(table, n, row, what);
    const values = columns.map(({ name, type }, i) => kept(row[i], type, name, fault));
    const tooLong = tooLongKey(table, values);
    if (tooLong) throw fault(`has a key that is too long for PostgreSQL (${tooLong.join(', ')}: 2,600 bytes at most)`);
    yield values;
  }
}

type Fault = (what: string) => CurfewError;

function kept(found: unknown, type: Type, column: string, fault: Fault): Value {
  if (found === null) return null;
  if (typeof found === 'number' || typeof found === 'string') return found;
  if (typeof found === 'bigint') {
    if (Number.isSafeInteger(Number(found))) return Number(found);
    throw fault(`has a number in ${column} that is larger than any of ours`);
  }
  if (!(found instanceof Uint8Array)) throw fault(`has a value in ${column} that is none of ours`);
  return type === 'BLOB' ? found : textOf(found, column, fault);
}

function textOf(bytes: Uint8Array, column: string, fault: Fault): string {
  let text: string;
  try {
    text = UTF8.decode(bytes);
  } catch {
    throw fault(`has text in ${column} that is not UTF-8, such as half of a surrogate pair`);
  }
  if (text.includes('\0')) throw fault(`has a NUL character in ${column}, which PostgreSQL does not keep`);
  return text;
}

function tooLongKey({ columns, indexed }: CopiedTable, values: readonly Value[]): readonly string[] | undefined {
  const bytes = (name: string) => {
    const value = values[columns.findIndex((column) => column.name === name)];
    if (typeof value === 'string') return Buffer.byteLength(value);
    return value instanceof Uint8Array ? value.length : 0;
  };
  return indexed.find((names) => names.reduce((sum, name) => sum + bytes(name), 0) > LARGEST_KEY_BYTES);
}

/** Where a row is, as far as a terminal can show it. */
function faultOfRow(
  { from, columns, key }: CopiedTable,
  n: number,
  row: readonly unknown[],
  what: string,
): CurfewError {
  const shown = key.map((name) => {
    const value = row[columns.findIndex((column) => column.name === name)];
    const text = value instanceof Uint8Array ? Buffer.from(value).toString() : String(value);
    return `${name} ${visibleJson(JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}...` : text))}`;
  });
  return new CurfewError('configuration', `table ${from}, row ${n} (${shown.join(', ')}) ${what}`, {
    hint: 'correct or remove that row, then run it again; nothing was moved',
  });
}
