// Small private files that others read at any moment: written beside, synced, renamed; directories made for us alone.

import {
  closeSync,
  constants,
  fchmodSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import type { Reader } from '../warm/machine.ts';
import { faultOfDirectory } from '../warm/read_cache.ts';
import { codeOf } from './error_code.ts';
import type { Host } from './host.ts';
import { isRootUnseen } from './place.ts';

/** A temporary file this old was left by a process that was killed, in milliseconds. */
const LEFT_OVER_MS = 60_000;

/** Makes the directory with mode 0700 when it is absent. @returns why it must not be written to, as words after its name */
export function makePrivateDirectory(directory: string, host: Reader): string | undefined {
  const strange = strangerAbove(directory, host);
  if (strange !== undefined) return strange;
  try {
    mkdirSync(dirname(directory), { recursive: true, mode: 0o700 });
    mkdirSync(directory, { mode: 0o700 });
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') return `cannot be made (${codeOf(error)})`;
  }
  return faultOfDirectory(host, directory);
}

/** Nothing is made in another person's folder: it would not be theirs. */
function strangerAbove(directory: string, { uid }: Pick<Host, 'uid'>): string | undefined {
  if (uid === undefined) return undefined;
  for (let path = directory; ; path = dirname(path)) {
    try {
      const owner = statSync(path, { throwIfNoEntry: false })?.uid;
      if (owner !== undefined)
        return owner === uid || owner === 0 || isRootUnseen(owner)
          ? undefined
          : `belongs to another user (uid ${owner})`;
    } catch {
      return undefined;
    }
    if (path === dirname(path)) return undefined;
  }
}

/**
 * Replaces a file as a whole: whoever reads it sees the old content or the new, also after kill -9.
 *
 * @param mode of the new file
 * @throws the system's error; nothing of the temporary file is left then
 */
export function writeWhole(file: string, content: string | Uint8Array, host: Pick<Host, 'random'>, mode = 0o600): void {
  const temporary = writeBeside(file, content, host, mode);
  try {
    renameSync(temporary, file);
  } catch (error) {
    removeFile(temporary);
    throw error;
  }
}

/** Makes a temporary file beside another. @returns its name @throws the system's error; nothing is left then */
export function writeBeside(
  file: string,
  content: string | Uint8Array,
  host: Pick<Host, 'random'>,
  mode = 0o600,
): string {
  const temporary = `${file}.${host.random(6).toString('hex')}.tmp`;
  try {
    writeNew(temporary, content, mode);
    return temporary;
  } catch (error) {
    removeFile(temporary);
    throw error;
  }
}

/** Makes a file that was not there, and syncs it. */
function writeNew(file: string, content: string | Uint8Array, mode: number): void {
  const fd = openSync(file, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, mode);
  try {
    // Whatever the umask takes away.
    fchmodSync(fd, mode);
    const bytes = typeof content === 'string' ? Buffer.from(content) : content;
    for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Makes an empty file. @returns whether it was made by this call, and by no other process */
export function makeFile(file: string): boolean {
  try {
    closeSync(openSync(file, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600));
    return true;
  } catch {
    return false;
  }
}

/** Whether the file is gone now. */
export function removeFile(file: string): boolean {
  try {
    unlinkSync(file);
    return true;
  } catch (error) {
    return codeOf(error) === 'ENOENT';
  }
}

/** With all that is in it. Whether it is gone now. */
export function removeFolder(folder: string): boolean {
  try {
    rmSync(folder, { recursive: true, force: true });
    return true;
  } catch {
    return false;
  }
}

/** Removes what killed processes left of `writeWhole`. */
export function sweep(directory: string, host: Pick<Host, 'now'>): void {
  for (const name of readdirSync(directory)) {
    if (!name.endsWith('.tmp')) continue;
    const stat = lstatSync(`${directory}/${name}`, { throwIfNoEntry: false });
    if (stat && stat.mtimeMs < host.now() * 1000 - LEFT_OVER_MS) removeFile(`${directory}/${name}`);
  }
}
