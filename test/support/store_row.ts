// One row of a broker's store, as it is on disk.

import { openStoreDatabase, type StoreRow } from './store_database.ts';

/** @throws Error when there is no such session */
export function sessionRow(storeFile: string, sid: string): StoreRow {
  using database = openStoreDatabase(storeFile);
  const found = database.prepare('select * from session where sid = ?').get(sid);
  if (!found) throw new Error(`no session ${sid} in the store`);
  return { ...found };
}
