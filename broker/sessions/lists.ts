// Living sessions as lists: counted, and page by page in the order in which they were opened.

import type { Kysely } from 'kysely';
import type { Seconds } from '../../shared/time.ts';
import type { Transaction } from '../store/store.ts';
import type { Schema, Session } from '../store/tables.ts';

/** How many sessions live, by the index of the living ones. */
export async function countLiving(db: Kysely<Schema>): Promise<number> {
  const { count } = await db
    .selectFrom('session')
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .where('ended_at', 'is', null)
    .executeTakeFirstOrThrow();
  return count;
}

/** Where a page of sessions ends, in the order in which they were opened. */
export type Place = Pick<Session, 'opened_at' | 'sid'>;

type Person = Pick<Session, 'iss' | 'sub'>;

/** Whose sessions are meant: everybody's, unless something is said. */
export interface Whose {
  readonly of?: Person | undefined;
  readonly not_of?: Person | undefined;
  /** Not this one. */
  readonly except?: string | undefined;
}

interface Page extends Whose {
  readonly after?: Place | undefined;
  /** Not those opened later. */
  readonly until?: Seconds | undefined;
  readonly most: number;
}

/** Living sessions in the order in which they were opened, from a place on. */
export function livingPage({ db }: Transaction, page: Page): Promise<Session[]> {
  const { of, not_of, except, after, until, most } = page;
  let living = db.selectFrom('session').selectAll().where('ended_at', 'is', null);
  if (of) living = living.where('iss', '=', of.iss).where('sub', '=', of.sub);
  if (not_of) living = living.where((eb) => eb.or([eb('iss', '!=', not_of.iss), eb('sub', '!=', not_of.sub)]));
  if (except !== undefined) living = living.where('sid', '!=', except);
  if (until !== undefined) living = living.where('opened_at', '<=', until);
  if (after) {
    const { opened_at, sid } = after;
    living = living.where((eb) => eb(eb.refTuple('opened_at', 'sid'), '>', eb.tuple(opened_at, sid)));
  }
  return living.orderBy('opened_at').orderBy('sid').limit(most).execute();
}
