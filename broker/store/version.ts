// Which version of the tables is there, and whether this program may use it. During an upgrade two versions run side by side: one that
// a newer program has changed already is used as long as it says so itself (`oldest_reader`).

import { type Kysely, sql } from 'kysely';
import { CurfewError } from '../../shared/errors.ts';
import { MIGRATIONS } from './migrations.ts';
import { NO_READER, notInUse } from './moved.ts';
import type { Schema } from './tables.ts';

/** Of the tables that this program makes. */
export const VERSION = MIGRATIONS.length;

/** What a database has been through; nothing where it is empty. */
export async function migrationsDone(db: Kysely<Schema>): Promise<readonly string[]> {
  const tables = await db.introspection.getTables({ withInternalKyselyTables: true });
  if (!tables.some(({ name }) => name === 'kysely_migration')) return [];
  const { rows } = await sql<{ name: string }>`select name from kysely_migration order by name`.execute(db);
  return rows.map(({ name }) => name);
}

/**
 * @param done what the database has been through
 * @param ours what one of this version has been through
 * @returns `older` where it is to be brought to this version, `newer` where a later one has changed it and this may go on with it
 * @throws CurfewError `store` for one that only later versions may use
 */
export async function judgeVersion(
  db: Kysely<Schema>,
  done: readonly string[],
  ours: readonly string[] = MIGRATIONS,
): Promise<'older' | 'same' | 'newer'> {
  const newest = done.at(-1);
  if (newest !== undefined && !MIGRATIONS.some((known) => known === newest)) {
    const { rows } = await sql<{ oldest_reader: number }>`select oldest_reader from store_state where id = 1`.execute(
      db,
    );
    requireReadable(rows[0]?.oldest_reader ?? Number.POSITIVE_INFINITY, newest);
    return 'newer';
  }
  return ours.every((name) => done.includes(name)) ? 'same' : 'older';
}

/**
 * Also while it is in use, with each transaction: a newer program may bring the tables to its version meanwhile.
 *
 * @param newest what it was brought to, where that is known
 * @throws CurfewError `store`
 */
export function requireReadable(oldest_reader: number, newest?: string): void {
  if (oldest_reader <= VERSION) return;
  if (oldest_reader === NO_READER) throw notInUse();
  const by = newest === undefined ? '' : ` (${newest})`;
  throw new CurfewError('store', `the store was brought to a later version${by}, which this one cannot use`, {
    hint: 'run the later version of curfew-broker',
  });
}
