// What npm publishes, made twice and installed where nothing else is: equal to the byte, exactly what is named, nothing run.

import assert from 'node:assert/strict';
import { cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { writeLauncher } from '../../cli/host/launcher.ts';
import { buildBundles } from '../../scripts/bundle.ts';
import { buildNative, OURS } from '../../scripts/native/build.ts';
import { TARGETS } from '../../scripts/native/targets.ts';
import { must } from '../../scripts/release/must.ts';
import { nativePackages, pack, programPackage } from '../../scripts/release/npm.ts';
import { SYSTEMS } from '../../scripts/release/systems.ts';
import { PROGRAM_NAMES } from '../../scripts/release/tree.ts';
import { run } from '../../scripts/run.ts';
import { testHost } from '../cli/host.ts';
import { type Installed, installPackages } from '../support/released.ts';

const VERSION = '9.8.7';
const [target] = OURS;
if (!target) throw new Error('no native program is built for this machine');
const NATIVE = `kubectl-curfew-${target.name}`;

let folder: string;
before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'curfew-packages-'));
  await buildBundles();
  await buildNative();
  const umask = process.umask();
  for (const place of ['one', 'a/second/place']) {
    // Modes are of the release, not of whoever makes it.
    if (place !== 'one') process.umask(0o077);
    const [work, out] = [path.join(folder, place, 'work'), path.join(folder, place)];
    const programs = await Promise.all(PROGRAM_NAMES.map((name) => programPackage(name, VERSION, SYSTEMS)));
    const native = nativePackages().filter(({ name }) => name === NATIVE);
    await Promise.all([...programs, ...native].map((one) => pack(one, VERSION, work, out)));
    await rm(work, { recursive: true, force: true });
  }
  process.umask(umask);
});
after(() => rm(folder, { recursive: true, force: true }));

const NAMES = [...PROGRAM_NAMES, NATIVE];

for (const name of NAMES) {
  test(`${name} is equal to the byte wherever it is packed, holds what its manifest names, and runs nothing at its installation`, async () => {
    const file = `${name}-${VERSION}.tgz`;
    const tarball = path.join(folder, 'one', file);
    assert.ok((await readFile(tarball)).equals(await readFile(path.join(folder, 'a/second/place', file))));
    const manifest = JSON.parse(await must('tar', ['-xzOf', tarball, 'package/package.json'])) as Readonly<
      Record<string, unknown>
    >;
    const listed = (await must('tar', ['-tzf', tarball])).trimEnd().split('\n');
    const named = [...(manifest.files as string[]), 'package.json'].map((one) => `package/${one}`);
    assert.deepEqual(listed.toSorted(), named.toSorted());
    assert.ok(listed.includes('package/LICENSE'));
    assert.ok(listed.some((one) => one.endsWith('THIRD_PARTY_LICENSES')));
    for (const absent of ['scripts', 'dependencies', 'devDependencies', 'peerDependencies'])
      assert.equal(manifest[absent], undefined, absent);
    assert.deepEqual([manifest.name, manifest.version, manifest.license], [name, VERSION, 'Apache-2.0']);
  });
}

test('the plugin has the native program of each system as an optional dependency of the very version, and a Node.js', async () => {
  const tarball = path.join(folder, 'one', `kubectl-curfew-${VERSION}.tgz`);
  const { optionalDependencies } = JSON.parse(await must('tar', ['-xzOf', tarball, 'package/package.json'])) as {
    readonly optionalDependencies: Readonly<Record<string, string>>;
  };
  const names = [
    ...TARGETS.map(({ name }) => `kubectl-curfew-${name}`),
    ...SYSTEMS.map(({ name }) => `curfew-node-${name}`),
  ];
  assert.deepEqual(optionalDependencies, Object.fromEntries(names.map((name) => [name, VERSION])));
});

describe('installed by npm from the tarballs, without a network', () => {
  let installed: Installed;
  before(async () => {
    installed = await installPackages(path.join(folder, 'one'), path.join(folder, 'prefix'), NAMES);
  });

  const env = () => ({ PATH: process.env.PATH, HOME: folder });

  test('each program says its version', async () => {
    for (const name of PROGRAM_NAMES) {
      const { code, stdout, stderr } = await run(installed[name], ['--version'], { env: env() });
      assert.deepEqual([code, stderr], [0, '']);
      assert.match(stdout, /\d+\.\d+\.\d+/);
    }
  });

  test('setup finds the native program where npm put it, inside the plugin’s package or beside it', async () => {
    const beside = path.join(folder, 'prefix/lib/node_modules');
    const launcherIn = (modules: string) =>
      writeLauncher({ ...testHost(), bundles: path.join(modules, 'kubectl-curfew/dist') });
    const [inside, alone] = [path.join(folder, 'inside'), path.join(folder, 'alone')];
    const plugin = 'kubectl-curfew';
    for (const modules of [inside, alone])
      await cp(path.join(beside, plugin), path.join(modules, plugin), { recursive: true });
    await cp(path.join(beside, NATIVE), path.join(inside, plugin, 'node_modules', NATIVE), { recursive: true });
    for (const modules of [beside, inside]) {
      const { file, slow } = launcherIn(modules);
      assert.equal(slow, undefined);
      assert.match((await run(file, ['--version'], { env: {} })).stdout, / \(native\)\n$/);
    }
    assert.match(launcherIn(alone).slow ?? '', /no native program/);
  });
});
