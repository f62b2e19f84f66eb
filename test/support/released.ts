// What a release consists of, made here, and put in place as a person does: by npm, from an archive, from Debian packages.

import { mkdir, mkdtemp, readdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { must } from '../../scripts/release/must.ts';
import { PROGRAM_NAMES, type ProgramName } from '../../scripts/release/tree.ts';

/** Paths of the three, each to be run by itself. */
export type Installed = Readonly<Record<ProgramName, string>>;

const programsIn = (folder: string): Installed =>
  Object.fromEntries(PROGRAM_NAMES.map((name) => [name, path.join(folder, name)])) as Installed;

/** @param release the folder of the release @param system as archives name it */
export async function installArchive(release: string, folder: string, system: string): Promise<Installed> {
  const [name, ...more] = (await readdir(release)).filter((file) => file.endsWith(`-${system}.tar.gz`));
  if (name === undefined || more.length > 0) throw new Error(`${release} has not one archive for ${system}`);
  await mkdir(folder);
  await must('tar', ['-xzf', path.join(release, name), '-C', folder]);
  return programsIn(path.join(folder, name.replace(/\.tar\.gz$/, ''), 'bin'));
}

/** Unpacked alone: nothing of what they run at an installation is run. @param architecture as Debian says it */
export async function unpackDebian(release: string, folder: string, architecture: string): Promise<Installed> {
  const names = (await readdir(release)).filter((file) => file.endsWith(`_${architecture}.deb`));
  if (names.length !== PROGRAM_NAMES.length) throw new Error(`${release} has ${names.length} packages`);
  for (const name of names) await must('dpkg-deb', ['--extract', path.join(release, name), folder]);
  return programsIn(path.join(folder, 'usr/bin'));
}

/**
 * Installs tarballs into an empty prefix, without a network and with an empty cache: what is optional and not among them is left out.
 *
 * @param wanted which tarballs, by the beginning of their names
 * @param node the folder of another Node.js, for npm and for what is installed
 */
export async function installPackages(
  release: string,
  folder: string,
  wanted: readonly string[],
  node?: string,
): Promise<Installed> {
  const cache = await mkdtemp(path.join(tmpdir(), 'curfew-npm-'));
  const names = (await readdir(release)).filter(
    (file) => file.endsWith('.tgz') && wanted.some((one) => new RegExp(`^${one}-\\d`).test(file)),
  );
  if (names.length !== wanted.length) throw new Error(`${release} has only ${names.join(' ')} of ${wanted.join(' ')}`);
  await mkdir(folder);
  const found = `${node === undefined ? '' : `${node}:`}${process.env.PATH}`;
  const flags = ['--offline', '--cache', cache, '--prefix', folder, '--global', '--foreground-scripts', '--no-audit'];
  const env = { PATH: found, HOME: cache, npm_config_update_notifier: 'false' };
  await must('npm', ['install', ...flags, ...names.map((name) => path.join(release, name))], { env, cwd: cache });
  const bin = path.join(folder, 'bin');
  if (node === undefined) return programsIn(bin);
  // As in a shell where that Node.js comes first.
  const own = path.join(folder, 'with-node');
  await mkdir(own);
  for (const name of PROGRAM_NAMES) {
    const text = `#!/bin/sh\nPATH='${found}' exec '${path.join(bin, name)}' "$@"\n`;
    await writeFile(path.join(own, name), text, { mode: 0o755 });
  }
  return programsIn(own);
}
