// What is looked up when the metrics are read.

import type { Seconds } from '../../shared/time.ts';
import type { ClockFault } from '../clock/clock.ts';
import type { Config } from '../config/settings.ts';
import type { FailureKind } from '../net/fetch_json.ts';

export interface Facts {
  readonly now: Seconds;
  readonly config: Config;
  /** Absent when the store did not say. */
  readonly living?: number | undefined;
  /** By cluster; absent likewise. */
  readonly secrets_overdue?: ReadonlyMap<string, number> | undefined;
  /** Open ones by target; absent likewise. */
  readonly connections?: ReadonlyMap<string, number> | undefined;
  /** Still to be removed, by target; absent likewise. */
  readonly roles_overdue?: ReadonlyMap<string, number> | undefined;
  readonly signing_since: Seconds;
  readonly clock_fault: ClockFault | undefined;
  /** Seconds that the broker's clock is ahead of the database's. */
  readonly clock_ahead: number;
  readonly store_fault: string | undefined;
  /** Seconds since the feed was read to its end, and how many changes of it have not taken effect. */
  readonly feed: { readonly age: number; readonly behind: number };
  /** Whether this replica does what one does at a time. */
  readonly turn: boolean;
  /** Whether it has the configuration that all replicas are to have. */
  readonly in_step: boolean;
  readonly identity_provider_failures: Readonly<Record<FailureKind, number>>;
}
