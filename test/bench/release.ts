// How much a release asks people to fetch, and npm to keep.

import { mkdtemp, readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { must } from '../../scripts/release/must.ts';
import { release } from '../../scripts/release/release.ts';
import { OURS } from '../../scripts/release/systems.ts';
import { installPackages } from '../support/released.ts';
import type { Bench } from './figure.ts';

const MIB = 1024 * 1024;

export const releaseSizes: Bench = {
  figures: [
    {
      name: 'npm.installed_mib',
      unit: 'MiB',
      says: 'the plugin as npm installs it on Linux x64, with its native program and the Node.js for those that have an older one',
    },
    { name: 'npm.without_node_mib', unit: 'MiB', says: 'the same without that Node.js' },
    { name: 'release.sizes.archive_mib', unit: 'MiB', says: 'the archive of all three programs with their Node.js' },
    { name: 'release.sizes.deb_mib', unit: 'MiB', says: "the plugin's Debian package" },
    {
      name: 'release.sizes.npm_mib',
      unit: 'MiB',
      says: 'the tarballs of the plugin and its native program: what npm fetches but for a Node.js',
    },
  ],
  async run({ folder: parent, log }) {
    if (!OURS) throw new Error(`no archive is released for ${process.platform}-${process.arch}`);
    const folder = await mkdtemp(path.join(parent, 'release-'));
    const out = path.join(folder, 'release');
    const parts = ['npm', 'archive', 'debian'] as const;
    const of = { version: '0.0.0', epochSeconds: 1_795_000_000, from: 'https://example.com', systems: [OURS], parts };
    await release({ out, ...of, log });
    const sizeOf = async (name: string) => (await stat(path.join(out, name))).size / MIB;
    const native = `kubectl-curfew-${OURS.name}`;
    const installed = async (name: string, wanted: readonly string[]) => {
      await installPackages(out, path.join(folder, name), wanted);
      const bytes = await must('du', ['--summarize', '--bytes', path.join(folder, name, 'lib')]);
      return Number(bytes.split('\t', 1)[0]) / MIB;
    };
    log((await readdir(out)).join(' '));
    return {
      'npm.installed_mib': await installed('whole', ['kubectl-curfew', native, `curfew-node-${OURS.name}`]),
      'npm.without_node_mib': await installed('light', ['kubectl-curfew', native]),
      'release.sizes.archive_mib': await sizeOf(`curfew-0.0.0-${OURS.name}.tar.gz`),
      'release.sizes.deb_mib': await sizeOf(`kubectl-curfew_0.0.0-1_${OURS.debian}.deb`),
      'release.sizes.npm_mib': (await sizeOf('kubectl-curfew-0.0.0.tgz')) + (await sizeOf(`${native}-0.0.0.tgz`)),
    };
  },
};
