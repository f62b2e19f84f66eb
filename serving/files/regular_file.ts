// Files that a person or another program names: only what is regular and small is read, whenever it is read.

import { constants, type FileHandle, open } from 'node:fs/promises';
import { type Access, accessOf } from './secret_access.ts';

export interface FileText {
  readonly text: string;
  /** Permission bits as of stat(2). */
  readonly mode: number;
  /** Where the mode lets others than the owner in: who they are. */
  readonly access?: Access | undefined;
}

/** @throws Error whose message says why, without the path and without content. */
export type FileReader = (file: string) => Promise<FileText>;

const MIB = 1024 * 1024;
const LARGEST_BYTES = MIB;

/** Reads a regular file of at most 1 MiB (a FIFO would hang us); symbolic links are followed, as Kubernetes mounts Secrets so. */
export const readRegularFile: FileReader = (file) => readAtMost(file, LARGEST_BYTES);

/** The same for files that may be larger. @param most bytes, a whole number of MiB */
export async function readAtMost(file: string, most: number): Promise<FileText> {
  try {
    await using handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
    const stat = await handle.stat();
    if (!stat.isFile()) throw new Error('no regular file');
    if (stat.size > most) throw new Error(`larger than ${most / MIB} MiB`);
    const mode = stat.mode & 0o777;
    const access = (mode & 0o077) === 0 ? undefined : await accessOf(handle.fd, stat);
    return { text: await readUpTo(handle, stat.size, most), mode, access };
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : undefined;
    if (code === undefined) throw error;
    throw new Error(code === 'ENOENT' ? 'no such file' : `cannot be read (${code})`);
  }
}

/** A file may grow meanwhile, or say that it is empty and never end (`/proc`). */
async function readUpTo(handle: FileHandle, size: number, most: number): Promise<string> {
  const chunks: Buffer[] = [];
  for (let length = 0; length <= most; ) {
    const chunk = Buffer.allocUnsafe(Math.max(size - length, 0) + 4_096);
    const { bytesRead } = await handle.read(chunk, 0, chunk.length, null);
    if (bytesRead === 0) return Buffer.concat(chunks).toString('utf8');
    chunks.push(chunk.subarray(0, bytesRead));
    length += bytesRead;
  }
  throw new Error(`larger than ${most / MIB} MiB`);
}

/** Its text, or none where it cannot be read now: whoever needs it says what is missing. */
export async function textOf(file: string): Promise<string> {
  return await readRegularFile(file).then(
    ({ text }) => text,
    () => '',
  );
}
