// What `setup` puts where kubeconfig names it: the native program where that runs, else a script; and what an upgrade does to it.

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { before, describe, it } from 'node:test';
import { refreshLauncher, writeLauncher } from '../../cli/launcher.ts';
import { VERSION } from '../../cli/version.ts';
import { buildNative, nativeProgram, OURS } from '../native/build.ts';
import { buildBundles } from '../support/bundle.ts';
import { run } from '../support/run.ts';
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

  it('is the one that needs no library where the other does not run', async () => {
    const { file, slow } = writeLauncher(hostWith({ [NAME]: '\x7fELF but nothing', [`${NAME}-musl`]: built(1) }));
    assert.equal(slow, undefined);
    assert.ok(readFileSync(file).equals(built(1)));
  });

  it('is a script where none runs, hangs not, and says that calls take longer', async () => {
    for (const programs of [
      {},
      { [NAME]: '#!/bin/sh\nexit 1\n' },
      { [NAME]: '#!/bin/sh\necho kubectl-curfew 0.0.1\n' },
    ]) {
      const { file, slow } = writeLauncher(hostWith(programs));
      assert.equal(slow, `there is no native program that runs here (${NAME})`);
      assert.equal(await says(file, 'login'), 'the full program login\n');
    }
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
