// What `setup` puts where kubeconfig names it: the native program where that runs, else a script; and what an upgrade does to it.

import assert from 'node:assert/strict';
import {
  copyFileSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { before, describe, it } from 'node:test';
import { refreshLauncher, writeLauncher } from '../../cli/host/launcher.ts';
import { VERSION } from '../../cli/warm/version.ts';
import { buildBundles } from '../../scripts/bundle.ts';
import { buildNative, nativeProgram, OURS } from '../../scripts/native/build.ts';
import { TARGETS } from '../../scripts/native/targets.ts';
import { run } from '../../scripts/run.ts';
import { temporaryFolder, testHost } from './host.ts';

const NAME = `${process.platform}-${process.arch}`;

describe('the launcher', () => {
  before(async () => {
    await buildBundles();
    await buildNative();
  });

  /** A host whose bundles have these as their native programs. */
  const hostWith = (programs: Readonly<Record<string, string | Uint8Array>>) => {
    const bundles = temporaryFolder('bundles');
    writeFileSync(`${bundles}/kubectl-curfew.cjs`, "console.log('the full program', ...process.argv.slice(2));");
    for (const [name, content] of Object.entries(programs)) {
      mkdirSync(`${bundles}/native/${name}`, { recursive: true });
      writeFileSync(`${bundles}/native/${name}/kubectl-curfew`, content, { mode: 0o755 });
    }
    return { ...testHost(), bundles };
  };
  const built = (index: number) => {
    const target = OURS[index];
    assert.ok(target);
    return readFileSync(nativeProgram(target));
  };
  const says = async (file: string, ...args: string[]) => (await run(file, args, { env: {} })).stdout;

  it('is the native program where that runs, and starts the full one for the rest', async () => {
    const { file, slow } = writeLauncher(hostWith({ [NAME]: built(0) }));
    assert.equal(slow, undefined);
    assert.equal(statSync(file).mode & 0o777, 0o700);
    assert.equal(await says(file, '--version'), `kubectl-curfew ${VERSION} (native)\n`);
    assert.equal(await says(file, 'login', '--x y'), 'the full program login --x y\n');
  });

  it('needs no library on Linux: its file names no dynamic linker (ELF, PT_INTERP)', () => {
    for (const target of TARGETS.filter(({ name }) => name.startsWith('linux-') && name === NAME)) {
      const file = readFileSync(nativeProgram(target));
      const [offset, size, count] = [
        Number(file.readBigUInt64LE(0x20)),
        file.readUInt16LE(0x36),
        file.readUInt16LE(0x38),
      ];
      const types = Array.from({ length: count }, (_, i) => file.readUInt32LE(offset + i * size));
      assert.ok(types.includes(1), 'it has something to load');
      assert.ok(!types.includes(3));
    }
  });

  it('is a script where none runs, hangs not, and says that calls take longer', async () => {
    for (const programs of [
      {},
      { [NAME]: '\x7fELF but nothing' },
      { [NAME]: '#!/bin/sh\nexit 1\n' },
      { [NAME]: '#!/bin/sh\necho kubectl-curfew 0.0.1\n' },
    ]) {
      const { file, slow } = writeLauncher(hostWith(programs));
      assert.equal(slow, `there is no native program that runs here (${NAME})`);
      assert.equal(await says(file, 'login'), 'the full program login\n');
    }
  });

  for (const kind of ['native', 'script'] as const)
    it(`P18 says what is gone or was replaced, as one error and one hint: exit 78 (${kind})`, async () => {
      const host = {
        ...hostWith(kind === 'native' ? { [NAME]: built(0) } : {}),
        node: `${temporaryFolder('node')}/node`,
      };
      symlinkSync(process.execPath, host.node);
      const { file, slow } = writeLauncher(host);
      assert.equal(slow === undefined, kind === 'native');
      const fails = async (what: RegExp) => {
        for (const args of [['status'], ['get-token', '--broker', 'https://x.example.com', '--cluster', 'dev'], []]) {
          const { code, stdout, stderr } = await run(file, args, { env: {} });
          assert.deepEqual([code, stdout], [78, ''], stderr);
          assert.match(stderr, what);
          assert.match(stderr, /^curfew: error: .*\ncurfew: hint: run: kubectl-curfew setup, of an installed .*\n$/);
        }
      };
      assert.equal(await says(file, 'status'), 'the full program status\n');
      const program = `${host.bundles}/kubectl-curfew.cjs`;
      const content = readFileSync(program);
      rmSync(program);
      await fails(/gone.*: .*kubectl-curfew\.cjs/);
      mkdirSync(program);
      await fails(/gone.*: .*kubectl-curfew\.cjs/);
      rmSync(program, { recursive: true });
      renameSync(host.bundles, `${host.bundles}-gone`);
      await fails(/gone.*: .*kubectl-curfew\.cjs/);
      renameSync(`${host.bundles}-gone`, host.bundles);
      writeFileSync(program, content);
      rmSync(host.node);
      await fails(/gone.*: .*node/);
      symlinkSync('nowhere', host.node);
      await fails(/gone.*: .*node/);
      rmSync(host.node);
      mkdirSync(host.node);
      await fails(/gone.*: .*node/);
    });

  it('P18 the program on Node.js says that the rest of its package is gone, or does not load', async () => {
    const { cli } = await buildBundles();
    const folder = temporaryFolder('package');
    copyFileSync(cli, `${folder}/kubectl-curfew.cjs`);
    for (const rest of [undefined, '', '}', "require('nothing-of-this-name')", 'throw new Error("a secret")']) {
      if (rest !== undefined) writeFileSync(`${folder}/full.cjs`, rest);
      const { code, stdout, stderr } = await run(process.execPath, [`${folder}/kubectl-curfew.cjs`, 'status'], {
        env: {},
      });
      assert.deepEqual([code, stdout], [78, ''], stderr);
      assert.match(stderr, /^curfew: error: the package is damaged.*\ncurfew: hint: install .*\n$/);
    }
  });

  for (const kind of ['native', 'script'] as const)
    it(`P13 gives Node.js no options of whoever chose the environment (${kind})`, async () => {
      const host = hostWith(kind === 'native' ? { [NAME]: built(0) } : {});
      const { file } = writeLauncher(host);
      const evil = `${host.home}/evil.cjs`;
      writeFileSync(evil, "console.log('evil');");
      const program = 'console.log(process.env.NODE_OPTIONS, process.env.NODE_PATH, process.env.OTHER);';
      writeFileSync(`${host.bundles}/kubectl-curfew.cjs`, program);
      const env = { NODE_OPTIONS: `--require ${evil}`, NODE_PATH: host.home, OTHER: 'other' };
      assert.equal((await run(file, ['status'], { env })).stdout, 'undefined undefined other\n');
    });

  it('is replaced by that of a newer version of the same installation, and by no other', () => {
    const host = hostWith({ [NAME]: built(0) });
    const { file } = writeLauncher(host);
    const beside = `${file}.full`;
    const old = readFileSync(beside, 'utf8').replace(VERSION, '0.3.0');
    writeFileSync(file, 'old');
    refreshLauncher(host);
    assert.equal(readFileSync(file, 'utf8'), 'old', 'of this version');
    writeFileSync(beside, old.replace(host.bundles, path.join(host.home, 'elsewhere')), { mode: 0o600 });
    refreshLauncher(host);
    assert.equal(readFileSync(file, 'utf8'), 'old', 'of another installation');
    writeFileSync(beside, old, { mode: 0o600 });
    refreshLauncher(host);
    assert.ok(readFileSync(file).equals(built(0)));
    assert.ok(readFileSync(beside, 'utf8').endsWith(`\n${VERSION}\n`));
  });
});
