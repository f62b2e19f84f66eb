// One thing that was found. Shape only.

import type { FindingName } from './names.ts';

export interface Finding {
  readonly name: FindingName;
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** Such as `user admin`; absent where the file itself is meant. */
  readonly entry?: string | undefined;
  /** What was seen of it. Never a secret, nor a part of one. */
  readonly detail: string;
  /** Whether a machine seems to use it: it is never touched. */
  readonly machine?: boolean;
  /** Where it is of a user: its name, and of which document of the file, from 0. */
  readonly user?: string;
  readonly part?: number;
}

/** What is found in one file, before it is known which file that is. */
export type Found = Omit<Finding, 'file'>;

/** A secret that was seen, to find the same one elsewhere; kept in memory alone. */
export interface Seen {
  readonly secret: string;
  readonly line: number;
  readonly entry: string;
}
