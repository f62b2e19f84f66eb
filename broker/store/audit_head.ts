// The newest link of the record's chain, sealed in the store. The chain goes on from what was sealed, never from what happens
// to stand there: rows that were cut off, added or changed from outside must not be sealed as if they had always been so.

import { CompiledQuery, type Kysely } from 'kysely';
import { GENESIS, type Link, type Sealer } from '../audit_chain.ts';
import type { Schema } from './schema.ts';

// Each commit runs these: as text they are not built anew each time, which would cost more than running them.
const SELECT_HEAD = `select head.seq, head.hash, head.seal, coalesce((select max(seq) from audit), 0) as newest
  from (select 1) left join audit_head as head on head.id = 1`;
const UPSERT_HEAD = `insert into audit_head (id, seq, hash, seal) values (1, ?, ?, ?)
  on conflict (id) do update set seq = excluded.seq, hash = excluded.hash, seal = excluded.seal`;

interface Found {
  readonly seq: number | null;
  readonly hash: string | null;
  readonly seal: string | null;
  /** Of the rows that are there. */
  readonly newest: number;
}

export interface Head {
  /** What the next row follows. */
  readonly link: Link;
  /** False where the record was changed from outside; the next row then follows none that is there, so that it shows. */
  readonly sound: boolean;
}

/**
 * Read anew for each commit: another process that has the key may have written, and then the chain does not fork.
 *
 * @param known what this process has sealed last; an older one in its place, however well sealed, was put there
 */
export async function headOf(db: Kysely<Schema>, sealer: Sealer, known: Link | undefined): Promise<Head> {
  const { rows } = await db.executeQuery<Found>(CompiledQuery.raw(SELECT_HEAD));
  const { newest, ...found } = rows[0] ?? { newest: 0, seq: null, hash: null, seal: null };
  const sealed = sealedLink(found, sealer, known);
  const link = sealed ?? known ?? NOTHING;
  const sound = sealed !== undefined && sealed.seq === newest;
  return { link: sound ? link : { seq: Math.max(link.seq, newest), hash: link.hash }, sound };
}

/** No row follows this. */
const NOTHING: Link = { seq: 0, hash: 'f'.repeat(GENESIS.hash.length) };

function sealedLink({ seq, hash, seal }: Omit<Found, 'newest'>, sealer: Sealer, known?: Link): Link | undefined {
  if (seq === null || hash === null || seal === null) return undefined;
  const link = { seq, hash };
  if (known && seq === known.seq && hash === known.hash) return link;
  return seq >= (known?.seq ?? 0) && sealer.isSealed(link, seal) ? link : undefined;
}

export async function writeHead(db: Kysely<Schema>, { seq, hash }: Link, sealer: Sealer): Promise<void> {
  await db.executeQuery(CompiledQuery.raw(UPSERT_HEAD, [seq, hash, sealer.seal({ seq, hash })]));
}
