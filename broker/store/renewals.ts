// The way of a renewal past transactions, in a database that has one.

import type { MintEvent } from '../audit_log/events.ts';
import type { SessionTable } from './tables.ts';

/** What a renewal writes: all of it, or nothing. */
export interface RenewalCommit<T> {
  /** Is used up. */
  readonly proof: { readonly minute: number; readonly hash: Uint8Array };
  readonly change: Readonly<
    Pick<SessionTable, 'last_used' | 'longest_idle' | 'gaps' | 'token_exp' | 'end_at_most' | 'over_at'>
  >;
  /** The signing key that is to be one of this issuer's. */
  readonly kid: string;
  readonly event: MintEvent;
  /** For the caller, once that is on disk. */
  readonly result: T;
}

export interface Renewals {
  /**
   * Reads a session as it was committed, lets `decide` say what is to be written, and writes that in one call, which holds only where the
   * row is the very one that was read, the proof was never used, the key is not revoked, and the audit log is where it was.
   *
   * @param columns of the session's row that are read
   * @param decide nothing, where that takes a transaction
   * @returns its result; `undefined` where nothing was written
   * @throws CurfewError `store`: what became of it may not be known, and nothing was acknowledged
   */
  attempt<Row extends object, T>(
    columns: readonly string[],
    handle_hash: Uint8Array,
    decide: (row: Row) => RenewalCommit<T> | undefined,
  ): Promise<T | undefined>;
}
