// The record as others than the broker read it: from a store that is there and of this version, in pages, while the broker
// writes. Changes nothing.

import { existsSync } from 'node:fs';
import { Kysely, sql } from 'kysely';
import { CurfewError } from '../../shared/errors.ts';
import type { Seconds } from '../../shared/time.ts';
import type { AuditRow, SealedHead } from '../audit_log/verify.ts';
import { openSqliteToRead } from './sqlite.ts';
import type { Schema } from './tables.ts';
import { judgeVersion, migrationsDone } from './version.ts';

/** Rows that are in memory at a time. */
const ROWS_AT_ONCE = 500;

/** @throws CurfewError `configuration` when the file is not there, no store, or of a version that this one cannot use */
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

/** All rows after a place, in order, as of when each page is read. @param since only those of events from this instant on */
export async function* rowsAfter(db: Kysely<Schema>, seq: number, since?: Seconds): AsyncGenerator<AuditRow> {
  let last = seq;
  for (let more = true; more; ) {
    const newer = rows(db).where('seq', '>', last).orderBy('seq').limit(ROWS_AT_ONCE);
    const page = await (since === undefined ? newer : newer.where('at', '>=', since)).execute();
    yield* page;
    last = page.at(-1)?.seq ?? last;
    more = page.length === ROWS_AT_ONCE;
  }
}

/** The place before the first row of events from this instant on; where there is none, the end. */
export async function placeOf(db: Kysely<Schema>, since: Seconds): Promise<number> {
  const { first, newest } = await db
    .selectFrom('audit')
    .select((eb) => [
      eb
        .selectFrom('audit')
        .select((inner) => inner.fn.min('seq').as('seq'))
        .where('at', '>=', since)
        .as('first'),
      eb.fn.max('seq').as('newest'),
    ])
    .executeTakeFirstOrThrow();
  return first === null ? Number(newest ?? 0) : Number(first) - 1;
}

/** The newest rows, in order. */
export async function newestRows(db: Kysely<Schema>, count: number): Promise<AuditRow[]> {
  return (await rows(db).orderBy('seq', 'desc').limit(count).execute()).reverse();
}

export function sealedHead(db: Kysely<Schema>): Promise<SealedHead | undefined> {
  return db.selectFrom('audit_head').select(['seq', 'hash', 'seal']).executeTakeFirst();
}

/** As bytes: text that is no UTF-8 would be read as something else than what stands there. What is no text is no event. */
function rows(db: Kysely<Schema>) {
  const data = sql<Uint8Array>`iif(typeof(data) = 'text', cast(data as blob), x'')`.as('data');
  return db.selectFrom('audit').select(['seq', 'at', 'event', 'sid', 'hash', data]);
}
