// A lock between processes that the kernel frees when its holder dies, however it dies: an exclusive SQLite
// transaction, which is a POSIX lock on a file that nobody ever deletes.
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';

const RETRY_MS = 250;
const SQLITE_BUSY = 5;

/**
 * Runs `work` while no other process does so with the same `file`.
 *
 * @param file path of the lock; its folder must exist
 * @param onWait called once if another holds the lock, before waiting for it without limit
 */
export async function withLock<T>(file: string, onWait: () => void, work: () => Promise<T>): Promise<T> {
  const database = new DatabaseSync(file);
  try {
    if (!tryBegin(database)) {
      onWait();
      do await sleep(RETRY_MS);
      while (!tryBegin(database));
    }
    return await work();
  } finally {
    database.close();
  }
}

function tryBegin(database: DatabaseSync): boolean {
  try {
    database.exec('BEGIN EXCLUSIVE');
    return true;
  } catch (error) {
    if (error instanceof Error && 'errcode' in error && error.errcode === SQLITE_BUSY) return false;
    throw error;
  }
}
