// The demo, as the README has it: it plays its story and says so, or says what did not go as it should.

import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, test } from 'node:test';
import { run } from '../support/run.ts';

const demo = path.resolve(import.meta.dirname, '../demo/main.ts');

describe('the demo', () => {
  test('npm run demo -- --play does what it should and ends with 0', { timeout: 240_000 }, async () => {
    const { code, stdout, stderr } = await run(process.execPath, [demo, '--play'], { timeout: 200_000 });
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
});
