// PostgreSQL's programs for tests: those of the machine, or Debian's package taken apart into the cache. Nothing is installed, and no
// server of the machine is started or used.

import { execFileSync } from 'node:child_process';
import { existsSync, globSync, readdirSync } from 'node:fs';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { cacheFolder } from '../../scripts/cache_folder.ts';
import { withLock } from '../../scripts/lock.ts';
import { run } from '../../scripts/run.ts';
import { fetchLater, isLater } from './postgres_later.ts';

export interface Programs {
  /** Their folder. */
  readonly bin: string;
  /** Where their libraries are, beside those of the machine. */
  readonly libraries: readonly string[];
}

/** `initdb`, `postgres` and what else a server needs. */
export interface PostgresPrograms extends Programs {
  /** The folder with all of it, where it was fetched into the cache. */
  readonly root?: string;
  /** `psql` and others that talk to a server. */
  readonly clients: Programs;
}

/** The oldest that the broker supports. */
const OLDEST = 15;
type Log = (line: string) => void;
const toStderr: Log = (line) => void process.stderr.write(`test: ${line}\n`);

/** @throws Error that says what is missing */
export async function ensurePostgres(log: Log = toStderr): Promise<PostgresPrograms> {
  const major = process.env.CURFEW_TEST_POSTGRES ?? '';
  const bin = installed();
  const ofDebian: Programs & { root?: string } = bin === undefined ? await unpacked(log) : { bin, libraries: [] };
  const server = isLater(major) ? await fetchLater(major, log) : ofDebian;
  found = { ...server, clients: { bin: ofDebian.bin, libraries: ofDebian.libraries } };
  return found;
}

let found: PostgresPrograms | undefined;

/** After they were found. */
export function postgresPrograms(): PostgresPrograms {
  if (!found) throw new TypeError('ensurePostgres was not called');
  return found;
}

/** The newest that is there: of PG_CONFIG, of Debian's folders, of PATH. */
function installed(): string | undefined {
  if (process.env.CURFEW_TEST_POSTGRES === 'unpacked') return undefined;
  const asked = process.env.PG_CONFIG
    ? [execFileSync(process.env.PG_CONFIG, ['--bindir'], { encoding: 'utf8' }).trim()]
    : [];
  const ofPath = (process.env.PATH ?? '').split(':').filter((folder) => folder.startsWith('/'));
  const ofDebian = globSync('/usr/lib/postgresql/*/bin').sort((a, b) => majorOf(b) - majorOf(a));
  return [...asked, ...ofDebian, ...ofPath].find((folder) => versionOf(folder) >= OLDEST);
}

function majorOf(folder: string): number {
  return Number(path.basename(path.dirname(folder)));
}

function versionOf(bin: string): number {
  if (!['initdb', 'postgres'].every((name) => existsSync(path.join(bin, name)))) return 0;
  const said = execFileSync(path.join(bin, 'postgres'), ['--version'], { encoding: 'utf8' });
  return Number(/\(PostgreSQL\) (\d+)/.exec(said)?.[1] ?? 0);
}

async function unpacked(log: Log): Promise<Programs & { readonly root: string }> {
  const release = execFileSync('sh', ['-c', '. /etc/os-release; echo "$ID-$VERSION_ID"'], { encoding: 'utf8' }).trim();
  const folder = path.join(cacheFolder(), `postgresql-${release}-${process.arch}`);
  await mkdir(path.dirname(folder), { recursive: true });
  const onWait = () => log('another process is fetching PostgreSQL: waiting for it');
  await withLock(`${folder}.lock`, onWait, async () => {
    if (existsSync(folder)) return;
    log('fetching PostgreSQL of Debian for the tests, once: about 1m; nothing is installed');
    const unfinished = `${folder}.unfinished`;
    await rm(unfinished, { recursive: true, force: true });
    await mkdir(path.join(unfinished, 'root'), { recursive: true });
    await unpackInto(unfinished);
    await rename(unfinished, folder);
  });
  const root = path.join(folder, 'root');
  const [bin] = globSync(path.join(root, 'usr/lib/postgresql/*/bin'));
  if (bin === undefined || versionOf(bin) < OLDEST)
    throw new Error(`${folder} has no PostgreSQL ${OLDEST} or later: remove it`);
  return { bin, root, libraries: globSync(path.join(root, 'usr/lib/*-linux-gnu')) };
}

/** By apt's own index, in a folder of its own: this needs no rights, and the machine's index may be old. */
async function unpackInto(folder: string): Promise<void> {
  const lists = path.join(folder, 'apt');
  await mkdir(path.join(lists, 'lists/partial'), { recursive: true });
  await mkdir(path.join(lists, 'cache/archives/partial'), { recursive: true });
  const settings = [
    ...['-o', `Dir::State::lists=${lists}/lists`, '-o', `Dir::Cache=${lists}/cache`],
    ...['-o', 'Dir::State::status=/var/lib/dpkg/status', '-o', 'APT::Sandbox::User='],
  ];
  await apt(folder, [...settings, '-qq', 'update']);
  // What is missing on this machine: the server, and libraries of it.
  const plan = await apt(folder, [...settings, '-s', '--no-install-recommends', 'install', 'postgresql']);
  const names = plan.split('\n').flatMap((line) => /^Inst (\S+)/.exec(line)?.[1] ?? []);
  const server = plan.split('\n').flatMap((line) => /^Inst (postgresql-\d+) /.exec(line)?.[1] ?? []);
  const wanted = server.length > 0 ? names : [...(await serverPackage(folder, settings)), 'libpq5'];
  await apt(folder, [...settings, '-qq', 'download', ...new Set(wanted)]);
  for (const name of readdirSync(folder).filter((file) => file.endsWith('.deb'))) {
    const { code, stderr } = await run('dpkg-deb', ['-x', path.join(folder, name), path.join(folder, 'root')]);
    if (code !== 0) throw new Error(`dpkg-deb: ${stderr}`);
    await rm(path.join(folder, name));
  }
  await writeFile(path.join(folder, 'packages'), `${wanted.join('\n')}\n`);
  await rm(lists, { recursive: true });
}

/** Where it is installed already, and yet to be unpacked. */
async function serverPackage(folder: string, settings: readonly string[]): Promise<string[]> {
  const { stdout } = await run('apt-cache', [...settings, 'depends', 'postgresql'], { cwd: folder });
  const [name] = /postgresql-\d+/.exec(stdout) ?? [];
  return name === undefined ? [] : [name, name.replace('postgresql-', 'postgresql-client-')];
}

async function apt(folder: string, args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await run('apt-get', args, {
    cwd: folder,
    timeout: 600_000,
    env: { ...process.env, LC_ALL: 'C' },
  });
  if (code === 0) return stdout;
  throw new Error(
    `PostgreSQL ${OLDEST} or later is needed, and Debian's cannot be fetched: apt-get ${args.at(-1)}: ${stderr.slice(-500)}`,
  );
}
