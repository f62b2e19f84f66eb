// Active sessions as lists: counted, and page by page in the order in which they were opened.

import type { Kysely } from 'kysely';
import type { Seconds } from '../../shared/time.ts';
import { countOf } from '../store/sql.ts';
import type { Transaction } from '../store/store.ts';
import type { Schema } from '../store/tables.ts';
import { active, read } from './find.ts';
import type { Session } from './session.ts';

/** How many sessions are active, by the index of those. */
export function countActive(db: Kysely<Schema>): Promise<number> {
  return countOf(db.selectFrom('session').where('ended_at', 'is', null));
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

/** Active sessions in the order in which they were opened, from a place on. */
export function activePage({ db }: Transaction, page: Page): Promise<Session[]> {
  const { of, not_of, except, after, until, most } = page;
  let query = active(db);
  if (of) query = query.where('iss', '=', of.iss).where('sub', '=', of.sub);
  if (not_of) query = query.where((eb) => eb.or([eb('iss', '!=', not_of.iss), eb('sub', '!=', not_of.sub)]));
  if (except !== undefined) query = query.where('sid', '!=', except);
  if (until !== undefined) query = query.where('opened_at', '<=', until);
  if (after) {
    const { opened_at, sid } = after;
    query = query.where((eb) => eb(eb.refTuple('opened_at', 'sid'), '>', eb.tuple(opened_at, sid)));
  }
  return read(query.orderBy('opened_at').orderBy('sid').limit(most));
}
