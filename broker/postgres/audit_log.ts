// The audit log in PostgreSQL as others than the broker read it: in many lanes, on one connection that writes nothing.

import type { Client } from 'pg';
import { CurfewError } from '../../shared/errors.ts';
import type { Seconds } from '../../shared/time.ts';
import type { AuditReader, Moment, Place } from '../audit_log/reader.ts';
import type { AuditRow, SealedHead } from '../audit_log/verify.ts';
import { asFailure } from '../store/failure.ts';
import { judgeVersion, migrationsDone } from '../store/version.ts';
import { type ConnectOptions, connect, cut, kyselyOn } from './client.ts';
import { codeOf } from './faults.ts';
import { POSTGRES_MIGRATIONS } from './schema.ts';

/** Rows that are in memory at a time, of each lane that is read. */
const ROWS_AT_ONCE = 200;
/** A page behind an instant may be far into a lane. */
const STATEMENT_MS = 60_000;
const BEGIN = `set statement_timeout = ${STATEMENT_MS}; set idle_in_transaction_session_timeout = ${STATEMENT_MS};
  set default_transaction_read_only = on`;

/** From one lane to the next by the index. One that has no head has rows, and the other way round. */
const LANES = `with recursive numbers as (
    select min(lane) as lane from audit
    union all select (select min(lane) from audit where audit.lane > numbers.lane) from numbers where lane is not null)
  select lane from numbers where lane is not null union select lane from audit_lane order by lane`;
/** The instant as text: whatever stands there is to be told of. */
const ROWS = 'select lane, seq, at::text as at, event, sid, data, hash from audit';
const AFTER = `${ROWS} where lane = $1 and seq > $2 order by seq limit ${ROWS_AT_ONCE}`;
const AFTER_SINCE = `${ROWS} where lane = $1 and seq > $2 and at >= $3 order by seq limit ${ROWS_AT_ONCE}`;
const NEWEST = `${ROWS} where lane = $1 order by seq desc limit $2`;
const HASHES = `select place.n, audit.hash from unnest($1::bigint[], $2::bigint[]) with ordinality as place (lane, seq, n)
  join audit on audit.lane = place.lane and audit.seq = place.seq`;

interface Found extends Omit<AuditRow, 'at' | 'data'> {
  readonly at: string;
  readonly data: string;
}

/** @throws CurfewError `store` where it cannot be reached, `configuration` when it is no store, or of a version that this one cannot use */
export async function openPostgresAuditLog(database: ConnectOptions): Promise<AuditReader> {
  const fault = (what: string) => new CurfewError('configuration', `store.postgres: the database ${what}`);
  try {
    const { client } = await connect({ ...database, query_ms: STATEMENT_MS + 10_000 });
    try {
      const db = kyselyOn(client);
      const done = await migrationsDone(db);
      if (done.length === 0) throw fault('is not a store of curfew-broker: it is made when the broker starts');
      if ((await judgeVersion(db, done, Object.keys(POSTGRES_MIGRATIONS))) === 'older')
        throw fault('is of an earlier version: a restart of the broker brings it to this one');
      await client.query(BEGIN);
      return new PostgresReader(client, `the store ${database.address.database}`);
    } catch (error) {
      await cut(client);
      throw error;
    }
  } catch (error) {
    throw asFailure(error);
  }
}

class PostgresReader implements AuditReader, Moment {
  readonly name: string;
  readonly several = true;
  readonly #client: Client;

  constructor(client: Client, name: string) {
    this.#client = client;
    this.name = name;
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

  async moment<T>(story: (moment: Moment) => Promise<T>): Promise<T> {
    await this.#ask('begin isolation level repeatable read, read only');
    try {
      return await story(this);
    } finally {
      await this.#client.query('rollback').catch(() => undefined);
    }
  }

  async sealedHead(lane: number): Promise<SealedHead | undefined> {
    const [head] = await this.#ask<SealedHead>('select seq, hash, seal from audit_lane where lane = $1', [lane]);
    return head;
  }

  /** By a cursor: pages that begin after a number would pass over a second row of that number, where somebody took the key away. */
  async *rows(lane: number): AsyncGenerator<AuditRow> {
    await this.#ask(`declare chain no scroll cursor for ${ROWS} where lane = ${lane} order by seq`);
    for (let more = true; more; ) {
      const page = await this.#ask<Found>(`fetch ${ROWS_AT_ONCE} from chain`);
      yield* page.map(rowOf);
      more = page.length > 0;
    }
    await this.#ask('close chain');
  }

  async hashesAt(places: readonly Place[]): Promise<readonly (string | undefined)[]> {
    const found = await this.#ask<{ n: number; hash: string }>(HASHES, [
      places.map(({ lane }) => lane),
      places.map(({ seq }) => seq),
    ]);
    const hashes = new Map(found.map(({ n, hash }) => [n, hash]));
    return places.map((_, n) => hashes.get(n + 1));
  }

  async close(): Promise<void> {
    await this.#client.end().catch(() => undefined);
  }

  /** What is no error of the connection or of the server's is one of what is read: a number that nobody has written, a damaged page. */
  async #ask<T extends object>(text: string, values?: readonly unknown[]): Promise<readonly T[]> {
    try {
      return (await this.#client.query<T>(text, values === undefined ? undefined : [...values])).rows;
    } catch (error) {
      throw error instanceof RangeError || codeOf(error).startsWith('XX') ? error : asFailure(error);
    }
  }
}

function rowOf({ at, data, ...row }: Found): AuditRow {
  return { ...row, at: Number(at), data: Buffer.from(data) };
}
