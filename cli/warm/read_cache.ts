// Reads the token cache, and trusts nothing it finds there: what is not plainly ours is a miss with a reason.
// Part of the warm path: loads nothing.

import { type Entry, entryName, isWhole, type Key, LARGEST_BYTES, parseEntry } from './entry.ts';
import type { Reader } from './machine.ts';

/** `entry` is absent on a miss; `fault` says why when something is there that must not be used. */
export interface Read {
  readonly entry?: Entry | undefined;
  readonly fault?: string | undefined;
}

export function readEntry(reader: Reader, directory: string, key: Key): Read {
  const fault = faultOfDirectory(reader, directory);
  if (fault !== undefined) return fault === 'absent' ? {} : { fault: `${directory} ${fault}` };
  const file = `${directory}/${entryName(key)}`;
  const text = readOurs(reader, file);
  if (text === undefined) return {};
  if (text.fault !== undefined) return { fault: `${file} ${text.fault}` };
  const entry = parseEntry(text.content, key);
  if (typeof entry === 'string') return { fault: `${file} is ${entry}` };
  // Also of a version that wrote no sum: what may be anything is not served until it is over.
  return isWhole(text.content, reader.files.checksum) ? { entry } : { fault: `${file} is damaged` };
}

/** Why a directory must not be used: `absent`, or words that follow its name. */
export function faultOfDirectory({ files, uid }: Reader, directory: string): string | undefined {
  const stat = files.lstat(directory);
  if (!stat) return 'absent';
  if (stat.kind !== 'directory') return 'is not a directory';
  if (uid === undefined) return undefined;
  if (stat.uid !== uid) return 'belongs to another user';
  return (stat.mode & 0o077) === 0 ? undefined : 'is open to others: its mode must be 0700';
}

type Text =
  | { readonly content: string; readonly fault?: undefined }
  | { readonly content?: undefined; readonly fault: string };

/** A small regular file of ours that nobody else can touch. Never follows a symlink, never waits at a FIFO. */
export function readOurs({ files, uid }: Reader, file: string): Text | undefined {
  const opened = files.read(file, LARGEST_BYTES, false);
  if (opened.fault !== undefined) {
    if (opened.fault === 'ENOENT') return undefined;
    return { fault: opened.fault === 'ELOOP' ? 'is a symbolic link' : `cannot be read (${opened.fault})` };
  }
  const { stat, content } = opened;
  if (stat.kind !== 'file') return { fault: 'is not a regular file' };
  if (uid !== undefined && stat.uid !== uid) return { fault: 'belongs to another user' };
  if (uid !== undefined && (stat.mode & 0o077) !== 0) return { fault: 'is open to others: its mode must be 0600' };
  return content === undefined ? { fault: 'is too large' } : { content };
}
