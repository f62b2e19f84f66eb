// The feed in PostgreSQL, on a connection of its own that listens: a notification only wakes, what is new is always read. It is asked on
// that same connection, as one whose other end stands still hears nothing and gets no error.

import type { Client } from 'pg';
import { CurfewError } from '../../shared/errors.ts';
import { type Change, rowOfChange } from '../store/changes.ts';
import { asFailure } from '../store/failure.ts';
import { type Feed, type FeedPage, readFeed } from '../store/feed.ts';
import type { StoreOptions } from '../store/options.ts';
import type { Presence } from '../store/presence.ts';
import { type ConnectOptions, connect, cut, kyselyOn, type Look } from './client.ts';
import { replicasOn, sayPresence } from './presence.ts';

/** Milliseconds without an answer after which the connection is given up. */
const ANSWER_MS = 2_000;
const CHANNEL = 'curfew_feed';
const NOW = 'select extract(epoch from clock_timestamp())::float8 as now';
/** Less than the pause between two looks. */
const COMPARE_SECONDS = 0.9;

/** Holds the row of the head until the commit is over. The notification goes out with that; those of one transaction are one. */
const PUBLISH = `with head as (update feed_head set seq = seq + $1 where id = 1 returning seq)
  insert into feed (seq, at, kind, sid, data)
  select head.seq - $1 + added.n, added.at, added.kind, added.sid, added.data from head,
    unnest($2::bigint[], $3::text[], $4::text[], $5::text[]) with ordinality as added (at, kind, sid, data, n)
  returning pg_notify('${CHANNEL}', '')`;

/** The last statement before the commit. @throws what the driver throws, or CurfewError `store` */
export async function publishOn(client: Client, changes: readonly Change[]): Promise<void> {
  const rows = changes.map(rowOfChange);
  const { rowCount } = await client.query(PUBLISH, [
    rows.length,
    rows.map(({ at }) => at),
    rows.map(({ kind }) => kind),
    rows.map(({ sid }) => sid),
    rows.map(({ data }) => data),
  ]);
  if (rowCount !== rows.length) throw new CurfewError('store', 'the feed of changes has no head');
}

export class PostgresFeed implements Feed {
  readonly #database: () => Promise<ConnectOptions>;
  readonly #look: Look;
  readonly #wall: StoreOptions['wall'];
  readonly #told = new Set<() => void>();
  #client: Client | undefined;
  #mine: Presence | undefined;
  /** What the connection says of it. */
  #said: Presence | undefined;
  #opening: Promise<Client> | undefined;
  #closed = false;
  /** Seconds by which the machine's clock is at least ahead of the database's, and when that was asked. */
  #clocks = { ahead: 0, at: Number.NEGATIVE_INFINITY };

  /** @param database before each connection @param look whether what a connection leads to is the database that it was: an old primary has a feed too */
  constructor(database: () => Promise<ConnectOptions>, look: Look, wall?: StoreOptions['wall']) {
    this.#look = look;
    this.#wall = wall;
    this.#database = database;
  }

  async after(seq: number, most: number): Promise<FeedPage> {
    let client: Client | undefined;
    try {
      client = this.#client ?? (await this.#open());
      const page = await readFeed(kyselyOn(client), seq, most);
      // What is new is not to wait for it, unless it is there all at once.
      const quiet = page.entries.length === 0;
      if (quiet) await this.#compareClocks(client);
      const replicas = quiet ? await this.#replicas(client) : undefined;
      return { ...page, ...(this.#wall && { ahead: this.ahead }), ...(replicas && { replicas }) };
    } catch (error) {
      // Whatever it was: the next one is asked on another connection.
      if (client) await this.#drop(client);
      throw asFailure(error);
    }
  }

  /** Seconds by which the machine's clock is at least ahead of the database's; negative where it is behind. */
  get ahead(): number {
    return this.#clocks.ahead;
  }

  announce(mine: Presence): void {
    this.#mine = mine;
  }

  async #replicas(client: Client): Promise<readonly Presence[] | undefined> {
    const mine = this.#mine;
    if (!mine) return undefined;
    if (this.#said !== mine) await sayPresence(client, mine);
    this.#said = mine;
    return replicasOn(client);
  }

  /** Each second. However long the answer took, the database's clock was read between question and answer. */
  async #compareClocks(client: Client): Promise<void> {
    const wall = this.#wall;
    if (!wall || Math.abs(wall() - this.#clocks.at) < COMPARE_SECONDS) return;
    const asked = wall();
    const { rows } = await client.query<{ now: number }>(NOW);
    const answered = wall();
    const theirs = rows[0]?.now ?? asked;
    const ahead = theirs < asked ? asked - theirs : theirs > answered ? answered - theirs : 0;
    this.#clocks = { ahead, at: answered };
  }

  onWake(told: () => void): () => void {
    this.#told.add(told);
    return () => void this.#told.delete(told);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#opening?.catch(() => undefined);
    if (this.#client) await this.#drop(this.#client);
  }

  #open(): Promise<Client> {
    this.#opening ??= this.#listen().finally(() => {
      this.#opening = undefined;
    });
    return this.#opening;
  }

  /** Listens before anything is read on it: what is committed in between wakes. */
  async #listen(): Promise<Client> {
    if (this.#closed) throw new CurfewError('store', 'the store is closed');
    const { client } = await connect({ ...(await this.#database()), query_ms: ANSWER_MS }, this.#look);
    try {
      client.on('notification', () => {
        for (const told of this.#told) told();
      });
      client.once('end', () => void this.#drop(client));
      await client.query(`listen ${CHANNEL}`);
    } catch (error) {
      await cut(client);
      throw error;
    }
    this.#client = client;
    this.#said = undefined;
    return client;
  }

  async #drop(client: Client): Promise<void> {
    if (this.#client === client) this.#client = undefined;
    await cut(client);
  }
}
