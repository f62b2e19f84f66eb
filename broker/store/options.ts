// What a store is opened with, and what a service does with it beyond what commands do.

import type { Seconds, Stopwatch } from '../../shared/time.ts';
import type { Link, Sealer } from '../audit_log/chain.ts';
import type { AuditEntry, RefusalEvent } from '../audit_log/events.ts';
import type { Standing } from './audit_head.ts';

/** The clock, as far as the store keeps the newest instant that it has seen. */
export interface StoreClock {
  observe(newest: Seconds): void;
  /** Nothing while it is not believed. */
  newest(): Seconds | undefined;
}

export interface StoreOptions {
  /** Is told each row of the audit log after it was committed. */
  readonly onAudit: (entry: AuditEntry) => void;
  readonly sealer: Sealer;
  /** Is told when the audit log turns out to have been changed from outside. The chain shows where, for good. */
  readonly onBroken: () => void;
  readonly observer?: StoreObserver | undefined;
  /** The machine's clock, in seconds with their fractions: what the clock of a database is held against. Without it none is. */
  readonly wall?: (() => number) | undefined;
  /** Without it no commit is slow. */
  readonly stopwatch?: Stopwatch | undefined;
  /** What of a refusal is written: nothing where it is only counted, and told later. Else each is written as it comes. */
  readonly damp?: ((event: RefusalEvent) => RefusalEvent | undefined) | undefined;
}

/** Whether the store is still the one that was opened: asked around each commit. */
export interface Guard {
  /** As of the last look. */
  readonly fault: string | undefined;
  /** Before a commit. @throws CurfewError `store` */
  check(): void;
  /** After a commit, before anything of it is acknowledged. @throws CurfewError `store` */
  committed(link: Link): void;
  /** After a group that failed. */
  undone(): void;
}

/** And looked after while a service runs. */
export interface StoreGuard extends Guard {
  /** Now and then. @returns what keeps the store from being used */
  look(): string | undefined;
  close(): void;
}

/** What a service does with a store, beyond what commands do. */
export interface Serving {
  readonly clock: StoreClock;
  readonly guard: Guard;
  /** All that there was has been declared over by a command beside us. Nothing is committed until this has resolved. */
  readonly onEpoch: (standing: Standing) => Promise<void>;
}

/** How a transaction went: `undone` when what ran in it threw, `failed` when the database did. */
export const SETTLED = ['committed', 'undone', 'failed'] as const;
export type Settled = (typeof SETTLED)[number];
export const RENEWAL_WAYS = ['direct', 'transaction'] as const;
export type RenewalWay = (typeof RENEWAL_WAYS)[number];
/** Looks on, for metrics. */
export interface StoreObserver {
  /** Told of a transaction as it is asked for; what it returns, when the transaction is over. */
  asked(): (how: Settled) => void;
  /** How many transactions shared one commit. */
  grouped(size: number): void;
  /** Told of each renewal that tried a way past transactions: whether that was all, or a transaction decides it. */
  renewed(way: RenewalWay): void;
}
