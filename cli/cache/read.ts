// Reads the token cache, and trusts nothing it finds there: what is not plainly ours is a miss with a reason.
// Part of the warm path: loads node:fs alone.

import { closeSync, constants, fstatSync, lstatSync, openSync, readSync } from 'node:fs';
import type { UserId } from '../paths.ts';
import { type Entry, entryName, type Key, LARGEST, parseEntry } from './entry.ts';

/** `entry` is absent on a miss; `fault` says why when something is there that must not be used. */
export interface Read {
  readonly entry?: Entry | undefined;
  readonly fault?: string | undefined;
}

const O_NOFOLLOW = constants.O_NOFOLLOW ?? 0;
const O_NONBLOCK = constants.O_NONBLOCK ?? 0;

export function readEntry(directory: string, key: Key, uid: UserId): Read {
  const fault = faultOfDirectory(directory, uid);
  if (fault !== undefined) return fault === 'absent' ? {} : { fault: `${directory} ${fault}` };
  const file = `${directory}/${entryName(key)}`;
  const text = readOurs(file, uid);
  if (text === undefined) return {};
  if (text.fault !== undefined) return { fault: `${file} ${text.fault}` };
  const entry = parseEntry(text.content, key);
  return typeof entry === 'string' ? { fault: `${file} is ${entry}` } : { entry };
}

/** Why a directory must not be used: `absent`, or words that follow its name. */
export function faultOfDirectory(directory: string, uid: UserId): string | undefined {
  const stat = lstatSync(directory, { throwIfNoEntry: false });
  if (!stat) return 'absent';
  if (!stat.isDirectory()) return 'is not a directory';
  if (uid === undefined) return undefined;
  if (stat.uid !== uid) return 'belongs to another user';
  return (stat.mode & 0o077) === 0 ? undefined : 'is open to others: its mode must be 0700';
}

type Text =
  | { readonly content: string; readonly fault?: undefined }
  | { readonly content?: undefined; readonly fault: string };

/** A small regular file of ours that nobody else can touch. Never follows a symlink, never waits at a FIFO. */
export function readOurs(file: string, uid: UserId): Text | undefined {
  let fd: number;
  try {
    fd = openSync(file, constants.O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'ENOENT') return undefined;
    return { fault: code === 'ELOOP' ? 'is a symbolic link' : `cannot be opened (${String(code)})` };
  }
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile()) return { fault: 'is not a regular file' };
    if (uid !== undefined && stat.uid !== uid) return { fault: 'belongs to another user' };
    if (uid !== undefined && (stat.mode & 0o077) !== 0) return { fault: 'is open to others: its mode must be 0600' };
    if (stat.size > LARGEST) return { fault: 'is too large' };
    const bytes = Buffer.alloc(stat.size);
    let length = 0;
    while (length < bytes.length) {
      const read = readSync(fd, bytes, length, bytes.length - length, null);
      if (read === 0) break;
      length += read;
    }
    return { content: bytes.toString('utf8', 0, length) };
  } catch {
    return { fault: 'cannot be read' };
  } finally {
    closeSync(fd);
  }
}
