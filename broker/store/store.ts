// The store: transactions that are durable before they are acknowledged. Knows nothing of sessions.

import { type Dialect, Kysely, sql } from 'kysely';
import { Migrator } from 'kysely/migration';
import { CurfewError } from '../../shared/errors.ts';
import { type AuditEvent, auditRow } from '../audit.ts';
import { MIGRATIONS, type Schema } from './schema.ts';

export interface Transaction {
  readonly db: Kysely<Schema>;
  /** Adds a row to the record; it is written with the transaction or not at all, and passed on after the commit. */
  audit(event: AuditEvent): Promise<void>;
}

type Work<T> = (transaction: Transaction) => Promise<T>;

interface Queued {
  /** Runs inside the group's transaction; the returned function settles the caller's promise after the commit. */
  readonly run: (db: Kysely<Schema>) => Promise<() => void>;
  readonly fail: (cause: unknown) => void;
}

/** More in one commit would make the first of them wait for the last. */
const LARGEST_GROUP = 64;

/**
 * Transactions that arrive while another one commits share the next commit (group commit), as its sync to disk is
 * what costs; each keeps its own savepoint, so that one that throws undoes itself alone.
 */
export class Store {
  readonly #db: Kysely<Schema>;
  readonly #onAudit: (event: AuditEvent) => void;
  #queue: Queued[] = [];
  #flushing = false;

  private constructor(db: Kysely<Schema>, onAudit: (event: AuditEvent) => void) {
    this.#db = db;
    this.#onAudit = onAudit;
  }

  /**
   * @param onAudit is told each event of the record after it was committed
   * @throws CurfewError `store` when the database cannot be opened or brought to this version
   */
  static async open(dialect: Dialect, onAudit: (event: AuditEvent) => void): Promise<Store> {
    const db = new Kysely<Schema>({ dialect });
    const { error } = await new Migrator({
      db,
      provider: { getMigrations: async () => ({ ...MIGRATIONS }) },
    }).migrateToLatest();
    if (error) throw new CurfewError('store', 'the store could not be brought to this version', { cause: error });
    return new Store(db, onAudit);
  }

  /**
   * Runs `work` with nothing in between, and resolves once its effects are on disk.
   * What `work` throws undoes all it did and is thrown on; nothing but the store may be awaited in it.
   *
   * @throws CurfewError `store` when the database fails: nothing was acknowledged, nothing may be assumed
   */
  transaction<T>(work: Work<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const run: Queued['run'] = async (db) => {
        const events: AuditEvent[] = [];
        const audit = async (event: AuditEvent) => {
          await db.insertInto('audit').values(auditRow(event)).execute();
          events.push(event);
        };
        await sql`savepoint one`.execute(db);
        try {
          const result = await work({ db, audit });
          await sql`release one`.execute(db);
          return () => {
            for (const event of events) this.#onAudit(event);
            resolve(result);
          };
        } catch (error) {
          await sql`rollback to one`.execute(db);
          await sql`release one`.execute(db);
          return () => reject(asFailure(error));
        }
      };
      this.#queue.push({ run, fail: (cause) => reject(asFailure(cause)) });
      if (!this.#flushing) {
        this.#flushing = true;
        setImmediate(() => void this.#flush());
      }
    });
  }

  /** Whether the database answers and can be written. */
  async healthy(): Promise<boolean> {
    try {
      await this.transaction(async ({ db }) => {
        await sql`pragma user_version = 1`.execute(db);
      });
      return true;
    } catch {
      return false;
    }
  }

  async close(): Promise<void> {
    while (this.#flushing) await new Promise((resolve) => setImmediate(resolve));
    await this.#db.destroy();
  }

  async #flush(): Promise<void> {
    while (this.#queue.length > 0) {
      const group = this.#queue.splice(0, LARGEST_GROUP);
      try {
        const settle = await this.#db.connection().execute((db) => commitGroup(db, group));
        for (const done of settle) done();
      } catch (error) {
        for (const { fail } of group) fail(error);
      }
      // Let requests that arrived during the sync join the next group.
      await new Promise((resolve) => setImmediate(resolve));
    }
    this.#flushing = false;
  }
}

async function commitGroup(db: Kysely<Schema>, group: readonly Queued[]): Promise<(() => void)[]> {
  await sql`begin immediate`.execute(db);
  try {
    const settle: (() => void)[] = [];
    for (const { run } of group) settle.push(await run(db));
    await sql`commit`.execute(db);
    return settle;
  } catch (error) {
    // After some errors (disk full, I/O) SQLite has rolled back by itself.
    await sql`rollback`.execute(db).catch(() => undefined);
    throw error;
  }
}

function asFailure(error: unknown): unknown {
  if (error instanceof CurfewError || error instanceof TypeError) return error;
  return new CurfewError('store', 'the store failed', { cause: error });
}
