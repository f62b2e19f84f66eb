// Files as node:fs gives them. Part of the warm path: loads node:fs alone.

import { closeSync, constants, fstatSync, lstatSync, openSync, readSync, type Stats } from 'node:fs';
import { checksum } from './cache/checksum.ts';
import type { Files, Opened, Stat } from './machine.ts';

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
      return { fault: error instanceof Error && 'code' in error ? String(error.code) : 'unknown error' };
    }
    try {
      return readOpen(fd, most);
    } catch (error) {
      return { fault: error instanceof Error && 'code' in error ? String(error.code) : 'unknown error' };
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

function statOf(stats: Stats): Stat {
  const kind = stats.isFile() ? 'file' : stats.isDirectory() ? 'directory' : 'other';
  return { kind, uid: stats.uid, mode: stats.mode & 0o777 };
}
