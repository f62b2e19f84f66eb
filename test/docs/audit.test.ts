// docs/audit.md against the program: the findings with their words, and the commands, which are run.

import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { AROUND } from '../../broker/around/names.ts';
import { FINDINGS } from '../../cli/audit/names.ts';
import { buildBundles } from '../../scripts/bundle.ts';
import { run } from '../../scripts/run.ts';
import { temporaryFolder } from '../cli/host.ts';
import { blocks, read, rowsOf } from './documents.ts';

const PAGE = read('docs/audit.md');

test('each finding is documented with its level and its words, and no other', () => {
  const rows = rowsOf(PAGE, 'finding', 'level', 'what', 'instead');
  const real = Object.entries(FINDINGS).map(([name, { level, says, instead }]) => [
    `\`${name}\``,
    level,
    says,
    instead,
  ]);
  assert.deepEqual(rows, real);
});

test('each thing that is found at a cluster is documented with its words, and no other', () => {
  const rows = rowsOf(PAGE, 'found at the cluster', 'what');
  assert.deepEqual(
    rows,
    Object.entries(AROUND).map(([name, says]) => [`\`${name}\``, says]),
  );
});

test('the commands of the page run, and find what is shown', async () => {
  const { cli } = await buildBundles();
  const home = temporaryFolder('audit-page');
  mkdirSync(path.join(home, '.kube'), { mode: 0o700 });
  const users = '- name: admin\n  user:\n    token: CANARY\n- name: build\n  user:\n    exec: {command: aws}\n';
  const text = `apiVersion: v1\nkind: Config\nclusters: []\ncontexts: []\n\n\n\nusers:\n${users}`;
  writeFileSync(path.join(home, '.kube/config'), text, { mode: 0o640 });
  const env = { HOME: home, PATH: '/usr/bin:/bin' };
  const lines = blocks(PAGE, 'sh').flatMap((block) => block.trim().split('\n'));
  const ours = lines.filter((line) => line.startsWith('kubectl curfew '));
  assert.ok(ours.length >= 4, `${ours.length}`);
  const node = process.execPath;
  for (const line of ours) {
    const command = line.replace('kubectl curfew', `"$0" "$1"`);
    const { code, stdout, stderr } = await run('/bin/sh', ['-c', command, node, cli], { env, cwd: home });
    // With --fix somebody has to be asked.
    assert.equal(code, line.includes('--fix') ? 64 : 1, `${line}: ${stderr}`);
    assert.doesNotMatch(stdout, /CANARY/);
  }
  const [shown = ''] = blocks(PAGE, 'console');
  const { stdout } = await run(node, [cli, 'audit', 'kubeconfig'], { env });
  const rows = shown.trimEnd().split('\n').slice(2);
  assert.ok(rows.length >= 4);
  for (const row of rows) assert.ok(stdout.split('\n').includes(row), `${row}\n${stdout}`);
});
