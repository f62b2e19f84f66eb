// One row of a broker's store, as it stands on disk.

import { DatabaseSync } from 'node:sqlite';

/** @throws Error when there is no such session */
export function sessionRow(storeFile: string, sid: string): Readonly<Record<string, unknown>> {
  const database = new DatabaseSync(storeFile, { readOnly: true });
  try {
    const found = database.prepare('select * from session where sid = ?').get(sid);
    if (!found) throw new Error(`no session ${sid} in the store`);
    return { ...found };
  } finally {
    database.close();
  }
}
