// One connection, and the chain of the audit log that it alone writes: a lane. So commits of different connections wait for nothing of
// each other. A lane that its connection leaves is taken on by a later one; so there are never more than there were connections at once.

import type { Kysely } from 'kysely';
import type { Client } from 'pg';
import { CurfewError } from '../../shared/errors.ts';
import { latest, type Seconds, seconds } from '../../shared/time.ts';
import { genesisOf, type Link, type Sealer } from '../audit_log/chain.ts';
import type { AuditEntry } from '../audit_log/events.ts';
import { holdsRows } from '../store/sql.ts';
import type { Schema } from '../store/tables.ts';
import { type Connected, type ConnectOptions, connect, cut, kyselyOn, type Look } from './client.ts';
import { HOLDING } from './holding.ts';
import { LOCK } from './locks.ts';

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

/** No row has this hash. */
export const NOWHERE = 'f'.repeat(64);

/** The chain is elsewhere than this connection has left it. Whoever tries again finds it as it is. */
export class LaneMoved extends CurfewError {
  constructor() {
    super('store', 'a chain of the audit log was moved by another', { retry_after: 1 });
  }
}

/** A row of the audit log that is to be written. */
export interface NewRow {
  readonly link: Link;
  readonly at: Seconds;
  readonly event: string;
  readonly sid: string | null;
  readonly data: string;
}

/** What a commit has left. */
export interface Committed {
  readonly link: Link;
  readonly newest: Seconds;
  readonly entries: readonly AuditEntry[];
  /** How long the commit alone took. */
  readonly seconds: number;
}

export class Lane {
  readonly number: number;
  readonly client: Client;
  /** Of statements alone: each sees what is committed. */
  readonly reading: Kysely<Schema>;
  /** Within a transaction: what it selects is held. */
  readonly writing: Kysely<Schema>;
  /** Of the server. */
  readonly timeline: number;
  /** Whether anything was asked within the transaction that runs. */
  used = false;
  /** Known to be of no more use: it is cut instead of being taken again. */
  dead = false;
  /** Whether this connection has added rows to the chain. */
  begun = false;
  /** As it is in the database. */
  #found: Head;
  readonly #sealer: Sealer;

  private constructor({ client, timeline }: Connected, number: number, found: Head, sealer: Sealer) {
    this.client = client;
    this.timeline = timeline;
    this.number = number;
    this.#found = found;
    this.#sealer = sealer;
    this.reading = kyselyOn(client);
    this.writing = kyselyOn(client, {
      plugins: [HOLDING],
      onQuery: () => {
        this.used = true;
      },
    });
    holdsRows(this.writing);
    const gone = () => {
      this.dead = true;
    };
    client.on('error', gone).on('end', gone);
  }

  /** @throws what the driver throws, or CurfewError */
  static async open(options: ConnectOptions, sealer: Sealer, look: Look): Promise<Lane> {
    const connected = await connect(options, look);
    const { client } = connected;
    try {
      for (let i = 0; i < TRIES; i++) {
        const taken = await client.query<{ lane: number }>(TAKE);
        const number = taken.rows[0]?.lane;
        if (number !== undefined) return new Lane(connected, number, await headOf(client, number, sealer), sealer);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      throw new CurfewError('store', 'no lane of the audit log is free');
    } catch (error) {
      await cut(client);
      throw error;
    }
  }

  get head(): Link {
    return this.#found.link;
  }

  /** False where the chain was changed from outside. */
  get sound(): boolean {
    return this.#found.sound;
  }

  get newest(): Seconds {
    return this.#found.newest;
  }

  /** What the next row follows. Where the chain was changed from outside that is none that is there, so that it shows for good. */
  get before(): Link {
    const { link, sound, last } = this.#found;
    return sound ? link : { ...link, seq: Math.max(link.seq, last), hash: NOWHERE };
  }

  /** Of what another statement than `write` moves the lane by. */
  seal(link: Link): string {
    return this.#sealer.seal(link);
  }

  /** After a commit. */
  moved(link: Link, newest: Seconds): void {
    this.begun ||= link !== this.head;
    this.#found = { link, sound: true, last: link.seq, newest: latest(this.newest, newest) };
  }

  /** After another has moved it, outside a transaction: this connection held it, so it was changed from outside. */
  async look(): Promise<void> {
    const { head, newest } = this;
    const found = await headOf(this.client, this.number, this.#sealer);
    // What is in its place is older, or not ours: no row is to follow it.
    const last = Math.max(found.last, found.link.seq, head.seq);
    this.#found = { ...found, sound: false, last, newest: latest(newest, found.newest) };
  }

  /** Adds rows, and moves the sealed head with them. @throws LaneMoved where another than this has moved it */
  async write(rows: readonly NewRow[], newest: Seconds): Promise<Link> {
    const { head } = this;
    const link = rows.at(-1)?.link ?? head;
    const [seq, hash, seal] = [link.seq, link.hash, this.#sealer.seal(link)];
    const values = [this.number, seq, hash, seal, newest, head.seq, head.hash];
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
    if (rowCount !== Math.max(1, rows.length)) throw new LaneMoved();
    return link;
  }

  async close(): Promise<void> {
    if (this.dead) await cut(this.client);
    else await this.client.end().catch(() => undefined);
  }
}

interface Head {
  readonly link: Link;
  readonly sound: boolean;
  /** The number of the last row that is there. */
  readonly last: number;
  readonly newest: Seconds;
}

interface FoundHead extends Pick<Head, 'last' | 'newest'> {
  readonly seq: number;
  readonly hash: string;
  readonly seal: string;
}

async function headOf(client: Client, lane: number, sealer: Sealer): Promise<Head> {
  const { rows } = await client.query<FoundHead>(READ, [lane]);
  const [found] = rows;
  if (!found) {
    const genesis = genesisOf(lane);
    await client.query(MAKE, [lane, genesis.seq, genesis.hash, sealer.seal(genesis)]);
    return { link: genesis, sound: true, last: 0, newest: seconds(0) };
  }
  const { seq, hash, seal, newest, last } = found;
  const link = { lane, seq, hash };
  return { link, sound: seq === last && sealer.isSealed(link, seal), last, newest };
}
