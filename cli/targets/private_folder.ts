// A folder for one call: what a program needs as a file, and nobody else reads. It goes with the call.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { CurfewError } from '../../shared/errors.ts';
import { codeOf } from '../host/error_code.ts';
import { makePrivateDirectory } from '../host/files.ts';
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
  const folder = make(`${within}/connect-`);
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

function make(start: string): string {
  try {
    return mkdtempSync(start);
  } catch (cause) {
    throw new CurfewError('configuration', `no folder can be made at ${start}* (${codeOf(cause)})`, { cause });
  }
}
