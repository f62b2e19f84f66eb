// The store of one process, in a file of SQLite: one writer, whose transactions share commits.

import { CompiledQuery, Kysely, type Selectable, sql } from 'kysely';
import { Migrator } from 'kysely/migration';
import { CurfewError } from '../../shared/errors.ts';
import { type Link, linkOf, type Sealer } from '../audit_log/chain.ts';
import type { AuditEntry, AuditEvent } from '../audit_log/events.ts';
import { visibleJson } from '../text/names.ts';
import { headOf, type Standing, writeHead, writeNewest } from './audit_head.ts';
import type { Change } from './changes.ts';
import { asFailure, NewEpoch } from './failure.ts';
import { type Feed, readFeed, writeFeed } from './feed.ts';
import { type Lease, newHolder, takeLease } from './lease.ts';
import { migrationsWith } from './migrations.ts';
import { requireInUse } from './moved.ts';
import type { StoreOptions } from './options.ts';
import { ServedStore } from './served.ts';
import type { Dialects } from './sqlite.ts';
import type { Store, Work } from './store.ts';
import type { Schema, StoreStateTable } from './tables.ts';
import { judgeVersion, migrationsDone } from './version.ts';
import type { Known } from './witness.ts';
import { sayStoreFault } from './words.ts';

interface Committed {
  readonly settle: readonly (() => void)[];
  readonly head: Link;
  /** Whether there is more in the feed. */
  readonly changed: boolean;
}

interface Queued {
  /** Runs inside the group's transaction; the returned function settles the caller's promise after the commit. */
  readonly run: (db: Kysely<Schema>, chain: Chain) => Promise<() => void>;
  readonly fail: (cause: unknown) => void;
}

/** The newest row of the audit log, as of within a group's transaction, and what holds for all of the store. */
interface Chain {
  head: Link;
  readonly standing: Standing;
  /** To be told with the commit. */
  readonly changes: Change[];
}

// As text it is not built again each time, which would cost more than running it.
const INSERT_AUDIT = 'insert into audit (seq, at, event, sid, data, hash) values (?, ?, ?, ?, ?, ?)';

/** Nothing else writes meanwhile. */
const ONE_WRITER = async () => {};

/** More in one commit would make the first of them wait for the last. */
const LARGEST_GROUP = 64;

/**
 * Transactions that arrive while another one commits share the next commit (group commit), as its sync to disk is
 * what costs; each keeps its own savepoint, so that one that throws undoes itself alone.
 */
export class SqliteStore extends ServedStore implements Store {
  readonly #db: Kysely<Schema>;
  readonly #reading: Kysely<Schema>;
  readonly #options: StoreOptions;
  #queue: Queued[] = [];
  #flushing = false;
  /** What was sealed last. */
  #head: Link | undefined;
  readonly #holder = newHolder();
  /** What was held once. */
  readonly #leased = new Set<string>();
  readonly #woken = new Set<() => void>();
  readonly feed: Feed = {
    after: (seq, most) => this.read((db) => readFeed(db, seq, most)),
    announce: () => undefined,
    onWake: (told) => {
      this.#woken.add(told);
      return () => void this.#woken.delete(told);
    },
  };

  private constructor(db: Kysely<Schema>, reading: Kysely<Schema>, options: StoreOptions) {
    super();
    this.#db = db;
    this.#reading = reading;
    this.#options = options;
  }

  /**
   * @throws CurfewError `store` when the database cannot be opened or brought to this version
   */
  static async open({ writing, reading, close }: Dialects, options: StoreOptions): Promise<SqliteStore> {
    const db = new Kysely<Schema>({ dialect: writing });
    try {
      await migrate(db, options.sealer);
    } catch (error) {
      close();
      throw error;
    }
    return new SqliteStore(db, new Kysely<Schema>({ dialect: reading }), options);
  }

  /** What holds for all of the store, as it is now. @throws CurfewError `store` */
  standing(): Promise<Selectable<StoreStateTable>> {
    return this.read((db) => db.selectFrom('store_state').selectAll().where('id', '=', 1).executeTakeFirstOrThrow());
  }

  async known(): Promise<Known> {
    const { database_id } = await this.standing();
    const head = await this.read((db) => db.selectFrom('audit_head').select(['seq', 'hash']).executeTakeFirst());
    return { database_id, link: head ?? { seq: 0, hash: '' } };
  }

  /** A file is where it is. */
  async settle(): Promise<void> {}

  /**
   * Reads what was committed, without waiting for any transaction. Decisions that grant something read in a transaction.
   *
   * @throws CurfewError `store` when the database fails
   */
  async read<T>(work: (db: Kysely<Schema>) => Promise<T>): Promise<T> {
    try {
      this.requireTheOneOpened();
      return await work(this.#reading);
    } catch (error) {
      throw asFailure(error);
    }
  }

  /**
   * Runs `work` with nothing in between, and resolves once its effects are on disk.
   * What `work` throws undoes all it did and is thrown on; nothing but the store may be awaited in it.
   *
   * @throws CurfewError `store` when the database fails: nothing was acknowledged, nothing may be assumed
   */
  transaction<T>(work: Work<T>): Promise<T> {
    const settled = this.#options.observer?.asked();
    return new Promise<T>((resolve, failed) => {
      const reject = (cause: unknown) => {
        const error = asFailure(cause);
        settled?.(error instanceof CurfewError && error.code === 'store' ? 'failed' : 'undone');
        failed(error);
      };
      const run: Queued['run'] = async (db, chain) => {
        const entries: AuditEntry[] = [];
        const before = chain.head;
        const { damp } = this.#options;
        const audit = async (given: AuditEvent) => {
          const event = given.event === 'refusal' && damp ? damp(given) : given;
          if (!event) return;
          const data = visibleJson(JSON.stringify(event));
          chain.head = linkOf(chain.head, data);
          const { at, sid = null } = event;
          const { seq, hash } = chain.head;
          await db.executeQuery(CompiledQuery.raw(INSERT_AUDIT, [seq, at, event.event, sid, data, hash]));
          entries.push({ ...chain.head, event });
        };
        const changes: Change[] = [];
        await sql`savepoint one`.execute(db);
        try {
          const result = await work({
            db,
            audit,
            publish: (change) => void changes.push(change),
            resetNewest: (instant) => writeNewest(db, instant),
            hold: ONE_WRITER,
            holdAll: ONE_WRITER,
            over_before: chain.standing.over_before,
            shared: false,
          });
          await sql`release one`.execute(db);
          chain.changes.push(...changes);
          return () => {
            settled?.('committed');
            for (const entry of entries) this.#options.onAudit(entry);
            resolve(result);
          };
        } catch (error) {
          chain.head = before;
          await sql`rollback to one`.execute(db);
          await sql`release one`.execute(db);
          return () => reject(error);
        }
      };
      this.#queue.push({ run, fail: reject });
      if (!this.#flushing) {
        this.#flushing = true;
        setImmediate(() => void this.#flush());
      }
    });
  }

  /** There is one chain: nothing else could say where it is. */
  async anchor(): Promise<void> {}

  /** One broker serves a file: what was held before it served is nobody's. */
  async lease(name: string, seconds: number): Promise<Lease | undefined> {
    const takesOver = this.serving !== undefined && !this.#leased.has(name);
    const lease = await takeLease(this, { holder: this.#holder, now: undefined }, name, seconds, takesOver);
    if (lease) this.#leased.add(name);
    return lease;
  }

  /** Tries whether it can be written, for `health` to know. Never rejects. */
  async probe(): Promise<void> {
    await this.transaction(({ db }) => sql`pragma user_version = 1`.execute(db)).catch(() => undefined);
  }

  async close(): Promise<void> {
    while (this.#flushing) await new Promise((resolve) => setImmediate(resolve));
    await this.#reading.destroy();
    await this.#db.destroy();
  }

  async #flush(): Promise<void> {
    const { stopwatch = () => 0 } = this.#options;
    while (this.#queue.length > 0) {
      const group = this.#queue.splice(0, LARGEST_GROUP);
      this.#options.observer?.grouped(group.length);
      const begin = stopwatch();
      try {
        this.requireTrust();
        const { settle, head, changed } = await this.#db.connection().execute((db) => this.#commitGroup(db, group));
        this.#head = head;
        this.health.committed((stopwatch() - begin) * 1_000);
        for (const done of settle) done();
        if (changed) for (const told of this.#woken) told();
      } catch (error) {
        for (const { fail } of group) fail(error);
        if (error instanceof NewEpoch) await this.follow(error.standing);
        else this.failed(error);
      }
      // Let requests that arrived during the sync join the next group.
      await new Promise((resolve) => setImmediate(resolve));
    }
    this.#flushing = false;
  }

  async #commitGroup(db: Kysely<Schema>, group: readonly Queued[]): Promise<Committed> {
    const { serving } = this;
    const { sealer, onBroken } = this.#options;
    serving?.guard.check();
    await sql`begin immediate`.execute(db);
    try {
      const settle: (() => void)[] = [];
      const { link: before, sound, standing } = await headOf(db, sealer, this.#head);
      this.requireReadable(standing);
      if (serving && standing.epoch !== serving.epoch) throw new NewEpoch(standing);
      serving?.clock.observe(standing.newest);
      const chain: Chain = { head: before, standing, changes: [] };
      for (const { run } of group) settle.push(await run(db, chain));
      if (chain.head !== before) await writeHead(db, chain.head, sealer);
      const newest = serving?.clock.newest();
      if (newest !== undefined && newest > standing.newest) await writeNewest(db, newest);
      if (chain.changes.length > 0) await writeFeed(db, chain.changes);
      await sql`commit`.execute(db);
      serving?.guard.committed(chain.head);
      if (!sound) onBroken();
      return { settle, head: chain.head, changed: chain.changes.length > 0 };
    } catch (error) {
      // After some errors (disk full, I/O) SQLite has rolled back by itself.
      await sql`rollback`.execute(db).catch(() => undefined);
      serving?.guard.undone();
      throw error;
    }
  }
}

async function migrate(db: Kysely<Schema>, sealer: Sealer): Promise<void> {
  const fault = (error: unknown) => {
    const why = sayStoreFault(error) ?? 'unknown error';
    return new CurfewError('store', `the store cannot be made, or brought to this version: ${why}`, { cause: error });
  };
  const done = await migrationsDone(db).catch((error) => Promise.reject(fault(error)));
  await requireInUse(db, done);
  if ((await judgeVersion(db, done)) === 'newer') return;
  const provider = { getMigrations: async () => ({ ...migrationsWith(sealer) }) };
  const { error } = await new Migrator({ db, provider }).migrateToLatest();
  if (error) throw fault(error);
}
