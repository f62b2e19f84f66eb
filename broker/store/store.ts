// The store: transactions that are durable before they are acknowledged. Knows nothing of sessions. What is decided in a transaction
// is decided on rows that nobody else changes before it is over.

import type { Kysely, Selectable } from 'kysely';
import type { Seconds } from '../../shared/time.ts';
import type { AuditEvent } from '../audit_log/events.ts';
import type { Standing } from './audit_head.ts';
import type { Change } from './changes.ts';
import type { Feed } from './feed.ts';
import type { StoreHealth } from './health.ts';
import type { Lease } from './lease.ts';
import type { Serving } from './options.ts';
import type { Renewals } from './renewals.ts';
import type { Schema, StoreStateTable } from './tables.ts';
import type { Known } from './witness.ts';

export interface Transaction {
  /** Rows that it selects are held until the transaction is over. */
  readonly db: Kysely<Schema>;
  /** Whether other processes work on the same store: they may know of uses that they have not written yet. */
  readonly shared: boolean;
  /** What there was before this instant is over, for everybody; 0 where that was never said. */
  readonly over_before: Seconds;
  /** Adds a row to the audit log; it is written with the transaction or not at all, and passed on after the commit. */
  audit(event: AuditEvent): Promise<void>;
  /** Tells all replicas with the commit. Its number in the feed is given last, when nothing else is left to do. */
  publish(change: Change): void;
  /**
   * Holds what these names stand for, also where there is no row of it yet: before anything is read that is decided on, and in one call,
   * so that all take them in one order. One writer needs no such locks.
   */
  hold(names: readonly string[]): Promise<void>;
  /** The newest instant of the store is this one from here on, however far ahead another was: an administrator has said so. */
  resetNewest(instant: Seconds): Promise<void>;
  /** Waits for every other transaction, and lets none begin until this one is over. */
  holdAll(): Promise<void>;
}

/** Runs once or, where the database asks for it, again from the beginning: until it is committed, nothing else may change by it. */
export type Work<T> = (transaction: Transaction) => Promise<T>;

export interface Store {
  /** By what it last did. */
  readonly health: Pick<StoreHealth, 'fault' | 'slow' | 'pause_ms'>;
  /** What keeps it from being used, in words, by what is known without looking. */
  readonly fault: string | undefined;
  readonly feed: Feed;
  /** Where it has a way for renewals that is shorter than a transaction. */
  readonly renewals?: Renewals | undefined;
  /** What holds for all of the store, as it is now. @throws CurfewError `store` */
  standing(): Promise<Selectable<StoreStateTable>>;
  /** What a witness is to know of it, as it is now. @throws CurfewError `store` */
  known(): Promise<Known>;
  /** From here on it belongs where it is now: an administrator has said so. @throws CurfewError `store` */
  settle(): Promise<void>;
  /** From here on each commit keeps the newest instant, and sees when all that there was is declared over. */
  serve(serving: Serving, standing: Pick<Standing, 'epoch'>): void;
  /**
   * Reads what was committed, without waiting for any transaction. Decisions that grant something read in a transaction.
   *
   * @throws CurfewError `store` when the database fails
   */
  read<T>(work: (db: Kysely<Schema>) => Promise<T>): Promise<T>;
  /**
   * Runs `work`, and resolves once its effects are on disk. What `work` throws undoes all it did and is thrown on; nothing but the store
   * may be awaited in it.
   *
   * @throws CurfewError `store` when the database fails: nothing was acknowledged, nothing may be assumed
   */
  transaction<T>(work: Work<T>): Promise<T>;
  /**
   * Writes down in the audit log where each of its chains is, in others of them. With one chain there is nothing to write.
   *
   * @throws CurfewError `store` when the database fails
   */
  anchor(at: Seconds): Promise<void>;
  /**
   * From here on nothing is read from it or written: what is in it cannot be relied on. A restart looks again.
   *
   * @param why in words
   */
  distrust(why: string): void;
  /**
   * Takes what one holder does at a time. By the clock of the database, so that replicas agree; in a file of SQLite, which one broker
   * serves, until it is given back or the next broker serves the file.
   *
   * @param seconds after which another may take it, unless it is renewed
   * @returns `undefined` where another holds it @throws CurfewError `store`
   */
  lease(name: string, seconds: number): Promise<Lease | undefined>;
  /** Tries whether it can be written, for `health` to know. Never rejects. */
  probe(): Promise<void>;
  close(): Promise<void>;
}
