// The demo, as the README has it: it plays its story and says so, or says what did not go as it should.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';
import { run } from '../../scripts/run.ts';
import { startControlPlane } from '../cluster/control_plane.ts';
import { freePort } from '../cluster/ports.ts';
import { runInPty } from '../support/pty.ts';

const demo = path.resolve(import.meta.dirname, '../demo/main.ts');

describe('the demo', () => {
  test('npm run demo -- --play does what it should and ends with 0', async () => {
    const { code, stdout, stderr } = await run(process.execPath, [demo, '--play'], { timeout: 500_000 });
    assert.equal(code, 0, stdout + stderr);
    assert.match(stdout, /login is too old: last login 6\ds ago, limit 60s[\s\S]*all of it did what it should/);
  });

  test('an unknown flag, and a kubeconfig that is not there, are refused by name', async () => {
    const flag = await run(process.execPath, [demo, '--nope']);
    assert.deepEqual([flag.code, flag.stderr.startsWith("demo: error: Unknown option '--nope'")], [1, true]);
    const file = await run(process.execPath, [demo, '--kubeconfig', '/nonexistent']);
    assert.equal(file.code, 1);
    assert.ok(file.stderr.startsWith('demo: error: /nonexistent: '), file.stderr);
  });

  test('by hand: what it says to type works, and Ctrl-C stops all of it', async () => {
    using pty = runInPty(process.execPath, [demo], { cols: 250 });
    await pty.waitFor('Ctrl-C here stops everything');
    const lines = pty.output().replaceAll('\r', '');
    const exports = lines.match(/^ {2}export .*$/gm) ?? [];
    const setup = /^ {2}(kubectl curfew setup .*)$/m.exec(lines)?.[1] ?? '';
    assert.equal(exports.length, 5, lines);
    const script = [...exports, setup, 'kubectl get namespaces'].join('\n');
    using person = runInPty('/bin/sh', ['-c', script]);
    const { code } = await person.exit;
    assert.equal(code, 0, person.output());
    assert.match(person.output(), /default\s+Active/);
    const folder = /\/tmp\/curfew-world-\w+/.exec(lines)?.[0] ?? '';
    assert.notEqual((await run('pgrep', ['-f', folder])).stdout, '');
    pty.write('\x03');
    assert.deepEqual(await pty.exit, { code: 0, signal: 0 }, pty.output());
    assert.equal((await run('pgrep', ['-f', folder])).stdout, '', 'nothing runs any more');
    assert.equal((await run('ls', [folder])).code !== 0, true, 'nothing is left');
  });

  test('with the API server of an existing cluster: it says what to set, and then kubectl works', {
    timeout: 180_000,
  }, async () => {
    const plane = await startControlPlane();
    const issuer = `https://127.0.0.1:${await freePort()}`;
    using pty = runInPty(process.execPath, [demo, '--kubeconfig', plane.adminKubeconfig, '--issuer', issuer], {
      cols: 250,
    });
    try {
      await pty.waitFor('Ctrl-C here stops everything');
      const lines = pty.output().replaceAll('\r', '');
      const file = /--authentication-config=(\S+)/.exec(lines)?.[1] ?? '';
      const rbac = /apply -f (\S+)/.exec(lines)?.[1] ?? '';
      await plane.setAuthenticationConfig(await readFile(file, 'utf8'));
      assert.equal((await plane.adminKubectl(['apply', '-f', rbac])).code, 0);
      const exports = lines.match(/^ {2}export .*$/gm) ?? [];
      const setup = /^ {2}(kubectl curfew setup .*)$/m.exec(lines)?.[1] ?? '';
      using person = runInPty('/bin/sh', ['-c', [...exports, setup, 'kubectl get namespaces'].join('\n')]);
      assert.equal((await person.exit).code, 0, person.output());
      assert.match(person.output(), /default\s+Active/);
    } finally {
      pty.write('\x03');
      assert.equal((await pty.exit).code, 0);
      await plane.stop();
    }
  });
});
