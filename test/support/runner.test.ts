// What `npm test` makes of tests: it fails with one that fails, and with one that shows nothing.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { run } from '../../scripts/run.ts';

const RUNNER = pathToFileURL(path.join(import.meta.dirname, '../runner.ts')).href;

describe('a run', () => {
  let folder = '';
  before(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'curfew-runner-'));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  /** A file of tests with this text, run as `npm test` runs it. */
  const outcome = async (text: string) => {
    const file = path.join(folder, 'some.test.mjs');
    writeFileSync(file, `import { describe, test } from 'node:test';\ntest('holds', () => {});\n${text}\n`);
    const group = JSON.stringify({ files: [file], concurrency: 1, timeout: 30_000 });
    const script = path.join(folder, 'run.mjs');
    writeFileSync(
      script,
      `import { runGroup } from ${JSON.stringify(RUNNER)};
      await runGroup(${group}, new AbortController().signal);`,
    );
    // Of its own, not a part of this one's run.
    const { NODE_TEST_CONTEXT: _, ...env } = process.env;
    const { code, stdout, stderr } = await run(process.execPath, [script], { env });
    assert.match(stdout, /holds/);
    return { code, stderr };
  };

  test('succeeds where all tests hold', async () => {
    assert.deepEqual(await outcome(''), { code: 0, stderr: '' });
  });

  test('fails where one fails', async () => {
    assert.equal((await outcome(`test('other', () => { throw new Error('no'); });`)).code, 1);
  });

  for (const [what, text] of [
    ['is skipped', `test('other', { skip: 'not here' }, () => {});`],
    ['skips itself', `test('other', (t) => t.skip());`],
    ['is in a suite that is skipped', `describe.skip('other', () => { test('one', () => {}); });`],
    ['is yet to be written', `test.todo('other');`],
  ] as const)
    test(`fails where one ${what}, and names it`, async () => {
      const { code, stderr } = await outcome(text);
      assert.equal(code, 1);
      assert.match(stderr, /^test: error: skipped: \S+some\.test\.mjs: other$/m);
    });
});
