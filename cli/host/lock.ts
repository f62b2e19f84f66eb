// One process at a time for one thing: a lock that the kernel frees with its holder, however that ended.

import type { DatabaseSync } from 'node:sqlite';
import { setTimeout as pause } from 'node:timers/promises';
import { CurfewError } from '../../shared/errors.ts';
import type { OwnFiles } from '../warm/machine.ts';
import { fileName } from '../warm/paths.ts';
import { makePrivateDirectory } from './files.ts';
import { cacheDirectoryOf, configDirectoryOf, type Host } from './host.ts';

/** Time between two looks. */
const FIRST_LOOK_MS = 20;
const LAST_LOOK_MS = 100;
/** After this long a person is told why nothing happens. */
const SAY_AFTER_MS = 1_000;

export interface Wait {
  /** How long to wait for the holder. */
  readonly longest_ms: number;
  /** What to tell a person who waits. */
  readonly say: string;
  /** What the failure says when the wait was in vain. */
  readonly busy: string;
}

/**
 * Runs `work` while no other process holds the lock of this name.
 *
 * @param work is told whether it had to wait: then the world may have changed
 * @param result what the holder's work may bring, looked for while waiting: many that wait need not take turns
 * @throws CurfewError `busy` when the holder took longer than `wait.longest_ms`
 */
export async function withLock<T>(
  host: OwnFiles & Pick<Host, 'say'>,
  name: readonly string[],
  wait: Wait,
  work: (waited: boolean) => Promise<T>,
  result: () => T | undefined = () => undefined,
): Promise<T> {
  const directory = lockDirectory(host);
  if (directory === undefined) return await work(false);
  const database = await open(`${directory}/${fileName('lock', ...name)}`);
  if (!database) return await work(false);
  try {
    let waited = false;
    for (let spent = 0, look = FIRST_LOOK_MS; !take(database); look = Math.min(look * 1.5, LAST_LOOK_MS)) {
      if (spent >= wait.longest_ms) throw new CurfewError('busy', wait.busy);
      if (spent < SAY_AFTER_MS && spent + look >= SAY_AFTER_MS) host.say(wait.say);
      waited = true;
      await pause(look);
      spent += look;
      const found = result();
      if (found !== undefined) return found;
    }
    return await work(waited);
  } finally {
    // Closing rolls back: the lock is free. Nothing is ever written into the file.
    database.close();
  }
}

/** A file system that knows no locks must keep nobody from working: then each process is on its own. */
async function open(file: string): Promise<DatabaseSync | undefined> {
  const { DatabaseSync } = await import('node:sqlite');
  try {
    return new DatabaseSync(file, { timeout: 0 });
  } catch {
    return undefined;
  }
}

function take(database: DatabaseSync): boolean {
  try {
    database.exec('BEGIN EXCLUSIVE');
    return true;
  } catch (error) {
    return !(error instanceof Error && 'errcode' in error && (Number(error.errcode) & 0xff) === SQLITE_BUSY);
  }
}

const SQLITE_BUSY = 5;

/** The cache directory, or where that must not be used the one for settings. Without either there is no lock. */
function lockDirectory(host: OwnFiles): string | undefined {
  const candidates = [cacheDirectoryOf(host), `${configDirectoryOf(host)}/locks`];
  return candidates.find((path) => makePrivateDirectory(path, host) === undefined);
}
