// Programs of Debian's packages for tests, taken apart into the cache: nothing is installed, nothing of the machine is started or changed.

import { globSync, readdirSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { fetchOnce } from '../../scripts/fetch_once.ts';
import { run } from '../../scripts/run.ts';

export interface Unpacked {
  /** What would be `/` had they been installed. */
  readonly root: string;
  /** Where their libraries are, beside those of the machine. */
  readonly libraries: readonly string[];
}

export interface Wanted {
  /** Of the folder, with what decides what is in it. */
  readonly name: string;
  /** As in `fetching WHAT of Debian`. */
  readonly what: string;
  readonly packages: readonly string[];
}

/** @throws Error that says what cannot be fetched */
export async function unpackedPackages(wanted: Wanted, log: (line: string) => void): Promise<Unpacked> {
  const { name, what, packages } = wanted;
  const says = `fetching ${what} of Debian for the tests, once: about 1m; nothing is installed`;
  const folder = await fetchOnce({ name, what, says, fill: (into) => unpack(into, packages) }, log);
  const root = path.join(folder, 'root');
  return { root, libraries: globSync(path.join(root, 'usr/lib/*-linux-gnu')) };
}

/** By an index of apt's own in that folder: this needs no rights, and the machine's may be old. */
async function unpack(folder: string, packages: readonly string[]): Promise<void> {
  const lists = path.join(folder, 'apt');
  await mkdir(path.join(lists, 'lists/partial'), { recursive: true });
  await mkdir(path.join(lists, 'cache/archives/partial'), { recursive: true });
  await mkdir(path.join(folder, 'root'));
  const settings = [
    ...['-o', `Dir::State::lists=${lists}/lists`, '-o', `Dir::Cache=${lists}/cache`],
    ...['-o', 'Dir::State::status=/var/lib/dpkg/status', '-o', 'APT::Sandbox::User='],
  ];
  const apt = async (...words: readonly string[]) => {
    const env = { ...process.env, LC_ALL: 'C' };
    const done = await run('apt-get', [...settings, ...words], { cwd: folder, timeout: 600_000, env });
    if (done.code !== 0) throw new Error(`apt-get ${words.join(' ')}: ${done.stderr.slice(-500)}`);
    return done.stdout;
  };
  await apt('-qq', 'update');
  const plan = await apt('-s', '--no-install-recommends', 'install', ...packages);
  // Not what is there already, in whatever version.
  const missing = plan.split('\n').flatMap((line) => /^Inst (\S+) \(/.exec(line)?.[1] ?? []);
  await apt('-qq', 'download', ...new Set([...packages, ...missing]));
  for (const file of readdirSync(folder).filter((found) => found.endsWith('.deb'))) {
    const { code, stderr } = await run('dpkg-deb', ['-x', path.join(folder, file), path.join(folder, 'root')]);
    if (code !== 0) throw new Error(`dpkg-deb: ${stderr}`);
    await rm(path.join(folder, file));
  }
  await rm(lists, { recursive: true });
}
