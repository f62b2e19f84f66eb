// One row of a broker's store, as it is on disk.

import { isPostgres, openStoreDatabase, type StoreRow } from './store_database.ts';

/** The newest instant that the store has committed at. */
export function newestOf(storeFile: string): number {
  using database = openStoreDatabase(storeFile);
  const text = isPostgres(storeFile)
    ? 'select greatest(newest, (select max(newest) from audit_lane)) as newest from store_state'
    : 'select newest from store_state';
  return Number(database.prepare(text).get()?.newest ?? 0);
}

/** @throws Error when there is no such session */
export function sessionRow(storeFile: string, sid: string): StoreRow {
  using database = openStoreDatabase(storeFile);
  const found = database.prepare('select * from session where sid = ?').get(sid);
  if (!found) throw new Error(`no session ${sid} in the store`);
  return { ...found };
}
