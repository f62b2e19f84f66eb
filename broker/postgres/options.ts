// What a store in PostgreSQL is opened with.

import type { Known } from '../store/witness.ts';
import type { TablesOptions } from './migrate.ts';

export interface PostgresOptions extends TablesOptions {
  /** How many connections at once. */
  readonly connections: number;
  /** Whether a database without this version's tables gets them, unless it says no; then it is refused. */
  readonly make?: boolean | undefined;
  /** What a witness knows of it. */
  readonly known?: readonly Known[] | undefined;
  /** For the command by which an administrator says that it may be used as it is. */
  readonly unchecked?: boolean | undefined;
}
