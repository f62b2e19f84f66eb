// A renewal without a transaction of its own, where the database has a way for it: read, decide, and one call that writes all of it or,
// where anything that was read has changed since, nothing.

import type { RenewalCommit } from '../store/renewals.ts';
import type { Store } from '../store/store.ts';
import { hashOfHandle } from './find.ts';
import { COLUMNS, type Row, type Session, sessionOf } from './session.ts';

/**
 * @param decide on the session that the handle names, as it was committed; nothing where that takes a transaction
 * @returns `undefined` where nothing was written: then a transaction decides again
 * @throws CurfewError `store`: what became of it may not be known, and nothing was acknowledged
 */
export async function renewDirectly<T>(
  { renewals }: Pick<Store, 'renewals'>,
  handle: string,
  decide: (session: Session) => RenewalCommit<T> | undefined,
): Promise<T | undefined> {
  return renewals?.attempt<Row, T>(COLUMNS, hashOfHandle(handle), (row) => decide(sessionOf(row)));
}
