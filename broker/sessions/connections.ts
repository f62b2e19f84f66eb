// Connections of sessions to targets, as the broker knows them: a row is there before the connection, and goes with the word of its
// gateway, or once nothing was heard of it for long. So none stays for ever, whatever is killed.

import { type Kysely, type Selectable, sql } from 'kysely';
import { between, type Seconds, seconds } from '../../shared/time.ts';
import { skipsHeldRows } from '../store/sql.ts';
import type { Transaction } from '../store/store.ts';
import type { Schema } from '../store/tables.ts';
import type { ConnectionTable } from '../store/target_tables.ts';

export type Connection = Readonly<Selectable<ConnectionTable>>;

/** Its gateway asks for what judges it every 2 s. So long after it did last nobody says any more that a connection is open. */
const UNSEEN = seconds(60);
/** And so long after it did last a gateway is taken to be gone, with all that it had open. */
const LOST = seconds(600);
/** How long ago it is written at least that a connection is open, before it is written again. */
const SEEN_AGAIN = seconds(20);
/** Of one session. */
const MOST_SHOWN = 100;

const COLUMNS = ['id', 'sid', 'judged_sid', 'target', 'kind', 'account', 'address', 'since', 'seen'] as const;

export async function openConnection({ db }: Pick<Transaction, 'db'>, connection: Connection): Promise<void> {
  await db.insertInto('connection').values(connection).execute();
}

/** Takes them away. @returns those that were there: each is returned once, whoever asks */
export async function closeConnections(
  { db }: Pick<Transaction, 'db'>,
  ids: readonly string[],
): Promise<readonly Connection[]> {
  if (ids.length === 0) return [];
  return db.deleteFrom('connection').where('id', 'in', ids).returning(COLUMNS).execute();
}

/** What is reached, of one session. */
export interface Reached {
  readonly judged_sid: string;
  readonly target: string;
  readonly account?: string | undefined;
}

/** @returns the ids of those that lead there, and of which that was not written lately */
export async function unseenAmong(
  db: Kysely<Schema>,
  reached: readonly Reached[],
  now: Seconds,
): Promise<readonly string[]> {
  if (reached.length === 0) return [];
  const keyOf = (...parts: readonly (string | null)[]) => JSON.stringify(parts);
  const open = new Set(reached.map(({ judged_sid, target, account }) => keyOf(judged_sid, target, account ?? null)));
  const sids = [...new Set(reached.map(({ judged_sid }) => judged_sid))];
  const found = await db
    .selectFrom('connection')
    .select(['id', 'judged_sid', 'target', 'account'])
    .where('judged_sid', 'in', sids)
    .where('seen', '<', between(SEEN_AGAIN, now))
    .execute();
  return found
    .filter(({ judged_sid, target, account }) => open.has(keyOf(judged_sid, target, account)))
    .map(({ id }) => id);
}

export async function seeConnections(
  { db }: Pick<Transaction, 'db'>,
  ids: readonly string[],
  now: Seconds,
): Promise<void> {
  if (ids.length === 0) return;
  await db.updateTable('connection').set({ seen: now }).where('id', 'in', ids).where('seen', '<', now).execute();
}

/** Those of gateways that are gone; one that another transaction works on is left out. */
export function lostConnections({ db }: Pick<Transaction, 'db'>, now: Seconds, most: number): Promise<Connection[]> {
  const lost = db.selectFrom('connection').select(COLUMNS).where('seen', '<', between(LOST, now));
  return lost.orderBy('seen').limit(most).modifyEnd(skipsHeldRows(db)).execute();
}

/** They are judged by another session from here on: the one that replaced theirs. */
export async function moveConnections(
  { db }: Pick<Transaction, 'db'>,
  sid: string,
  replaced_by: string,
): Promise<void> {
  await db.updateTable('connection').set({ judged_sid: replaced_by }).where('judged_sid', '=', sid).execute();
}

/** Those that are open, by the session that judges them, the oldest first: a hundred of each at most. Holds nothing. */
export async function openOf(
  db: Kysely<Schema>,
  sids: readonly string[],
  now: Seconds,
): Promise<ReadonlyMap<string, readonly Connection[]>> {
  const found = new Map<string, Connection[]>();
  if (sids.length === 0) return found;
  const place = sql<number>`row_number() over (partition by judged_sid order by since, id)`.as('place');
  const open = await db
    .selectFrom((from) =>
      from
        .selectFrom('connection')
        .select([...COLUMNS, place])
        .where('judged_sid', 'in', sids)
        .where('seen', '>=', between(UNSEEN, now))
        .as('open'),
    )
    .select(COLUMNS)
    .where('place', '<=', MOST_SHOWN)
    .orderBy('since')
    .orderBy('id')
    .execute();
  for (const connection of open) {
    const { judged_sid } = connection;
    found.set(judged_sid, [...(found.get(judged_sid) ?? []), connection]);
  }
  return found;
}

/** How many are open, by target. */
export async function countOpen(db: Kysely<Schema>, now: Seconds): Promise<ReadonlyMap<string, number>> {
  const count = sql<number>`count(*)`.as('count');
  const open = db.selectFrom('connection').select(['target', count]).where('seen', '>=', between(UNSEEN, now));
  const rows = await open.groupBy('target').execute();
  return new Map(rows.map(({ target, count }) => [target, count]));
}
