// node:sqlite as kysely's SQLite driver wants it: one connection that writes, WAL, every commit synced before it is
// acknowledged; and one that only reads what was committed.

import { chmodSync, closeSync, constants, openSync, statSync } from 'node:fs';
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import { type Dialect, SqliteAdapter, type SqliteDatabase, SqliteDialect, type SqliteStatement } from 'kysely';

/** Statements that the hot paths prepare again and again; bounded, as a generated statement could be new each time. */
const MOST_STATEMENTS = 256;

export interface Dialects {
  readonly writing: Dialect;
  /** Sees what was committed, and waits for no transaction. */
  readonly reading: Dialect;
  /** Where no store comes of it. */
  close(): void;
}

/**
 * Opens the file, making it when it is not there, for nobody else to read.
 *
 * @param checkpoints false beside a process that holds the store and watches over its file
 * @throws what node:sqlite throws when the file cannot be opened, is no database, or is on a read-only file system.
 */
export function openSqlite(file: string, { checkpoints = true }: { readonly checkpoints?: boolean } = {}): Dialects {
  makePrivate(file);
  const database = new DatabaseSync(file);
  // FULL: a commit that was acknowledged survives a power cut (WAL alone would sync at checkpoints only).
  database.exec('pragma busy_timeout = 5000');
  database.exec('pragma journal_mode = wal');
  database.exec('pragma synchronous = full');
  database.exec('pragma foreign_keys = on');
  if (!checkpoints) database.exec('pragma wal_autocheckpoint = 0');
  const reading = readOnly(file);
  return {
    writing: dialectOf(database),
    reading: dialectOf(reading),
    close() {
      database.close();
      reading.close();
    },
  };
}

/** It holds sealed keys and everybody's sessions. What SQLite makes beside it gets the same mode. */
function makePrivate(file: string): void {
  closeSync(openSync(file, constants.O_RDONLY | constants.O_CREAT, 0o600));
  for (const part of ['', '-wal', '-shm']) {
    try {
      if ((statSync(file + part).mode & 0o077) !== 0) chmodSync(file + part, 0o600);
    } catch {
      // Not there; or another user's, which `check` tells of.
    }
  }
}

export interface Alone {
  /** Closed by whoever opened it. */
  readonly database: DatabaseSync;
  readonly dialect: Dialect;
}

/**
 * Opens a file that is there, and keeps everybody else from it, also those that only read, until it is closed or this process ends.
 *
 * @throws what node:sqlite throws, `SQLITE_BUSY` (5) where another process has it open
 */
export function openSqliteAlone(file: string): Alone {
  const database = new DatabaseSync(file);
  try {
    database.exec('pragma busy_timeout = 1000');
    database.exec('pragma locking_mode = exclusive');
    database.exec('pragma synchronous = full');
    database.exec('begin exclusive');
    database.exec('commit');
  } catch (error) {
    database.close();
    throw error;
  }
  return {
    database,
    dialect: new WholeMigrations({ database: { ...asKyselyWants(database), close: () => undefined } }),
  };
}

/** Opens a file that is there, and changes nothing in it. @throws what node:sqlite throws */
export function openSqliteToRead(file: string): Dialect {
  return dialectOf(readOnly(file));
}

function readOnly(file: string): DatabaseSync {
  const database = new DatabaseSync(file, { readOnly: true });
  database.exec('pragma busy_timeout = 5000');
  return database;
}

function dialectOf(database: DatabaseSync): Dialect {
  return new WholeMigrations({ database: asKyselyWants(database) });
}

/** A migration that is killed half-way leaves nothing of itself: SQLite changes tables within a transaction, kysely leaves that unused. */
class WholeMigrations extends SqliteDialect {
  override createAdapter(): SqliteAdapter {
    return new (class extends SqliteAdapter {
      override get supportsTransactionalDdl(): boolean {
        return true;
      }
    })();
  }
}

function asKyselyWants(database: DatabaseSync): SqliteDatabase {
  const prepared = new Map<string, SqliteStatement>();
  return {
    close: () => database.close(),
    prepare(text) {
      const known = prepared.get(text);
      if (known) return known;
      const statement = asStatement(database.prepare(text));
      if (prepared.size < MOST_STATEMENTS) prepared.set(text, statement);
      return statement;
    },
  };
}

function asStatement(statement: StatementSync): SqliteStatement {
  const input = (parameters: readonly unknown[]) => parameters as readonly SQLInputValue[];
  const names = statement.columns().map(({ name }) => name);
  // What node:sqlite makes of a row by itself is a dictionary: slow to make, to read and to copy, and one is read with each request.
  statement.setReturnArrays(true);
  const row = (values: unknown) => {
    const made: Record<string, unknown> = {};
    for (const [i, name] of names.entries()) made[name] = (values as readonly unknown[])[i];
    return made;
  };
  return {
    reader: names.length > 0,
    all: (parameters) => statement.all(...input(parameters)).map(row),
    run: (parameters) => statement.run(...input(parameters)),
    *iterate(parameters) {
      for (const values of statement.iterate(...input(parameters))) yield row(values);
    },
  };
}
