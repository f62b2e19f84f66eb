// Sessions that leases are kept of: what each is found by, and how many questions they are.

import {
  type Asked,
  type GatewayTarget,
  type Lease,
  type LeasedLimits,
  MOST_ASKS,
  MOST_TARGETS_IN_ALL,
  type NoLease,
} from '../../shared/gateway_wire.ts';
import type { Seconds } from '../../shared/time.ts';

export interface Entry {
  readonly asked: Asked;
  lease: Lease | NoLease | undefined;
  /** When that was asked for, in milliseconds; answers to what was asked for before `void_since` count for nothing. */
  asked_at: number;
  void_since: number;
  wanted_at: number;
  readonly targets: Map<string, { readonly target: GatewayTarget; limits: LeasedLimits | undefined }>;
  /** The last use here that the broker's facts may not know yet. */
  use: Seconds | undefined;
}

/** What a session is found by here. */
export function keyOf({ sid, secret_uid }: Asked): string {
  return secret_uid === undefined ? `sid ${sid}` : `secret ${secret_uid}`;
}

export function keyOfTarget({ namespace, resource }: GatewayTarget): string {
  return JSON.stringify([namespace, resource]);
}

/** As many as a question may hold, in each. */
export function batches(entries: readonly Entry[]): Entry[][] {
  const all: Entry[][] = [];
  let targets = Number.POSITIVE_INFINITY;
  for (const entry of entries) {
    const last = all.at(-1);
    if (last && last.length < MOST_ASKS && targets + entry.targets.size <= MOST_TARGETS_IN_ALL) {
      last.push(entry);
      targets += entry.targets.size;
    } else {
      all.push([entry]);
      targets = entry.targets.size;
    }
  }
  return all;
}
