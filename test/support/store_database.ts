// A broker's store as it is on disk, whichever database it is in: for what tests look at, or change behind the broker's back.

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { DatabaseSync, type SQLInputValue } from 'node:sqlite';
import { postgresPrograms } from './postgres_programs.ts';

export type StoreRow = Readonly<Record<string, unknown>>;

export interface StoreStatement {
  get(...values: readonly SQLInputValue[]): StoreRow | undefined;
  all(...values: readonly SQLInputValue[]): StoreRow[];
  run(...values: readonly SQLInputValue[]): void;
}

export interface Column {
  readonly table: string;
  readonly name: string;
  readonly whole_number: boolean;
}

export interface StoreDatabase extends Disposable {
  prepare(text: string): StoreStatement;
  exec(text: string): void;
  /** Columns of all tables but those that are named. */
  columns(...without: readonly string[]): readonly Column[];
  /** The database refuses such writes until what is returned is called. @param when a condition on what is there */
  refuse(writes: `insert on ${string}` | `update of ${string} on ${string}`, when?: string): () => void;
  close(): void;
}

/** @param place a file of SQLite, or the URL of a database of PostgreSQL on this machine */
export function openStoreDatabase(place: string): StoreDatabase {
  return place.startsWith('postgres://') ? database(place) : file(place);
}

export function isPostgres(place: string): boolean {
  return place.startsWith('postgres://');
}

function file(name: string): StoreDatabase {
  const opened = new DatabaseSync(name);
  opened.exec('pragma busy_timeout = 5000');
  return {
    prepare(text) {
      const statement = opened.prepare(text);
      return {
        get: (...values) => statement.get(...values),
        all: (...values) => statement.all(...values),
        run: (...values) => void statement.run(...values),
      };
    },
    exec: (text) => opened.exec(text),
    refuse(writes, when = '1 = 1') {
      opened.exec(
        `create trigger broken before ${writes} when ${when} begin select raise(abort, 'disk I/O error'); end`,
      );
      return () => opened.exec('drop trigger broken');
    },
    columns(...without) {
      const tables = opened.prepare("select name from sqlite_master where type = 'table'").all();
      return tables
        .map(({ name }) => String(name))
        .filter((table) => !without.includes(table))
        .flatMap((table) =>
          opened
            .prepare('select name, type from pragma_table_info(?)')
            .all(table)
            .map(({ name, type }) => ({ table, name: String(name), whole_number: type === 'INTEGER' })),
        );
    },
    close: () => opened.close(),
    [Symbol.dispose]: () => opened.close(),
  };
}

/** All that is in it, byte by byte: for what must not be there. */
export function storeText(place: string): string {
  if (isPostgres(place)) {
    const dump = program('pg_dump', ['--data-only', '-d', place], 'latin1');
    const bytes = [...dump.matchAll(/\\x([0-9a-f]+)/g)].map(([, hex = '']) =>
      Buffer.from(hex, 'hex').toString('latin1'),
    );
    return [dump, ...bytes].join('\n');
  }
  return ['', '-wal'].map((suffix) => readFileSync(place + suffix, 'latin1')).join('');
}

function program(name: string, words: readonly string[], encoding: BufferEncoding): string {
  const { bin, libraries } = postgresPrograms().clients;
  const env = { ...process.env, ...(libraries.length > 0 && { LD_LIBRARY_PATH: libraries.join(':') }) };
  return execFileSync(path.join(bin, name), words, { encoding, env, maxBuffer: 256 * 1024 * 1024 });
}

/** By psql, one process a statement: it is simple, and it waits as SQLite does. */
function database(url: string): StoreDatabase {
  const psql = (text: string) =>
    program('psql', ['-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1', '-d', url, '-c', text], 'utf8');
  const all = (text: string, values: readonly SQLInputValue[]) =>
    psql(`select row_to_json(found) from (${filled(text, values)}) as found`)
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as StoreRow);
  return {
    prepare: (text) => ({
      get: (...values) => all(text, values)[0],
      all: (...values) => all(text, values),
      run: (...values) => void psql(filled(text, values)),
    }),
    exec: (text) => void psql(text),
    refuse(writes, when = '1 = 1') {
      psql(`create function broken() returns trigger language plpgsql as $$ begin
          if ${when} then raise exception 'disk I/O error' using errcode = '58030'; end if;
          return new;
        end $$`);
      psql(`create trigger broken before ${writes} for each row execute function broken()`);
      return () => void psql('drop function broken cascade');
    },
    columns: (...without) =>
      all(COLUMNS, [])
        .map((row) => ({ ...row, whole_number: row.type === 'bigint' }) as unknown as Column)
        .filter(({ table }) => !without.includes(table)),
    close() {},
    [Symbol.dispose]() {},
  };
}

const COLUMNS = `select table_name as "table", column_name as name, data_type as type from information_schema.columns
  where table_schema = 'public'`;

function filled(text: string, values: readonly SQLInputValue[]): string {
  let next = 0;
  return text.replaceAll('?', () => literal(values[next++] ?? null));
}

function literal(value: SQLInputValue): string {
  if (value === null) return 'null';
  if (typeof value === 'string') return `'${value.replaceAll("'", "''")}'`;
  if (ArrayBuffer.isView(value))
    return `'\\x${Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('hex')}'::bytea`;
  return String(value);
}
