// Events of the store itself: its keys, where it is, and the chains of its audit log.

import type { Seconds } from '../../shared/time.ts';
import type { Common } from './common.ts';

/** The store is copied to another database by `store copy`: recorded in the one as it begins, and in the other when that is the one in use. */
export interface StoreCopyEvent extends Common {
  readonly event: 'store_copy';
  readonly step: 'begun' | 'done';
  /** Who ran it: their name at the operating system. */
  readonly by: string;
  readonly from: string;
  readonly to: string;
  /** How many rows were copied. */
  readonly rows?: number | undefined;
}

/** Where a chain of the audit log was: its newest row. */
export type NamedHead = readonly [lane: number, seq: number, hash: string];

/** A connection began to write a chain of the audit log, where there are several: its first row there. */
export interface LaneOpenedEvent extends Common {
  readonly event: 'lane_opened';
  /** Of all others, as of then. */
  readonly heads: readonly NamedHead[];
}

/** Where chains of the audit log are, written down in one of them: none of those can be taken back alone. */
export interface AnchorEvent extends Common {
  readonly event: 'anchor';
  /** Of those that have moved since the anchor before. */
  readonly heads: readonly NamedHead[];
}

/** Signing keys were made, retired after their last token, revoked, or sealed by another encryption key; or were printed for a host. */
export interface KeysEvent extends Common {
  readonly event: 'keys';
  /** Absent for those of tokens. */
  readonly of?: 'ssh-ca' | undefined;
  readonly change: 'added' | 'retired' | 'revoked' | 'sealed' | 'printed';
  readonly kids: readonly string[];
  /** For whose host they were printed. */
  readonly target?: string | undefined;
  /** Of one that was added: when it begins to sign. */
  readonly sign_from?: Seconds | undefined;
  /** Who ran a command for it: their name at the operating system. Absent where it was due. */
  readonly by?: string | undefined;
  /** What they gave as their reason. */
  readonly note?: string | undefined;
}
