// A store in a file of SQLite that is to be moved to another database. While it is open here nobody else reads or writes it: a broker that
// runs on it is found, and none starts.

import { existsSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import { Kysely } from 'kysely';
import { CurfewError } from '../../shared/errors.ts';
import type { AuditReader } from '../audit_log/reader.ts';
import type { SqlitePlace, StorePlaces } from '../config/settings.ts';
import { sqliteAuditReader } from './audit_log.ts';
import { type CopiedTable, readRows, tablesOf } from './copied_tables.ts';
import { faultOfStore } from './file_guard.ts';
import { type Moved, movedOf, NO_READER } from './moved.ts';
import type { StoreOptions } from './options.ts';
import type { Value } from './row_digest.ts';
import { type Alone, openSqliteAlone } from './sqlite.ts';
import { SqliteStore } from './sqlite_store.ts';
import type { Schema } from './tables.ts';
import { judgeVersion, migrationsDone } from './version.ts';
import { Witness } from './witness.ts';
import { sayStoreFault } from './words.ts';

type Place = Extract<StorePlaces, SqlitePlace>;

export class CopySource {
  readonly file: string;
  readonly database_id: string;
  /** Where it was moved before. */
  readonly moved: Moved | undefined;
  readonly #database: DatabaseSync;
  readonly #dialect: Alone['dialect'];
  readonly #db: Kysely<Schema>;

  private constructor(file: string, opened: Opened, state: { database_id: string; moved: Moved | undefined }) {
    this.file = file;
    this.#database = opened.database;
    this.#dialect = opened.dialect;
    this.#db = opened.db;
    this.database_id = state.database_id;
    this.moved = state.moved;
  }

  /** @throws CurfewError `configuration` where there is no store of this version; `store` where another process has it open */
  static async open(file: string): Promise<CopySource> {
    const fault = (what: string, cause?: unknown) =>
      new CurfewError('configuration', `store.sqlite.file: ${file} ${what}`, { cause });
    if (!existsSync(file)) throw fault('is not there: there is nothing to copy');
    const opened = openAlone(file, fault);
    try {
      const done = await migrationsDone(opened.db).catch((cause: unknown) => {
        throw fault(`cannot be read as a store (${sayStoreFault(cause) ?? 'unknown'})`, cause);
      });
      if (done.length === 0) throw fault('is not a store of curfew-broker');
      const version = await judgeVersion(opened.db, done);
      if (version === 'older') throw fault('is of an earlier version: start this version of the broker on it once');
      if (version === 'newer') throw fault('is of a later version, which alone can copy it');
      const { database_id } = await opened.db
        .selectFrom('store_state')
        .select('database_id')
        .where('id', '=', 1)
        .executeTakeFirstOrThrow();
      return new CopySource(file, opened, { database_id, moved: await movedOf(opened.db) });
    } catch (error) {
      opened.database.close();
      throw error;
    }
  }

  /** For transactions, until it was moved. @throws CurfewError */
  store(options: StoreOptions): Promise<SqliteStore> {
    return SqliteStore.open({ writing: this.#dialect, reading: this.#dialect, close: () => undefined }, options);
  }

  read<T>(work: (db: Kysely<Schema>) => Promise<T>): Promise<T> {
    return work(this.#db);
  }

  standing() {
    return this.#db.selectFrom('store_state').selectAll().where('id', '=', 1).executeTakeFirstOrThrow();
  }

  /** @returns what would keep a broker from starting on it, in words */
  async faultBy({ witness_file }: Place, { sealer }: Pick<StoreOptions, 'sealer'>): Promise<string | undefined> {
    return witness_file === undefined ? undefined : faultOfStore(this, new Witness(witness_file, sealer));
  }

  auditLog(): AuditReader {
    return sqliteAuditReader(this.#db, `the store ${this.file}`);
  }

  /** @param moved what the copy says of itself until it is in use */
  tables(moved: Moved): readonly CopiedTable[] {
    return tablesOf(this.#database, {
      store_state: { moved: JSON.stringify(moved), oldest_reader: NO_READER },
    });
  }

  /** In the order of the table's key. @throws CurfewError `configuration` for a row that PostgreSQL cannot keep, naming it */
  rows(table: CopiedTable): Generator<readonly Value[]> {
    return readRows(this.#database, table);
  }

  /** From here on it is never used again: durable when this returns. */
  async leave(moved: Moved): Promise<void> {
    await this.#db
      .updateTable('store_state')
      .set({ moved: JSON.stringify(moved), oldest_reader: NO_READER })
      .execute();
  }

  close(): void {
    this.#database.close();
  }
}

type Opened = Alone & { readonly db: Kysely<Schema> };

function openAlone(file: string, fault: (what: string, cause?: unknown) => CurfewError): Opened {
  try {
    const opened = openSqliteAlone(file);
    return { ...opened, db: new Kysely<Schema>({ dialect: opened.dialect }) };
  } catch (cause) {
    if (cause instanceof Error && 'errcode' in cause && cause.errcode === 5) {
      throw new CurfewError('store', `the store ${file} is in use: a process has it open`, {
        cause,
        hint: 'stop the broker, and whatever else reads the store (such as curfew-broker audit tail), then run it again',
      });
    }
    throw fault(`cannot be opened: ${sayStoreFault(cause) ?? 'unknown error'}`, cause);
  }
}
