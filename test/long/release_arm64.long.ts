// The archive for Linux on arm64, under an emulator: its broker and its gateway serve people who use kubectl, its plugin answers.

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { must } from '../../scripts/release/must.ts';
import { release } from '../../scripts/release/release.ts';
import { NODE_VERSION, SYSTEMS } from '../../scripts/release/systems.ts';
import { arm64, wrapped } from '../support/arm64.ts';
import { startGatewayWorld } from '../support/gateway_world.ts';
import { mainJob } from '../support/main_job.ts';
import { type Installed, installArchive } from '../support/released.ts';

const VERSION = '0.0.0';
const folder = await mkdtemp(path.join(tmpdir(), 'curfew-arm64-'));
const systems = SYSTEMS.filter(({ name }) => name === 'linux-arm64');
let emulator: readonly [string, ...string[]];
let installed: Installed;
let lib: string;

before(async () => {
  emulator = await arm64(path.join(folder, 'emulated'));
  const out = path.join(folder, 'release');
  const log = (line: string) => void process.stderr.write(`${line}\n`);
  const of = { version: VERSION, epochSeconds: 1_795_000_000, from: 'https://example.com' };
  await release({ out, ...of, systems, parts: ['archive'], log });
  installed = await installArchive(out, path.join(folder, 'archive'), 'linux-arm64');
  lib = path.resolve(path.dirname(installed['curfew-broker']), '../lib/curfew');
});
after(() => rm(folder, { recursive: true, force: true }));

/** What a launcher of the archive starts there: its Node.js with a bundle. */
const program = (name: string) =>
  wrapped(path.join(folder, name), [...emulator, path.join(lib, 'node'), path.join(lib, `${name}.cjs`)]);

test('its programs are of arm64, and run: the native one, and the Node.js that is in it', async () => {
  const [command, ...words] = emulator;
  const run = (...more: readonly string[]) => must(command, [...words, ...more], { env: { HOME: folder } });
  for (const file of [installed['kubectl-curfew'], path.join(lib, 'node')]) {
    const header = await must('od', ['-An', '-tx1', '-j18', '-N2', file]);
    assert.equal(header.trim(), 'b7 00', `${file} is not of AArch64`);
  }
  assert.match(await run(installed['kubectl-curfew'], '--version'), /^kubectl-curfew \S+ \(native\)\n$/);
  assert.equal(await run(path.join(lib, 'node'), '--version'), `v${NODE_VERSION}\n`);
  assert.match(await must(await program('kubectl-curfew'), ['--help']), /^Usage: kubectl-curfew/);
});

test('its broker and its gateway do the main job', async () => {
  const world = await startGatewayWorld({
    plane: { webhook: { on_failure: 'deny' } },
    sections: { admins: { groups: ['security'], limits: { max_age: '1h' } } },
    brokerProgram: await program('curfew-broker'),
    gatewayProgram: await program('curfew-gateway'),
  });
  try {
    const [alice, carol] = [await world.person('alice'), await world.person('carol')];
    assert.equal((await carol.setup()).code, 0);
    await mainJob(alice, async () => {
      assert.equal((await carol.curfew(['login'])).code, 0);
      const ended = await carol.curfew(['sessions', 'end', '--user', 'curfew:alice@example.com']);
      assert.equal(ended.code, 0, ended.stderr);
    });
  } finally {
    await world.stop();
  }
});
