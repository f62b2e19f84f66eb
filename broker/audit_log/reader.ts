// The audit log as others than the broker read it, whatever database it is in. Reading changes nothing.

import type { Seconds } from '../../shared/time.ts';
import type { AuditRow, SealedHead } from './verify.ts';

/** A row of a chain, by its numbers. */
export interface Place {
  readonly lane: number;
  readonly seq: number;
}

/** Where the database fails these throw what it says; what they throw because of a row that nobody wrote so is no CurfewError. */
export interface AuditReader {
  /** What is read, for messages. */
  readonly name: string;
  /** Whether there may be several chains. Else there is one, of number 0, and nothing says so. */
  readonly several: boolean;
  /** Of the chains that have rows, a sealed head, or both; in order. */
  lanes(): Promise<readonly number[]>;
  /** All rows after a place, in the order of `seq`, as of when each is read. @param since only those of events from this instant on */
  rowsAfter(place: Place, since?: Seconds): AsyncIterable<AuditRow>;
  /** The newest rows of a chain, in order. */
  newestRows(lane: number, count: number): AsyncIterable<AuditRow>;
  /** All that `story` reads is as of one moment: what the broker writes meanwhile does not count. */
  moment<T>(story: (moment: Moment) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

export interface Moment {
  lanes(): Promise<readonly number[]>;
  sealedHead(lane: number): Promise<SealedHead | undefined>;
  /** Each that there is, also those that could not have been written, in the order of `seq`. */
  rows(lane: number): AsyncIterable<AuditRow>;
  /** The hash of each of these; nothing where there is no such row. */
  hashesAt(places: readonly Place[]): Promise<readonly (string | undefined)[]>;
}
