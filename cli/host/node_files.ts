// Files as node:fs gives them. Part of the warm path: loads node:fs alone.

import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  type Stats,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { checksum } from '../warm/checksum.ts';
import type { Caller, Files, Opened, Stat } from '../warm/machine.ts';
import type { Note } from '../warm/repeated.ts';
import { codeOf } from './error_code.ts';

const O_NOFOLLOW = constants.O_NOFOLLOW ?? 0;
const O_NONBLOCK = constants.O_NONBLOCK ?? 0;

export const nodeFiles: Files = {
  checksum,
  lstat(path) {
    const stats = lstatSync(path, { throwIfNoEntry: false });
    return stats && statOf(stats);
  },
  read(path, most, follow) {
    let fd: number;
    try {
      fd = openSync(path, constants.O_RDONLY | O_NONBLOCK | (follow ? 0 : O_NOFOLLOW));
    } catch (error) {
      return { fault: codeOf(error) };
    }
    try {
      return readOpen(fd, most);
    } catch (error) {
      return { fault: codeOf(error) };
    } finally {
      closeSync(fd);
    }
  },
};

function readOpen(fd: number, most: number): Opened {
  const stats = fstatSync(fd);
  const stat = statOf(stats);
  if (stat.kind !== 'file' || stats.size > most) return { stat };
  const bytes = Buffer.alloc(stats.size);
  let length = 0;
  while (length < bytes.length) {
    const read = readSync(fd, bytes, length, bytes.length - length, null);
    if (read === 0) break;
    length += read;
  }
  return { stat, content: bytes.toString('utf8', 0, length) };
}

/** All of it or an error: a pipe may take less than it is given, or be full for a moment. */
export function writeAll(fd: number, text: string): void {
  let rest = Buffer.from(text);
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(fd, rest));
    } catch (error) {
      if (codeOf(error) !== 'EAGAIN') throw error;
    }
  }
}

/**
 * Replaces a file as a whole. Unlike `writeWhole` of files.ts it waits for no disk and never fails: without it something is said
 * once more than needed.
 */
export function writeNote({ file, content }: Note): void {
  const temporary = `${file}.${process.pid}.tmp`;
  try {
    const fd = openSync(temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | O_NOFOLLOW, 0o600);
    try {
      writeSync(fd, content);
      renameSync(temporary, file);
    } catch {
      unlinkSync(temporary);
    } finally {
      closeSync(fd);
    }
  } catch {
    // Not ours to write, or full.
  }
}

/**
 * @param parent process id
 * @param at milliseconds since 1970
 * @returns `undefined` where it is not seen from here, or reads our stderr itself
 */
export function callerOf(parent: number, at: number): Caller | undefined {
  return parent > 0 && sharesStderr(parent) ? { process: `${parent} ${startOf(parent)}`, at } : undefined;
}

/** Where it cannot be known, a terminal is nobody's to pass on. */
function sharesStderr(parent: number): boolean {
  try {
    const ours = fstatSync(2);
    const theirs = stderrOf(parent);
    return theirs ? theirs.dev === ours.dev && theirs.ino === ours.ino : ours.isCharacterDevice();
  } catch {
    return false;
  }
}

function stderrOf(pid: number): Stats | undefined {
  try {
    return statSync(`/proc/${pid}/fd/2`);
  } catch {
    return undefined;
  }
}

/** As /proc says it: its 22nd field, counted behind the name, which may be anything. */
function startOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  } catch {
    return '';
  }
}

function statOf(stats: Stats): Stat {
  const kind = stats.isFile() ? 'file' : stats.isDirectory() ? 'directory' : 'other';
  return { kind, uid: stats.uid, mode: stats.mode & 0o777 };
}
