// The store of any number of replicas, in PostgreSQL: READ COMMITTED, rows held from when they are read, names held where there is no
// row yet. A transaction is one connection's, with its own chain of the audit log.

import { type Kysely, type Selectable, sql } from 'kysely';
import { CurfewError } from '../../shared/errors.ts';
import type { Seconds, Stopwatch } from '../../shared/time.ts';
import type { Link } from '../audit_log/chain.ts';
import type { AuditEntry, AuditEvent } from '../audit_log/events.ts';
import type { Change } from '../store/changes.ts';
import { requireAgreement } from '../store/clocks_apart.ts';
import { asFailure, NewEpoch } from '../store/failure.ts';
import type { Feed } from '../store/feed.ts';
import { type Lease, newHolder, takeLease } from '../store/lease.ts';
import type { StoreOptions } from '../store/options.ts';
import type { Renewals } from '../store/renewals.ts';
import { ServedStore } from '../store/served.ts';
import type { Store, Work } from '../store/store.ts';
import type { Schema, StoreStateTable } from '../store/tables.ts';
import type { Known } from '../store/witness.ts';
import { Anchors, laneOpened } from './anchors.ts';
import type { Look } from './client.ts';
import { commit, undo } from './commit.ts';
import { type Damp, onceEach } from './damp.ts';
import { codeOf, isLost } from './faults.ts';
import { PostgresFeed, publishOn } from './feed.ts';
import { HoldFirst, Holds } from './holds.ts';
import { Identity, WrongDatabase } from './identity.ts';
import { type Committed, Lane, LaneMoved } from './lane.ts';
import { Lanes } from './lanes.ts';
import { migrate, requireTables } from './migrate.ts';
import { NewRows } from './new_rows.ts';
import { newestFirstEach } from './newest_first.ts';
import type { PostgresOptions } from './options.ts';
import { PostgresRenewals } from './renewals.ts';
import { begin, holdStore, resetNewest } from './standing.ts';

/** A deadlock, a serialization failure, a key that another made in between. */
const REPEATABLE: ReadonlySet<string> = new Set(['40P01', '40001', '23505']);
const MOST_TRIES = 4;
/** As often a transaction begins again with more names; nearly always once. */
const MOST_HOLDS = 16;
/** The same for all replicas, and not that of when a transaction began. */
const NOW = sql<number>`ceil(extract(epoch from clock_timestamp()))::bigint`;
/** Seconds: what failed here is gone by then, as after a failover, or will be said again. */
const AGAIN = { retry_after: 1 } as const;

export class PostgresStore extends ServedStore implements Store {
  readonly #lanes: Lanes;
  readonly #identity: Identity;
  readonly #options: StoreOptions;
  readonly #feed: PostgresFeed;
  readonly #anchors: Anchors;
  readonly #holder = newHolder();
  readonly #stopwatch: Stopwatch;
  readonly renewals: Renewals;

  private constructor(lanes: Lanes, identity: Identity, feed: PostgresFeed, options: StoreOptions) {
    super();
    this.#lanes = lanes;
    this.#identity = identity;
    this.#feed = feed;
    this.#options = options;
    this.#stopwatch = options.stopwatch ?? (() => 0);
    this.#anchors = new Anchors(lanes, options.sealer);
    this.renewals = new PostgresRenewals({
      observer: options.observer,
      stopwatch: this.#stopwatch,
      serving: () => this.serving,
      committed: (lane, { entries, ...committed }) => {
        this.#committed(lane, committed);
        this.#tell(entries);
      },
      using: async (work) => {
        try {
          this.#requireUsable();
          return await this.#using(work);
        } catch (error) {
          throw this.#failureOf(error);
        }
      },
    });
  }

  get feed(): Feed {
    return this.#feed;
  }

  /** @throws CurfewError `store` when the database cannot be reached or brought to this version, `configuration` for what cannot be used */
  static async open(database: PostgresOptions, options: StoreOptions): Promise<PostgresStore> {
    const identity = new Identity(database.known ?? [], database);
    const look: Look = (client) => identity.see(client);
    const newest = newestFirstEach(database);
    const open = async (): Promise<Lane> => {
      const lane = await Lane.open(await newest(), options.sealer, look);
      // What still leads to an old primary is of no more use.
      lanes.retire(({ timeline }) => timeline < identity.timeline);
      return lane;
    };
    const lanes = new Lanes(open, database.connections);
    try {
      await (database.make === false ? requireTables(database, identity) : migrate(database, identity));
      lanes.give(await lanes.take());
    } catch (error) {
      await lanes.close();
      throw asFailure(error, AGAIN);
    }
    return new PostgresStore(lanes, identity, new PostgresFeed(newest, look, options.wall), options);
  }

  standing(): Promise<Selectable<StoreStateTable>> {
    return this.read(async (db) => {
      const state = await db.selectFrom('store_state').selectAll().where('id', '=', 1).executeTakeFirstOrThrow();
      const { newest } = await db
        .selectFrom('audit_lane')
        .select(({ fn }) => fn.max('newest').as('newest'))
        .executeTakeFirstOrThrow();
      return { ...state, newest: Math.max(state.newest, newest ?? 0) as Seconds };
    });
  }

  async known(): Promise<Known> {
    return this.knownWith();
  }

  /** @param link that was just committed; without it the last one that is known */
  knownWith(link?: Link): Known {
    const known = this.#identity.known(link);
    if (!known) throw new CurfewError('store', 'the store does not say which it is');
    return known;
  }

  async settle(): Promise<void> {
    await this.#using((lane) => this.#identity.settle(lane.client));
  }

  async read<T>(work: (db: Kysely<Schema>) => Promise<T>): Promise<T> {
    try {
      this.requireTheOneOpened();
      return await this.#using((lane) => work(lane.reading));
    } catch (error) {
      if (error instanceof WrongDatabase) this.health.failed(error.message);
      throw asFailure(error, AGAIN);
    }
  }

  async #using<T>(work: (lane: Lane) => Promise<T>): Promise<T> {
    const lane = await this.#lanes.take();
    try {
      return await work(lane);
    } catch (error) {
      if (isLost(error)) lane.dead = true;
      throw error;
    } finally {
      this.#lanes.give(lane);
    }
  }

  transaction<T>(work: Work<T>): Promise<T> {
    return this.#repeated(async (trying) => {
      this.#requireUsable();
      return this.#using((lane) => this.#attempt(lane, work, trying));
    });
  }

  async anchor(at: Seconds): Promise<void> {
    this.#requireUsable();
    await this.#anchors.write(at, (lane, work) => this.#repeated((trying) => this.#attempt(lane, work, trying)));
  }

  async #repeated<T>(attempt: (trying: Trying) => Promise<Done<T>>): Promise<T> {
    const settled = this.#options.observer?.asked();
    const trying: Trying = { damp: onceEach(this.#options.damp), first: [] };
    for (let tries = 1; ; tries++) {
      try {
        const { result, entries } = await attempt(trying);
        settled?.('committed');
        this.#tell(entries);
        return result;
      } catch (error) {
        if (tries < MOST_HOLDS && error instanceof HoldFirst) {
          trying.first = error.names;
          continue;
        }
        if (tries < MOST_TRIES && (error instanceof LaneMoved || REPEATABLE.has(codeOf(error)))) continue;
        if (error instanceof NewEpoch) {
          this.#identity.accepted(error.standing);
          // What they know of the newest instant is of before.
          this.#lanes.retire(() => true);
          await this.follow(error.standing);
        }
        const failure = this.#failureOf(error);
        settled?.(failure instanceof CurfewError && failure.code === 'store' ? 'failed' : 'undone');
        throw failure;
      }
    }
  }

  /** What the caller is told; what it says of the database is kept. */
  #failureOf(error: unknown): unknown {
    const failure = asFailure(error, AGAIN);
    if (error instanceof WrongDatabase) this.health.failed(error.message);
    else if (failure instanceof CurfewError && failure.code === 'store' && failure !== error) this.failed(error);
    return failure;
  }

  lease(name: string, seconds: number): Promise<Lease | undefined> {
    return takeLease(this, { holder: this.#holder, now: NOW }, name, seconds);
  }

  async probe(): Promise<void> {
    await this.transaction(({ db }) => db.updateTable('store_state').set({ id: 1 }).execute()).catch(() => undefined);
  }

  async close(): Promise<void> {
    await this.#feed.close();
    await this.#lanes.close();
  }

  /** @throws CurfewError `store` */
  #requireUsable(): void {
    this.requireTrust();
    this.serving?.guard.check();
    requireAgreement(this.#feed.ahead);
  }

  async #attempt<T>(lane: Lane, work: Work<T>, trying: Trying): Promise<Done<T>> {
    try {
      return await this.#on(lane, work, trying);
    } catch (error) {
      if (isLost(error)) lane.dead = true;
      if (!lane.dead) await undo(lane, error);
      throw error;
    }
  }

  async #on<T>(lane: Lane, work: Work<T>, { damp, first }: Trying): Promise<Done<T>> {
    const { client } = lane;
    const serving = this.serving;
    lane.used = false;
    const standing = await begin(client);
    this.requireReadable(standing);
    if (serving && standing.epoch !== serving.epoch) throw new NewEpoch(standing);
    serving?.clock.observe(standing.newest);
    const opened = lane.begun ? undefined : await laneOpened(lane, this.#options.sealer);
    const added = new NewRows(lane.before, opened, damp);
    const audit = async (event: AuditEvent) => added.add(event);
    const holds = new Holds(lane);
    const hold = (names: readonly string[]) => holds.take(names);
    const holdAll = async () => {
      await holdStore(client);
      holds.all();
    };
    await hold(first);
    const changes: Change[] = [];
    const publish = (change: Change) => void changes.push(change);
    const result = await work({
      ...{ db: lane.writing, audit, publish, hold, holdAll },
      resetNewest: (instant) => resetNewest(client, instant),
      over_before: standing.over_before,
      shared: true,
    });
    const newest = serving?.clock.newest() ?? (0 as Seconds);
    const { rows, entries } = added;
    const link = rows.length > 0 || newest > lane.newest ? await lane.write(rows, newest) : lane.head;
    if (changes.length > 0) await publishOn(client, changes);
    // The commit alone: waiting for others, or for a connection, says nothing about the disk.
    const committing = this.#stopwatch();
    await commit(lane);
    this.#committed(lane, { link, newest, seconds: this.#stopwatch() - committing });
    return { result, entries };
  }

  /** Before anything of it is acknowledged. */
  #committed(lane: Lane, { link, newest, seconds }: Omit<Committed, 'entries'>): void {
    this.health.committed(seconds * 1_000);
    const { sound } = lane;
    lane.moved(link, newest);
    this.#identity.committed(link, newest);
    this.serving?.guard.committed(link);
    if (!sound) this.#options.onBroken();
  }

  #tell(entries: readonly AuditEntry[]): void {
    this.#options.observer?.grouped(1);
    for (const entry of entries) this.#options.onAudit(entry);
  }
}

interface Done<T> {
  readonly result: T;
  readonly entries: readonly AuditEntry[];
}

/** What one try of a transaction leaves to the next. */
interface Trying {
  readonly damp: Damp;
  /** Names that are to be held before all else. */
  first: readonly string[];
}
