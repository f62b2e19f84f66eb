// A broker's store as it is on disk, whichever database it is in: for what tests look at, or change behind the broker's back.

import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { DatabaseSync, type SQLInputValue } from 'node:sqlite';
import { postgresPrograms } from './postgres_programs.ts';

export type StoreRow = Readonly<Record<string, unknown>>;

export interface StoreStatement {
  get(...values: readonly SQLInputValue[]): StoreRow | undefined;
  all(...values: readonly SQLInputValue[]): StoreRow[];
  run(...values: readonly SQLInputValue[]): void;
}

export interface StoreDatabase extends Disposable {
  prepare(text: string): StoreStatement;
  exec(text: string): void;
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
    close: () => opened.close(),
    [Symbol.dispose]: () => opened.close(),
  };
}

/** By psql, one process a statement: it is simple, and it waits as SQLite does. */
function database(url: string): StoreDatabase {
  const psql = (text: string) => {
    const { bin, libraries } = postgresPrograms();
    const env = { ...process.env, ...(libraries.length > 0 && { LD_LIBRARY_PATH: libraries.join(':') }) };
    const words = ['-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1', '-d', url, '-c', text];
    return execFileSync(path.join(bin, 'psql'), words, { encoding: 'utf8', env, maxBuffer: 256 * 1024 * 1024 });
  };
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
    close() {},
    [Symbol.dispose]() {},
  };
}

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
