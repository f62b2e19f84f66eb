// Leases: what one holder does at a time. A lease has a number that is raised each time that another takes it, and never comes again; who
// stood still and believes that it is still theirs is found out by that number, in the transaction that would do harm.

import { randomBytes } from 'node:crypto';
import { type Kysely, type RawBuilder, sql } from 'kysely';
import { CurfewError } from '../../shared/errors.ts';
import type { Seconds } from '../../shared/time.ts';
import type { Schema } from './tables.ts';

export interface Lease {
  readonly name: string;
  readonly fence: number;
  /** From now on for as long as it was taken for. @returns false where it is another's, or nobody's @throws CurfewError `store` */
  renew(): Promise<boolean>;
  /** For whoever comes next, at once. @throws CurfewError `store` */
  giveBack(): Promise<void>;
}

/** Seconds that the clock of a database may go back by before a lease is nobody's. */
const CLOCK_BACK = 5;

/** How a database tells until when a lease is held. */
export interface Tenure {
  /** Of whoever asks, and of nobody else. */
  readonly holder: string;
  /** The database's own clock, in whole seconds; none where a lease is held until it is given back. */
  readonly now: RawBuilder<number> | undefined;
}

/** For a store that was opened. */
export function newHolder(): string {
  return randomBytes(16).toString('base64url');
}

/** What it takes of a store. */
interface LeaseStore {
  transaction<T>(work: (transaction: { readonly db: Kysely<Schema> }) => Promise<T>): Promise<T>;
  read<T>(work: (db: Kysely<Schema>) => Promise<T>): Promise<T>;
}

/** @returns `undefined` where another holds it @throws CurfewError `store` */
export async function takeLease(
  store: LeaseStore,
  tenure: Tenure,
  name: string,
  seconds: number,
  taken_over = false,
): Promise<Lease | undefined> {
  const { holder, now } = tenure;
  const until = now ? sql`${now} + ${sql.lit(seconds)}` : sql`null`;
  // Further ahead than it was ever taken for: the clock went back, or another's comes after it.
  const over = now
    ? sql`lease.until <= ${now} or lease.until > ${now} + ${sql.lit(seconds + CLOCK_BACK)}`
    : taken_over
      ? sql`1 = 1`
      : sql`1 = 0`;
  const { rows } = await store.transaction(({ db }) =>
    sql<{ fence: number }>`insert into lease (name, holder, until, fence) values (${name}, ${holder}, ${until}, 1)
      on conflict (name) do update set holder = excluded.holder, until = excluded.until, fence = lease.fence + 1
      where lease.holder is null or ${over} returning fence`.execute(db),
  );
  const fence = rows[0]?.fence;
  if (fence === undefined) return undefined;
  const change = (db: Kysely<Schema>, set: RawBuilder<unknown>) =>
    sql`update lease set ${set} where name = ${name} and holder = ${holder} and fence = ${fence} returning fence`.execute(
      db,
    );
  return {
    name,
    fence,
    async renew() {
      const found = await (now
        ? store.transaction(({ db }) => change(db, sql`until = ${until}`))
        : store.read((db) => selectHeld(db, name, fence)));
      return found.rows.length === 1;
    },
    async giveBack() {
      await store.transaction(({ db }) => change(db, sql`holder = null, until = ${0 as Seconds}`));
    },
  };
}

function selectHeld(db: Kysely<Schema>, name: string, fence: number) {
  return sql`select fence from lease where name = ${name} and fence = ${fence} and holder is not null`.execute(db);
}

/**
 * First in a transaction that would do harm if two did it: nobody else takes the lease until it is over.
 *
 * @throws CurfewError `busy` where another has it
 */
export async function requireLease(
  { db }: { readonly db: Kysely<Schema> },
  { name, fence }: Pick<Lease, 'name' | 'fence'>,
): Promise<void> {
  const held = db.selectFrom('lease').select('fence').where('name', '=', name).where('fence', '=', fence);
  if (await held.where('holder', 'is not', null).executeTakeFirst()) return;
  throw new CurfewError('busy', `another replica has taken over (${name})`, { retry_after: 1 });
}
