// A folder for one call: what a program needs as a file, and nobody else reads. It goes with the call.

import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { CurfewError } from '../../shared/errors.ts';
import { codeOf } from '../host/error_code.ts';
import { makePrivateDirectory, removeFolder } from '../host/files.ts';
import { cacheDirectoryOf, type Host } from '../host/host.ts';
import type { OwnFiles } from '../warm/machine.ts';

export interface PrivateFolder extends Disposable {
  readonly path: string;
  /** Makes a file of mode 0600. @returns its path */
  readonly write: (name: string, content: string) => string;
}

/** In the cache, of mode 0700; where that cannot be used, beneath the system's folder for temporary files. @throws CurfewError `configuration` */
export function makePrivateFolder(host: OwnFiles & Pick<Host, 'say'>): PrivateFolder {
  const cache = cacheDirectoryOf(host);
  const within = makePrivateDirectory(cache, host) === undefined ? cache : tmpdir();
  sweepConnect(within);
  // By whose process it is seen whether anybody uses it still.
  const folder = make(`${within}/connect-${process.pid}-`);
  return {
    path: folder,
    write(name, content) {
      const file = `${folder}/${name}`;
      writeFileSync(file, content, { mode: 0o600, flag: 'wx' });
      return file;
    },
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** Of calls that were killed. */
function sweepConnect(within: string): void {
  for (const name of readdirSync(within)) {
    const [, pid] = /^connect-(\d+)-/.exec(name) ?? [];
    if (pid !== undefined && !isAlive(Number(pid))) removeFolder(`${within}/${name}`);
  }
}

/** Also where it is another's: then it is not ours to take away. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) !== 'ESRCH';
  }
}

function make(start: string): string {
  try {
    return mkdtempSync(start);
  } catch (cause) {
    throw new CurfewError('configuration', `no folder can be made at ${start}* (${codeOf(cause)})`, { cause });
  }
}
