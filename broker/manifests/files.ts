// The files that are read: those that were named, and what in folders looks like a manifest or a configuration. Links are followed, each
// folder once.

import { readdir, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { readAtMost } from '../../serving/files/regular_file.ts';
import { CurfewError } from '../../shared/errors.ts';

export interface SourceText {
  /** As it was named, or below that; `stdin`. */
  readonly file: string;
  readonly text: string;
}

export interface NotRead {
  readonly file: string;
  readonly fault: string;
}

export interface Input {
  /** Standard input, whole; asked for once. */
  readonly stdin: () => AsyncIterable<Uint8Array>;
}

const MIB = 1024 * 1024;
const LARGEST_MIB = 64;
const NAMES = /\.(?:ya?ml|json|conf|cfg|toml|nft)$/i;
/** Folders of other programs, which hold no manifests of anybody. */
const PASSED_OVER = new Set(['node_modules', '.git', '.hg', '.svn', '.terraform']);
const MOST_FILES = 100_000;

/**
 * In the order of their names, whatever order they were named in.
 *
 * @param paths files, folders, and `-` for standard input
 * @throws CurfewError `configuration` where what was named is not there
 */
export async function* readFiles(paths: readonly string[], { stdin }: Input): AsyncGenerator<SourceText | NotRead> {
  const files = new Set<string>();
  const folders = new Set<string>();
  for (const path of paths) if (path !== '-') await collect(path, files, folders);
  for (const file of [...files].toSorted()) yield await readOne(file);
  if (paths.includes('-')) yield await readInput(stdin());
}

async function collect(path: string, files: Set<string>, folders: Set<string>): Promise<void> {
  const there = await stat(path).catch((error: NodeJS.ErrnoException) => {
    const why = error.code === 'ENOENT' ? 'is not there' : `cannot be read (${error.code})`;
    throw new CurfewError('configuration', `${path} ${why}`, { hint: 'name another file or folder' });
  });
  if (there.isDirectory()) await walk(path, files, folders);
  else files.add(path);
}

async function walk(folder: string, files: Set<string>, folders: Set<string>): Promise<void> {
  const real = await realpath(folder);
  if (folders.has(real)) return;
  folders.add(real);
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => undefined);
  // It is said as a file that cannot be read.
  if (entries === undefined) return void files.add(folder);
  for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = join(folder, entry.name);
    // A link that leads nowhere, or round in a circle, is said as a file that cannot be read.
    const what = entry.isSymbolicLink() ? await stat(path).catch(() => undefined) : entry;
    if (what?.isDirectory()) {
      if (!PASSED_OVER.has(entry.name)) await walk(path, files, folders);
    } else if (NAMES.test(entry.name)) files.add(path);
    if (files.size > MOST_FILES)
      throw new CurfewError('usage', `more than ${MOST_FILES} files`, { hint: 'name fewer folders' });
  }
}

async function readOne(file: string): Promise<SourceText | NotRead> {
  try {
    return checked(file, (await readAtMost(file, LARGEST_MIB * MIB)).text);
  } catch (error) {
    return { file, fault: error instanceof Error ? error.message : 'cannot be read' };
  }
}

async function readInput(stream: AsyncIterable<Uint8Array>): Promise<SourceText | NotRead> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of stream) {
    length += chunk.length;
    if (length > LARGEST_MIB * MIB) return { file: 'stdin', fault: `larger than ${LARGEST_MIB} MiB` };
    chunks.push(chunk);
  }
  return checked('stdin', Buffer.concat(chunks).toString('utf8'));
}

/** No text of YAML, and no configuration, has a NUL: a program, an archive, or UTF-16. */
function checked(file: string, text: string): SourceText | NotRead {
  return text.slice(0, 8192).includes('\0') ? { file, fault: 'binary, or not UTF-8' } : { file, text };
}
