// One connection, and the chain of the audit log that it alone writes: a lane. So commits of different connections wait for nothing of
// each other. A lane that its connection leaves is taken on by a later one; so there are never more than there were connections at once.

import { CompiledQuery, Kysely, PostgresDialect } from 'kysely';
import type { Client } from 'pg';
import { CurfewError } from '../../shared/errors.ts';
import type { Seconds } from '../../shared/time.ts';
import { genesisOf, type Link, type Sealer } from '../audit_log/chain.ts';
import { holdsRows } from '../store/sql.ts';
import type { Schema } from '../store/tables.ts';
import { type Connected, type ConnectOptions, connect, cut, type DatabaseIdentity } from './client.ts';
import { HOLDING } from './holding.ts';

/** Classes of advisory locks: for lanes, for all of the store, and for names of what is decided on. */
export const LOCK = { lane: 7_206_001, store: 7_206_002, name: 7_206_003, migration: 7_206_004 } as const;

/** One that no other connection holds, the lowest first: those that are there, and the next number. */
const TAKE = `select number as lane from generate_series(1, (select coalesce(max(lane), 0) + 1 from audit_lane)) as number
  where pg_try_advisory_lock(${LOCK.lane}, number::int) limit 1`;
const READ = `select audit_lane.seq, hash, seal, newest,
    coalesce((select max(seq) from audit where audit.lane = audit_lane.lane), 0) as last
  from audit_lane where lane = $1`;
const MAKE = `insert into audit_lane (lane, seq, hash, seal) values ($1, $2, $3, $4) on conflict do nothing`;
const MOVE = `update audit_lane set seq = $2, hash = $3, seal = $4, newest = greatest(newest, $5)
  where lane = $1 and seq = $6 and hash = $7`;
const ADD = `with head as (${MOVE} returning lane)
  insert into audit (lane, seq, at, event, sid, data, hash)
  select head.lane, added.* from head,
    unnest($8::bigint[], $9::bigint[], $10::text[], $11::text[], $12::text[], $13::text[]) as added`;
/** Another connection may have taken the same number in between, where it is a new one. */
const TRIES = 50;

/** A row of the audit log that is to be written. */
export interface NewRow {
  readonly link: Link;
  readonly at: Seconds;
  readonly event: string;
  readonly sid: string | null;
  readonly data: string;
}

export class Lane {
  readonly number: number;
  readonly client: Client;
  readonly identity: DatabaseIdentity;
  /** Of statements alone: each sees what is committed. */
  readonly reading: Kysely<Schema>;
  /** Within a transaction: what it selects is held. */
  readonly writing: Kysely<Schema>;
  /** False where the chain was changed from outside: the next row follows none that is there, so that it shows. */
  sound: boolean;
  head: Link;
  newest: Seconds;
  /** Until when the server has not been heard to drop it. */
  dead = false;
  readonly #sealer: Sealer;

  private constructor({ client, identity }: Connected, number: number, found: Head, sealer: Sealer) {
    this.client = client;
    this.identity = identity;
    this.number = number;
    this.head = found.link;
    this.sound = found.sound;
    this.newest = found.newest;
    this.#sealer = sealer;
    const pool = {
      connect: async () => ({ query: client.query.bind(client), release: () => {} }),
      end: async () => {},
    };
    // biome-ignore lint/suspicious/noExplicitAny: the pool is this one connection
    const dialect = new PostgresDialect({ pool: pool as any });
    this.reading = new Kysely<Schema>({ dialect });
    this.writing = new Kysely<Schema>({ dialect, plugins: [HOLDING] });
    holdsRows(this.writing);
    const gone = () => {
      this.dead = true;
    };
    client.on('error', gone).on('end', gone);
  }

  /** @throws what the driver throws, or CurfewError */
  static async open(options: ConnectOptions, sealer: Sealer): Promise<Lane> {
    const connected = await connect(options);
    const { client } = connected;
    try {
      for (let i = 0; i < TRIES; i++) {
        const taken = await client.query<{ lane: number }>(TAKE);
        const number = taken.rows[0]?.lane;
        const found = number === undefined ? undefined : await headOf(client, Number(number), sealer);
        if (found) return new Lane(connected, Number(number), found, sealer);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      throw new CurfewError('store', 'no lane of the audit log is free');
    } catch (error) {
      await cut(client);
      throw error;
    }
  }

  /** Adds rows, and moves the sealed head with them. @throws CurfewError `store` where another than this has moved it */
  async write(rows: readonly NewRow[], newest: Seconds): Promise<Link> {
    const before = this.head;
    const link = rows.at(-1)?.link ?? before;
    const [seq, hash, seal] = [link.seq, link.hash, this.#sealer.seal(link)];
    const values = [this.number, seq, hash, seal, newest, before.seq, before.hash];
    const { rowCount } =
      rows.length === 0
        ? await this.client.query(MOVE, values)
        : await this.client.query(ADD, [
            ...values,
            rows.map((row) => row.link.seq),
            rows.map(({ at }) => at),
            rows.map(({ event }) => event),
            rows.map(({ sid }) => sid),
            rows.map(({ data }) => data),
            rows.map((row) => row.link.hash),
          ]);
    if (rowCount !== Math.max(1, rows.length))
      throw new CurfewError('store', 'a chain of the audit log was moved by another');
    return link;
  }

  /** The head as it is now in the database, where what became of a commit is not known or another has moved it. */
  async reread(): Promise<void> {
    const found = await headOf(this.client, this.number, this.#sealer, this.head);
    if (found) [this.head, this.sound, this.newest] = [found.link, found.sound, found.newest];
  }

  async close(): Promise<void> {
    if (this.dead) await cut(this.client);
    else await this.client.end().catch(() => undefined);
  }
}

interface Head {
  readonly link: Link;
  readonly sound: boolean;
  readonly newest: Seconds;
}

interface FoundHead {
  readonly seq: number;
  readonly hash: string;
  readonly seal: string;
  readonly newest: Seconds;
  /** Of the rows that are there. */
  readonly last: number;
}

/** @param known what was sealed last; an older one in its place, however well sealed, was put there */
async function headOf(client: Client, lane: number, sealer: Sealer, known?: Link): Promise<Head | undefined> {
  const { rows } = await client.query<FoundHead>(READ, [lane]);
  const [found] = rows;
  if (!found) {
    const genesis = genesisOf(lane);
    await client.query(MAKE, [lane, genesis.seq, genesis.hash, sealer.seal(genesis)]);
    return { link: genesis, sound: true, newest: 0 as Seconds };
  }
  const { seq, hash, seal, newest, last } = found;
  const link = { lane, seq, hash };
  const sealed = seq >= (known?.seq ?? 0) && sealer.isSealed(link, seal);
  const sound = sealed && seq === last;
  // Where it is not sound the next row follows none that is there: it is written, and shows for good.
  return { link, sound, newest };
}

/** One statement as text, with values. */
export function textOf(text: string, values: readonly unknown[]): CompiledQuery {
  return CompiledQuery.raw(text, [...values]);
}
