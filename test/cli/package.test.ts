// What is published: the bundles alone, without dependencies, so that installing them runs no script and fetches nothing.

import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { writeLauncher } from '../../cli/host/launcher.ts';
import { VERSION } from '../../cli/warm/version.ts';
import { buildBundles } from '../../scripts/bundle.ts';
import { buildNative, OURS } from '../../scripts/native/build.ts';
import { run } from '../../scripts/run.ts';
import { testHost } from './host.ts';

const root = path.resolve(import.meta.dirname, '../..');
let folder: string;

before(async () => {
  await buildBundles();
  await buildNative();
  folder = await mkdtemp(path.join(tmpdir(), 'curfew-package-'));
});
after(() => rm(folder, { recursive: true, force: true }));

describe('what is published', () => {
  for (const [workspace, program] of [
    ['cli', 'kubectl-curfew'],
    ['broker', 'curfew-broker'],
  ] as const) {
    test(`${program} has no dependencies and no install scripts, and runs where nothing else is`, async () => {
      const packed = await run('npm', ['pack', '--workspace', workspace, '--pack-destination', folder, '--json'], {
        cwd: root,
      });
      assert.equal(packed.code, 0, packed.stderr);
      const home = path.join(folder, workspace);
      const unpacked = await run('sh', ['-c', `mkdir ${home} && tar -xzf ${folder}/${program}-*.tgz -C ${home}`]);
      assert.equal(unpacked.code, 0, unpacked.stderr);
      const manifest = JSON.parse(await readFile(path.join(home, 'package/package.json'), 'utf8')) as Record<
        string,
        unknown
      >;
      for (const name of ['dependencies', 'optionalDependencies', 'peerDependencies', 'scripts']) {
        assert.equal(manifest[name], undefined, name);
      }
      const { code, stdout, stderr } = await run(
        process.execPath,
        [path.join(home, `package/dist/${program}.cjs`), '--help'],
        {
          cwd: home,
          env: { HOME: home, PATH: process.env.PATH },
        },
      );
      assert.equal(code, 0, stderr);
      assert.ok(stdout.startsWith(`Usage: ${program}`));
    });
  }

  test('the native program comes with the plugin, and setup finds it there', async () => {
    const home = path.join(folder, 'cli');
    const host = { ...testHost(), bundles: path.join(home, 'package/dist') };
    const { file, slow } = writeLauncher(host);
    assert.equal(slow, undefined);
    const { stdout } = await run(file, ['--version'], { env: {} });
    assert.equal(stdout, `kubectl-curfew ${VERSION} (native)\n`);
    const listed = await run('tar', ['-tzf', `${folder}/kubectl-curfew-${VERSION}.tgz`]);
    const names = listed.stdout.split('\n');
    for (const { name } of OURS) assert.ok(names.includes(`package/dist/native/${name}/kubectl-curfew`), name);
    const builds = names.filter((name) => name.includes('stamp') || path.basename(name).startsWith('.'));
    assert.deepEqual(builds, [], 'what only the build needs stays here');
    const licences = await readFile(path.join(home, 'package/dist/native/THIRD_PARTY_LICENSES'), 'utf8');
    for (const owner of ['Fabrice Bellard', 'Rich Felker', 'Zig contributors', 'mingw-w64 project'])
      assert.ok(licences.includes(owner), owner);
    assert.ok(names.includes('package/dist/THIRD_PARTY_LICENSES'));
  });

  test('the keychain library comes with the plugin, for this machine too', async () => {
    const child = path.join(folder, 'cli/package/dist/keychain.cjs');
    const input = JSON.stringify({ action: 'load', service: 'curfew-test', account: 'nobody' });
    const answer = await run(process.execPath, [child], {
      input,
      env: { HOME: folder, PATH: process.env.PATH },
      cwd: folder,
    });
    // Without a session bus there is no keychain to answer; a library that is not there would fail before that.
    assert.ok(['{"value":null}', '{"fault":true}'].includes(answer.stdout), answer.stdout);
    const name = `${process.platform}-${process.arch}`;
    const library = path.join(folder, `cli/package/dist/prebuilds/${name}/keytar.node`);
    const loads = await run(process.execPath, ['-e', `require(${JSON.stringify(library)})`]);
    assert.equal(loads.code, 0, loads.stderr);
  });
});
