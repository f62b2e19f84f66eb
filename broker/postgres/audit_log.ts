// The audit log in PostgreSQL as others than the broker read it: in many lanes, on one connection that writes nothing.

import type { Client } from 'pg';
import { CurfewError } from '../../shared/errors.ts';
import type { Seconds } from '../../shared/time.ts';
import type { AuditReader, Moment, Place } from '../audit_log/reader.ts';
import type { AuditRow, SealedHead } from '../audit_log/verify.ts';
import { asFailure } from '../store/failure.ts';
import { judgeVersion, migrationsDone } from '../store/version.ts';
import { type ConnectOptions, connect, cut, kyselyOn } from './client.ts';
import { codeOf, isLost } from './faults.ts';
import { POSTGRES_MIGRATIONS } from './schema.ts';

/** Rows that are in memory at a time, of each lane that is read. */
const ROWS_AT_ONCE = 200;
/** A page behind an instant may be far into a lane. */
const STATEMENT_MS = 60_000;
const BEGIN = `set statement_timeout = ${STATEMENT_MS}; set default_transaction_read_only = on`;

/** From one lane to the next by the index. One that has no head may have rows, and the other way round. */
const ALL_LANES = `with recursive numbers as (
    select min(lane) as lane from audit
    union all select (select min(lane) from audit where audit.lane > numbers.lane) from numbers where lane is not null),
  lanes as (select lane from numbers where lane is not null union select lane from audit_lane)`;
const LANES = `${ALL_LANES} select lane from lanes order by lane`;
/** In one statement, so as of one moment. The number of the last row as text: whatever it is. */
const HEADS = `${ALL_LANES} select lane, head.seq, head.hash, head.seal,
    (select max(seq)::text from audit where audit.lane = lanes.lane) as last
  from lanes left join audit_lane as head using (lane) order by lane`;
/** The instant as text: a value that cannot be read as one is reported, too. */
const ROWS = 'select lane, seq, at::text as at, event, sid, data, hash from audit';
/** After a row, not after its number: where somebody took the key away there may be two of one number. */
const UP_TO = `${ROWS.replace('select', 'select ctid::text as place,')}
  where lane = $1 and seq <= $2::bigint and (seq, ctid) > ($3::bigint, $4::tid) order by seq, ctid limit ${ROWS_AT_ONCE}`;
const AFTER = `${ROWS} where lane = $1 and seq > $2 order by seq limit ${ROWS_AT_ONCE}`;
const AFTER_SINCE = `${ROWS} where lane = $1 and seq > $2 and at >= $3 order by seq limit ${ROWS_AT_ONCE}`;
const NEWEST = `${ROWS} where lane = $1 order by seq desc limit $2`;
const HASHES = `select place.n, audit.hash from unnest($1::bigint[], $2::bigint[]) with ordinality as place (lane, seq, n)
  join audit on audit.lane = place.lane and audit.seq = place.seq`;

interface Found extends Omit<AuditRow, 'at' | 'data'> {
  readonly at: string;
  readonly data: string;
}

interface FoundAt extends Found {
  /** Where the row is in the table. */
  readonly place: string;
}

interface FoundHead {
  readonly lane: number;
  readonly seq: number | null;
  readonly hash: string | null;
  readonly seal: string | null;
  readonly last: string | null;
}

/** No number is smaller. */
const BEFORE_ALL = '-9223372036854775808';

/** @throws CurfewError `store` where it cannot be reached, `configuration` when it is not a store, or has a version that this one cannot use */
export async function openPostgresAuditLog(database: ConnectOptions): Promise<AuditReader> {
  const reader = new PostgresReader(database);
  await reader.open();
  return reader;
}

class PostgresReader implements AuditReader {
  readonly name: string;
  readonly several = true;
  readonly #database: ConnectOptions;
  #client: Client | undefined;

  constructor(database: ConnectOptions) {
    this.#database = database;
    this.name = `the store ${database.address.database}`;
  }

  /** Also after the connection was lost. */
  async open(): Promise<Client> {
    try {
      const { client } = await connect({ ...this.#database, query_ms: STATEMENT_MS + 10_000 });
      try {
        await requireStore(client);
        await client.query(BEGIN);
      } catch (error) {
        await cut(client);
        throw error;
      }
      this.#client = client;
      return client;
    } catch (error) {
      throw asFailure(error);
    }
  }

  async lanes(): Promise<readonly number[]> {
    return (await this.#ask<{ lane: number }>(LANES)).map(({ lane }) => lane);
  }

  async *rowsAfter({ lane, seq }: Place, since?: Seconds): AsyncGenerator<AuditRow> {
    let last = seq;
    for (let more = true; more; ) {
      const page = await (since === undefined
        ? this.#ask<Found>(AFTER, [lane, last])
        : this.#ask<Found>(AFTER_SINCE, [lane, last, since]));
      yield* page.map(rowOf);
      last = page.at(-1)?.seq ?? last;
      more = page.length === ROWS_AT_ONCE;
    }
  }

  async *newestRows(lane: number, count: number): AsyncGenerator<AuditRow> {
    yield* (await this.#ask<Found>(NEWEST, [lane, count])).map(rowOf).reverse();
  }

  /**
   * Rows never change: what was there at the moment is known by its heads and last rows. No transaction is kept open for it, as under one no
   * version of a head could be removed, of which there are thousands a second: commits would take longer and longer.
   */
  async moment<T>(story: (moment: Moment) => Promise<T>): Promise<T> {
    const heads = await this.#ask<FoundHead>(HEADS);
    const found = new Map(heads.map((head) => [head.lane, head]));
    return story({
      lanes: async () => [...found.keys()],
      sealedHead: async (lane) => sealedOf(found.get(lane)),
      rows: (lane) => this.#rowsUpTo(lane, found.get(lane)?.last ?? null),
      hashesAt: (places) => this.#hashesAt(places),
    });
  }

  async close(): Promise<void> {
    await this.#client?.end().catch(() => undefined);
  }

  async *#rowsUpTo(lane: number, last: string | null): AsyncGenerator<AuditRow> {
    let after: readonly [seq: number | string, place: string] = [BEFORE_ALL, '(0,0)'];
    for (let more = last !== null; more; ) {
      const page: readonly FoundAt[] = await this.#ask<FoundAt>(UP_TO, [lane, last, ...after]);
      yield* page.map(rowOf);
      const end = page.at(-1);
      if (end) after = [end.seq, end.place];
      more = page.length === ROWS_AT_ONCE;
    }
  }

  async #hashesAt(places: readonly Place[]): Promise<readonly (string | undefined)[]> {
    const found = await this.#ask<{ n: number; hash: string }>(HASHES, [
      places.map(({ lane }) => lane),
      places.map(({ seq }) => seq),
    ]);
    const hashes = new Map(found.map(({ n, hash }) => [n, hash]));
    return places.map((_, n) => hashes.get(n + 1));
  }

  /**
   * An error that comes neither from the connection nor from the server is about what was read: a number that nobody has written, a damaged page.
   *
   * @throws CurfewError `store`; where the connection is lost, the next is asked on another
   */
  async #ask<T extends object>(text: string, values?: readonly unknown[]): Promise<readonly T[]> {
    const client = this.#client ?? (await this.open());
    try {
      return (await client.query<T>(text, values === undefined ? undefined : [...values])).rows;
    } catch (error) {
      if (error instanceof RangeError || codeOf(error).startsWith('XX')) throw error;
      if (isLost(error)) {
        this.#client = undefined;
        await cut(client);
      }
      throw asFailure(error);
    }
  }
}

/** @throws CurfewError `configuration` */
async function requireStore(client: Client): Promise<void> {
  const fault = (what: string) => new CurfewError('configuration', `store.postgres: the database ${what}`);
  const db = kyselyOn(client);
  const done = await migrationsDone(db);
  if (done.length === 0) throw fault('is not a store of curfew-broker: it is made when the broker starts');
  if ((await judgeVersion(db, done, Object.keys(POSTGRES_MIGRATIONS))) === 'older')
    throw fault('is of an earlier version: a restart of the broker brings it to this one');
}

function rowOf({ lane, seq, at, event, sid, hash, data }: Found): AuditRow {
  return { lane, seq, at: Number(at), event, sid, hash, data: Buffer.from(data) };
}

function sealedOf(head: FoundHead | undefined): SealedHead | undefined {
  const { seq, hash, seal } = head ?? {};
  return seq != null && hash != null && seal != null ? { seq, hash, seal } : undefined;
}
