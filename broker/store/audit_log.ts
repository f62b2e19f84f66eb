// The record as it stands in the store, read beside a broker that may be running: in pages, and nothing is changed.

import { existsSync } from 'node:fs';
import { Kysely, sql } from 'kysely';
import { CurfewError } from '../../shared/errors.ts';
import type { Seconds } from '../../shared/time.ts';
import type { Head, Row } from '../audit_verify.ts';
import type { Schema } from './schema.ts';
import { openSqliteToRead } from './sqlite.ts';

const PAGE = 1000;

export interface AuditLog {
  /** Rows after `seq`, in their order. */
  rowsAfter(seq: number): AsyncGenerator<Row>;
  head(): Promise<Head | undefined>;
  /** The `seq` before the newest `count` rows. */
  beforeNewest(count: number): Promise<number>;
  /** The `seq` before the first row that is not older than `at`. */
  beforeTime(at: Seconds): Promise<number>;
}

/**
 * Opens the record for the time of `work`.
 *
 * @param frozen all that is read is of one instant, whatever is written meanwhile
 * @throws CurfewError `configuration` when there is no such store, or it is of another version
 */
export async function withAuditLog<T>(file: string, frozen: boolean, work: (log: AuditLog) => Promise<T>): Promise<T> {
  if (!existsSync(file)) throw refused(file, 'no such file');
  const db = openToRead(file);
  try {
    const { rows } = await sql<{ name: string }>`select name from pragma_table_info('audit')`.execute(db).catch(() => {
      throw refused(file, 'not a store, or it cannot be read');
    });
    if (!rows.some(({ name }) => name === 'hash'))
      throw refused(file, 'not a store of this version: start the broker once');
    return await (frozen ? db.transaction().execute((snapshot) => work(logOf(snapshot))) : work(logOf(db)));
  } finally {
    await db.destroy();
  }
}

function openToRead(file: string): Kysely<Schema> {
  try {
    return new Kysely<Schema>({ dialect: openSqliteToRead(file) });
  } catch (cause) {
    throw refused(file, 'cannot be opened', cause);
  }
}

function logOf(db: Kysely<Schema>): AuditLog {
  return {
    async *rowsAfter(seq) {
      for (let last = seq; ; ) {
        const page = await db
          .selectFrom('audit')
          .selectAll()
          .where('seq', '>', last)
          .orderBy('seq')
          .limit(PAGE)
          .execute();
        yield* page;
        const end = page.at(-1);
        if (!end || page.length < PAGE) return;
        last = end.seq;
      }
    },
    head: () => db.selectFrom('audit_head').select(['seq', 'hash', 'seal']).executeTakeFirst(),
    async beforeNewest(count) {
      const newest = await db.selectFrom('audit').select('seq').orderBy('seq', 'desc').limit(1).executeTakeFirst();
      return Math.max(0, (newest?.seq ?? 0) - count);
    },
    async beforeTime(at) {
      const first = db.selectFrom('audit').select('seq').where('at', '>=', at).orderBy('seq').limit(1);
      const found = await first.executeTakeFirst();
      return found ? found.seq - 1 : Number.MAX_SAFE_INTEGER;
    },
  };
}

function refused(file: string, why: string, cause?: unknown): CurfewError {
  return new CurfewError('configuration', `store.sqlite.file: ${file}: ${why}`, { cause });
}
