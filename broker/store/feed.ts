// The feed: every change that replicas must know of, numbered without gaps in the order of their commits. The number comes from one
// locked row, taken last in the transaction: so who has read up to a number has missed nothing before it, and a gap is a fault.

import { CompiledQuery, type Kysely, sql } from 'kysely';
import type { Seconds } from '../../shared/time.ts';
import { type Change, type ChangeRow, changeOfRow, rowOfChange } from './changes.ts';
import type { Presence } from './presence.ts';
import type { Schema } from './tables.ts';

export interface FeedEntry {
  readonly seq: number;
  /** As text: whoever has read up to here finds this again at that place. */
  readonly text: string;
  /** Nothing for a kind of a later version. */
  readonly change: Change | undefined;
}

/** What is in the feed after a place, as of one moment. */
export interface FeedPage {
  /** The newest number that was given. */
  readonly head: number;
  /** Up to here changes have been forgotten: who has read less than this has missed some. */
  readonly forgotten: number;
  /** What is at the place itself, as text; nothing where that was forgotten. It never changes, unless the store is put back. */
  readonly at_place: string | undefined;
  /** In order. */
  readonly entries: readonly FeedEntry[];
  /** Seconds by which the machine's clock is at least ahead of the database's, as of the last second; nothing where they are one. */
  readonly ahead?: number | undefined;
  /** The replicas that are connected, where whoever asks has said that it is one. */
  readonly replicas?: readonly Presence[] | undefined;
}

export interface Feed {
  /**
   * Reads what was committed after a place.
   *
   * @param most entries; 0 asks for the head alone
   * @throws CurfewError `store` when the database fails, or does not answer in time
   */
  after(seq: number, most: number): Promise<FeedPage>;
  /** Tells the others what this replica is, for as long as it is connected. Nothing where there is one broker. */
  announce(mine: Presence): void;
  /** Calls when there may be more: it may be called in vain, and not be called. @returns ends that */
  onWake(told: () => void): () => void;
}

interface Found extends ChangeRow {
  readonly head: number;
  readonly forgotten: number;
  readonly seq: number | null;
}

/** In one statement: head and rows are of one moment. */
export async function readFeed(db: Kysely<Schema>, place: number, most: number): Promise<FeedPage> {
  const { rows } = await sql<Found>`
    select head.seq as head, head.forgotten, feed.seq, feed.at, feed.kind, feed.sid, feed.data
    from feed_head as head left join feed on feed.seq >= ${place}
    where head.id = 1 order by feed.seq limit ${most + 1}`.execute(db);
  const [first] = rows;
  // Without its head there is no feed: a number that went back.
  if (!first) return { head: 0, forgotten: 0, at_place: undefined, entries: [] };
  const found = rows.flatMap((row) => (row.seq === null ? [] : [{ ...row, seq: row.seq }]));
  const at_place = found.find(({ seq }) => seq === place);
  return {
    head: first.head,
    forgotten: first.forgotten,
    at_place: at_place && textOf(at_place),
    entries: found
      .filter(({ seq }) => seq > place)
      .slice(0, most)
      .map((row) => ({ seq: row.seq, text: textOf(row), change: changeOfRow(row) })),
  };
}

/** Without its time: that is brought back where all is declared over by a clock that is behind it. */
function textOf({ kind, sid, data }: ChangeRow): string {
  return JSON.stringify([kind, sid, data]);
}

/** Gives numbers to changes, and writes them: last in a transaction, as who gives one waits for whoever has given one. */
export async function writeFeed(db: Kysely<Schema>, changes: readonly Change[]): Promise<void> {
  const { rows } = await db.executeQuery<{ seq: number }>(
    CompiledQuery.raw('update feed_head set seq = seq + ? where id = 1 returning seq', [changes.length]),
  );
  const first = (rows[0]?.seq ?? Number.NaN) - changes.length + 1;
  await db
    .insertInto('feed')
    .values(changes.map((change, i) => ({ seq: first + i, ...rowOfChange(change) })))
    .execute();
}

/** How many one transaction forgets. */
const AT_ONCE = 1_000;

/** In a transaction: forgets the oldest changes, from before an instant; a reader that has not read them is told so. @returns whether there are more */
export async function forgetChanges(db: Kysely<Schema>, before: Seconds): Promise<boolean> {
  // Up to the first that is to be kept, so that what is left has no gap, whatever the clocks of those that wrote it.
  const { rows } = await sql<{ seq: number }>`select coalesce(
    (select min(seq) - 1 from feed where at >= ${before}), (select seq from feed_head where id = 1)) as seq`.execute(
    db,
  );
  const oldest = await db.selectFrom('feed').select('seq').orderBy('seq').limit(1).executeTakeFirst();
  const until = Math.min(rows[0]?.seq ?? 0, (oldest?.seq ?? 0) + AT_ONCE - 1);
  if (!oldest || until < oldest.seq) return false;
  await db.deleteFrom('feed').where('seq', '<=', until).execute();
  await db.updateTable('feed_head').set({ forgotten: until }).where('forgotten', '<', until).execute();
  return until < (rows[0]?.seq ?? 0);
}
