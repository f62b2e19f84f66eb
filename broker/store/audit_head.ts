// The newest link of the audit log's chain, sealed in the store. The chain goes on from what was sealed, never from what happens
// to stand there: rows that were cut off, added or changed from outside must not be sealed as if they had always been so.

import { CompiledQuery, type Kysely, type Selectable } from 'kysely';
import { CurfewError } from '../../shared/errors.ts';
import type { Seconds } from '../../shared/time.ts';
import { GENESIS, type Link, type Sealer } from '../audit_log/chain.ts';
import type { Schema, StoreStateTable } from './tables.ts';

// Each commit runs these: as text they are not built again each time, which would cost more than running them.
const SELECT_HEAD = `select head.seq, head.hash, head.seal, coalesce((select max(seq) from audit), 0) as newest,
    state.epoch, state.epoch_id, state.over_before, state.newest as newest_instant, state.oldest_reader
  from store_state as state left join audit_head as head on head.id = 1 where state.id = 1`;
const UPDATE_NEWEST = 'update store_state set newest = ? where id = 1';
const UPSERT_HEAD = `insert into audit_head (id, seq, hash, seal) values (1, ?, ?, ?)
  on conflict (id) do update set seq = excluded.seq, hash = excluded.hash, seal = excluded.seal`;

interface Found {
  readonly seq: number | null;
  readonly hash: string | null;
  readonly seal: string | null;
  /** Of the rows that are there. */
  readonly newest: number;
  readonly epoch: number;
  readonly epoch_id: string | null;
  readonly over_before: Seconds;
  readonly newest_instant: Seconds;
  readonly oldest_reader: number;
}

/** What holds for all of the store, as of a commit. */
export type Standing = Pick<
  Selectable<StoreStateTable>,
  'epoch' | 'epoch_id' | 'over_before' | 'newest' | 'oldest_reader'
>;

export interface Head {
  /** What the next row follows. */
  readonly link: Link;
  /** False where the audit log was changed from outside; the next row then follows none that is there, so that it shows. */
  readonly sound: boolean;
  readonly standing: Standing;
}

/**
 * Read again for each commit: another process that has the key may have written, and then the chain does not fork.
 *
 * @param known what this process has sealed last; an older one in its place, however well sealed, was put there
 */
export async function headOf(db: Kysely<Schema>, sealer: Sealer, known: Link | undefined): Promise<Head> {
  const { rows } = await db.executeQuery<Found>(CompiledQuery.raw(SELECT_HEAD));
  if (!rows[0]) throw new CurfewError('store', 'the store does not say which it is');
  const { newest, epoch, epoch_id, over_before, newest_instant, oldest_reader, ...found } = rows[0];
  const sealed = sealedLink(found, sealer, known);
  const link = sealed ?? known ?? NOTHING;
  const sound = sealed !== undefined && sealed.seq === newest;
  const standing = { epoch, epoch_id, over_before, newest: newest_instant, oldest_reader };
  return { link: sound ? link : { seq: Math.max(link.seq, newest), hash: link.hash }, sound, standing };
}

/** No row follows this. */
const NOTHING: Link = { seq: 0, hash: 'f'.repeat(GENESIS.hash.length) };

function sealedLink(
  { seq, hash, seal }: Pick<Found, 'seq' | 'hash' | 'seal'>,
  sealer: Sealer,
  known?: Link,
): Link | undefined {
  if (seq === null || hash === null || seal === null) return undefined;
  const link = { seq, hash };
  if (known && seq === known.seq && hash === known.hash) return link;
  return seq >= (known?.seq ?? 0) && sealer.isSealed(link, seal) ? link : undefined;
}

export async function writeHead(db: Kysely<Schema>, { seq, hash }: Link, sealer: Sealer): Promise<void> {
  await db.executeQuery(CompiledQuery.raw(UPSERT_HEAD, [seq, hash, sealer.seal({ seq, hash })]));
}

/** Written with a commit that happens anyway, so at most once in a second. */
export async function writeNewest(db: Kysely<Schema>, newest: Seconds): Promise<void> {
  await db.executeQuery(CompiledQuery.raw(UPDATE_NEWEST, [newest]));
}
