// Sessions that leases are kept of: what each is found by, and how many questions they are.

import {
  type Asked,
  type GatewayTarget,
  LARGEST_REPORT_BYTES,
  type Lease,
  type LeasedLimits,
  MOST_ASKS,
  MOST_TARGETS_IN_ALL,
  type NoLease,
  type NoLimits,
} from '../../shared/gateway_wire.ts';
import type { SessionFacts } from '../../shared/session.ts';
import { between, latest, plus, type Seconds } from '../../shared/time.ts';

export interface Entry {
  readonly asked: Asked;
  lease: Lease | NoLease | undefined;
  /** The last that said who it is: what is found by a Secret is unknown to the broker once that is gone, as with the end of its session. */
  known: Lease | undefined;
  /** When that was asked for, in milliseconds; answers to what was asked for before `void_since` count for nothing. */
  asked_at: number;
  void_since: number;
  wanted_at: number;
  readonly targets: Map<string, { readonly target: GatewayTarget; limits: LeasedLimits | NoLimits | undefined }>;
  /** The last use here that the broker's facts may not know yet. */
  use: Seconds | undefined;
}

/** What a session is found by here. */
export function keyOf({ sid, secret_uid }: Asked): string {
  return secret_uid === undefined ? `sid ${sid}` : `secret ${secret_uid}`;
}

export function keyOfTarget(target: GatewayTarget): string {
  if (target.target !== undefined) return JSON.stringify({ target: target.target, account: target.account });
  return JSON.stringify([target.namespace, target.resource]);
}

/** Of a question, in bytes: uses go with some, and take less than the rest. */
const MOST_BYTES = LARGEST_REPORT_BYTES * 0.75;

/** As many as a question may hold, in each; in their order. */
export function batches(entries: Iterable<Entry>): Entry[][] {
  const all: Entry[][] = [];
  let [targets, bytes] = [0, 0];
  for (const entry of entries) {
    const size = bytesOf(entry);
    const last = all.at(-1);
    const fits = targets + entry.targets.size <= MOST_TARGETS_IN_ALL && bytes + size <= MOST_BYTES;
    if (last && last.length < MOST_ASKS && fits) {
      last.push(entry);
      targets += entry.targets.size;
      bytes += size;
    } else {
      all.push([entry]);
      [targets, bytes] = [entry.targets.size, size];
    }
  }
  return all;
}

/** At least: its names are plain, and members have short ones. */
function bytesOf({ asked, targets }: Entry): number {
  let bytes = keyOf(asked).length + 64;
  for (const key of targets.keys()) bytes += key.length + 32;
  return bytes;
}

/** With a use here that the broker may not have written yet. */
export function factsOf({ use }: Entry, { facts }: Lease): SessionFacts {
  if (use === undefined || use <= facts.last_used) return facts;
  const gap = between(facts.last_used, use);
  const { idle_end } = facts;
  return {
    ...facts,
    last_used: use,
    longest_idle: latest(facts.longest_idle ?? gap, gap),
    // As far beyond the last use as it was, until the broker says otherwise.
    ...(idle_end !== undefined && { idle_end: plus(idle_end, gap) }),
  };
}
