// What the image has from Debian: the C library and its kin, certificates, and the texts of their licences. No shell, no package manager.

import { createHash } from 'node:crypto';
import { cp, glob, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fetchOnce } from '../fetch_once.ts';
import { must } from './must.ts';
import { digestOf } from './sums.ts';
import type { System } from './systems.ts';

/** What Node.js is linked against, and whom it trusts. */
const PACKAGES = ['base-files', 'ca-certificates', 'gcc-12-base', 'libc6', 'libgcc-s1', 'libstdc++6'] as const;

/** Of all that is in them. */
const TAKEN = [
  '{lib,usr/lib}/*-linux-gnu/*.so*',
  'lib64/*',
  'etc/os-release',
  'usr/lib/os-release',
  'usr/share/common-licenses/*',
  // A folder, or a link to that of a package beside it.
  'usr/share/doc/{base-files,ca-certificates,gcc-12-base,libc6}/copyright',
  'usr/share/doc/{libgcc-s1,libstdc++6}',
] as const;

const ROOTS = 'etc/ssl/certs/ca-certificates.crt';

export interface DebianPackage {
  readonly name: string;
  readonly version: string;
  readonly sha256: string;
}

type Log = (line: string) => void;

/**
 * Copies them into the root of an image.
 *
 * @returns which versions they are of: what apt has today
 * @throws Error where this machine has no apt for that architecture, or what came is not what apt's lists say
 */
export async function putDebianFiles(root: string, system: System, log: Log): Promise<readonly DebianPackage[]> {
  const { packages, folder } = await fetched(system, log);
  const unpacked = await mkdtemp(path.join(tmpdir(), 'curfew-debian-'));
  try {
    for await (const file of glob('*.deb', { cwd: folder }))
      await must('dpkg-deb', ['-x', path.join(folder, file), unpacked]);
    for await (const file of glob([...TAKEN], { cwd: unpacked })) {
      await mkdir(path.dirname(path.join(root, file)), { recursive: true });
      await cp(path.join(unpacked, file), path.join(root, file), { verbatimSymlinks: true, recursive: true });
    }
    await putRoots(path.join(unpacked, 'usr/share/ca-certificates'), path.join(root, ROOTS));
  } finally {
    await rm(unpacked, { recursive: true, force: true });
  }
  return packages;
}

/** In one file, as update-ca-certificates makes it. */
async function putRoots(from: string, to: string): Promise<void> {
  const files: string[] = [];
  for await (const file of glob('**/*.crt', { cwd: from })) files.push(file);
  if (files.length === 0) throw new Error('ca-certificates holds no certificate');
  const texts = await Promise.all(files.sort().map((file) => readFile(path.join(from, file), 'utf8')));
  await mkdir(path.dirname(to), { recursive: true });
  await writeFile(to, texts.map((text) => `${text.trim()}\n`).join(''));
}

async function fetched(system: System, log: Log) {
  const packages = await candidates(system);
  const pins = createHash('sha256')
    .update(packages.map(({ sha256 }) => sha256).join(' '))
    .digest('hex')
    .slice(0, 12);
  const folder = await fetchOnce(
    {
      name: `debian-${system.debian}-${pins}`,
      what: 'Debian packages',
      says: `fetching ${packages.length} Debian packages for the image, once: 4 MB`,
      fill: (unfinished) => download(packages, unfinished),
    },
    log,
  );
  return { packages, folder };
}

/** @throws Error where what came is not what apt's lists say */
async function download(packages: readonly DebianPackage[], folder: string): Promise<void> {
  const names = packages.map(({ name, version }) => `${name}=${version}`);
  await must('apt-get', ['download', '-qq', ...names], { cwd: folder });
  const came: string[] = [];
  for await (const file of glob('*.deb', { cwd: folder })) came.push(await digestOf(path.join(folder, file)));
  const wanted = packages.map(({ sha256 }) => sha256).sort();
  if (came.sort().join() !== wanted.join()) throw new Error('a Debian package is not what the lists of apt say');
}

/** As the signed lists of apt have them. */
async function candidates(system: System): Promise<readonly DebianPackage[]> {
  const hint = 'the image is made on Debian 12 of its own architecture, after apt-get update';
  const own = await must('dpkg', ['--print-architecture']).catch(() => '');
  if (own.trim() !== system.debian) throw new Error(`no packages for ${system.debian}: ${hint}`);
  const said = await must('apt-get', ['download', '--print-uris', ...PACKAGES]);
  const found = [...said.matchAll(/^'[^']*' (\S+?)_(\S+?)_\w+\.deb \d+ SHA256:([0-9a-f]{64})$/gm)].map(
    ([, name = '', version = '', sha256 = '']) => ({ name, version: decodeURIComponent(version), sha256 }),
  );
  if (found.length !== PACKAGES.length) throw new Error(`apt does not know ${PACKAGES.join(', ')}: ${hint}`);
  return found.sort((a, b) => (a.name < b.name ? -1 : 1));
}
