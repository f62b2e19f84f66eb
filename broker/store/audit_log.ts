// The audit log in SQLite as others than the broker read it: from a store that is there and of this version, in pages, while the broker
// writes. Changes nothing.

import { existsSync } from 'node:fs';
import { Kysely, sql } from 'kysely';
import { CurfewError } from '../../shared/errors.ts';
import type { Seconds } from '../../shared/time.ts';
import type { AuditReader, Moment, Place } from '../audit_log/reader.ts';
import type { AuditRow, SealedHead } from '../audit_log/verify.ts';
import { openSqliteToRead } from './sqlite.ts';
import type { Schema } from './tables.ts';
import { judgeVersion, migrationsDone } from './version.ts';

/** Rows that are in memory at a time. */
const ROWS_AT_ONCE = 500;

/** @throws CurfewError `configuration` when the file is not there, is not a store, or has a version that this one cannot use */
export async function openAuditLog(file: string): Promise<Kysely<Schema>> {
  const fault = (what: string, cause?: unknown) =>
    new CurfewError('configuration', `store.sqlite.file: ${file} ${what}`, { cause });
  if (!existsSync(file)) throw fault('is not there: it is made when the broker starts');
  let db: Kysely<Schema>;
  let done: readonly string[];
  try {
    db = new Kysely<Schema>({ dialect: openSqliteToRead(file) });
    done = await migrationsDone(db);
  } catch (cause) {
    throw fault(`cannot be read as a store (${cause instanceof Error ? cause.message : 'unknown'})`, cause);
  }
  try {
    if (done.length === 0) throw fault('is not a store of curfew-broker');
    if ((await judgeVersion(db, done)) !== 'older') return db;
    throw fault('is of an earlier version: a restart of the broker brings it to this one');
  } catch (error) {
    await db.destroy();
    if (error instanceof CurfewError && error.code === 'store') throw fault('is of a later version', error);
    throw error;
  }
}

/** @throws CurfewError `configuration` likewise */
export async function openSqliteAuditLog(file: string): Promise<AuditReader> {
  return new SqliteReader(await openAuditLog(file), `the store ${file}`);
}

/** On a store that is open already; closing it closes nothing. */
export function sqliteAuditReader(db: Kysely<Schema>, name: string): AuditReader {
  return new SqliteReader(db, name);
}

class SqliteReader implements AuditReader, Moment {
  readonly name: string;
  readonly several = false;
  readonly #db: Kysely<Schema>;

  constructor(db: Kysely<Schema>, name: string) {
    this.#db = db;
    this.name = name;
  }

  async lanes(): Promise<readonly number[]> {
    return [0];
  }

  async *rowsAfter({ seq }: Place, since?: Seconds): AsyncGenerator<AuditRow> {
    let last = seq;
    for (let more = true; more; ) {
      const newer = rows(this.#db).where('seq', '>', last).orderBy('seq').limit(ROWS_AT_ONCE);
      const page = await (since === undefined ? newer : newer.where('at', '>=', since)).execute();
      yield* page;
      last = page.at(-1)?.seq ?? last;
      more = page.length === ROWS_AT_ONCE;
    }
  }

  async *newestRows(_lane: number, count: number): AsyncGenerator<AuditRow> {
    yield* (await rows(this.#db).orderBy('seq', 'desc').limit(count).execute()).reverse();
  }

  moment<T>(story: (moment: Moment) => Promise<T>): Promise<T> {
    return this.#db.connection().execute(async (db) => {
      await sql`begin`.execute(db);
      try {
        return await story(new SqliteReader(db, this.name));
      } finally {
        await sql`rollback`.execute(db).catch(() => undefined);
      }
    });
  }

  sealedHead(): Promise<SealedHead | undefined> {
    return this.#db.selectFrom('audit_head').select(['seq', 'hash', 'seal']).executeTakeFirst();
  }

  rows(lane: number): AsyncGenerator<AuditRow> {
    return this.rowsAfter({ lane, seq: Number.MIN_SAFE_INTEGER });
  }

  async hashesAt(places: readonly Place[]): Promise<readonly (string | undefined)[]> {
    const seqs = places.map(({ seq }) => seq);
    const found = await this.#db.selectFrom('audit').select(['seq', 'hash']).where('seq', 'in', seqs).execute();
    const hashes = new Map(found.map(({ seq, hash }) => [seq, hash]));
    return places.map(({ lane, seq }) => (lane === 0 ? hashes.get(seq) : undefined));
  }

  close(): Promise<void> {
    return this.#db.destroy();
  }
}

/** As bytes: text that is no UTF-8 would be read as something else than what stands there. What is no text is no event. */
function rows(db: Kysely<Schema>) {
  const data = sql<Uint8Array>`iif(typeof(data) = 'text', cast(data as blob), x'')`.as('data');
  return db.selectFrom('audit').select(['seq', 'at', 'event', 'sid', 'hash', data]);
}
