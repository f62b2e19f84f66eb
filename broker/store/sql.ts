// What SQLite and PostgreSQL write differently.

import { type Expression, type Kysely, PostgresAdapter, type RawBuilder, type SelectQueryBuilder, sql } from 'kysely';
import type { Schema } from './tables.ts';

/** The later of two, or the larger. Null where either is. */
export function later<T>(a: Expression<T>, b: Expression<T>): RawBuilder<T> {
  return sql<T>`case when ${a} > ${b} then ${a} when ${a} <= ${b} then ${b} end`;
}

/** The earlier of two, or the smaller. Null where either is. */
export function earlier<T>(a: Expression<T>, b: Expression<T>): RawBuilder<T> {
  return sql<T>`case when ${a} < ${b} then ${a} when ${a} >= ${b} then ${b} end`;
}

/** Those through which a transaction of a database with many writers reads. */
const HOLDING = new WeakSet<object>();

/** From here on, what is selected through it as text is held until the transaction is over. */
export function holdsRows(db: object): void {
  HOLDING.add(db);
}

/** Ends a text that selects rows which are decided on. */
export function rowLock(db: object): RawBuilder<unknown> {
  return HOLDING.has(db) ? sql` for update` : sql``;
}

/** Likewise, and leaves out those that another transaction holds. */
export function skipsHeldRows(db: object): RawBuilder<unknown> {
  return HOLDING.has(db) ? sql`for update skip locked` : sql``;
}

/** Whether a column has one of these values: one text, however many they are. */
export function among<T>(db: Kysely<T>, column: string, values: readonly string[]): RawBuilder<unknown> {
  return db.getExecutor().adapter instanceof PostgresAdapter
    ? sql`${sql.ref(column)} = any(${values})`
    : sql`${sql.ref(column)} in (select value from json_each(${JSON.stringify(values)}))`;
}

/** How many rows a query without a selection finds. */
export async function countOf<T extends keyof Schema>(query: SelectQueryBuilder<Schema, T, object>): Promise<number> {
  const count = sql<number>`count(*)`.as('rows');
  const { rows } = (await query.select(count).executeTakeFirstOrThrow()) as { readonly rows: number };
  return rows;
}

/** A field of an object that a column holds as JSON. */
export function jsonField<T>(db: Kysely<T>, column: string, name: string): RawBuilder<unknown> {
  const json = db.getExecutor().adapter instanceof PostgresAdapter ? sql`${sql.ref(column)}::jsonb` : sql.ref(column);
  return sql`${json} ->> ${sql.lit(name)}`;
}
