// docs/migration.md: what it says that `audit kubeconfig` calls things, and the commands of ours that it shows.

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { FINDINGS } from '../../cli/audit/names.ts';
import { buildBundles } from '../../scripts/bundle.ts';
import { run } from '../../scripts/run.ts';
import { temporaryFolder } from '../cli/host.ts';
import { blocks, namesIn, ROOT, read } from './documents.ts';

const PAGE = read('docs/migration.md');
const section = (heading: string) => PAGE.split(`\n## ${heading}\n`)[1]?.split('\n## ')[0] ?? '';

/** Of which files of the corpus each section speaks. */
const SPOKEN: Readonly<Record<string, readonly string[]>> = {
  'From kubelogin': ['kubelogin', 'kubelogin-absolute', 'kubelogin-secret', 'aks-kubelogin', 'aks-kubelogin-spn'],
  'From Pinniped': ['pinniped', 'pinniped-static', 'pinniped-static-env'],
};

test('the findings that each section names are those of the kubeconfigs that it speaks of', () => {
  for (const [heading, files] of Object.entries(SPOKEN)) {
    const named = namesIn(section(heading)).filter((name) => name in FINDINGS);
    const found = files.flatMap((file) => {
      const text = readFileSync(path.join(ROOT, `test/cli/kubeconfigs/${file}.yaml`), 'utf8');
      return (/^# finds: (.*)$/m.exec(text)?.[1] ?? '').split(' ');
    });
    assert.deepEqual([...new Set(named)].toSorted(), [...new Set(found)].toSorted(), heading);
  }
});

test('the commands of ours are commands of the programs, and ask before they change anything', async () => {
  const { cli, broker } = await buildBundles();
  const home = temporaryFolder('migration-page');
  mkdirSync(path.join(home, '.kube'), { mode: 0o700 });
  const text = 'apiVersion: v1\nkind: Config\nusers: [{name: a, user: {token: CANARY}}]\n';
  writeFileSync(path.join(home, '.kube/config'), text, { mode: 0o600 });
  const env = { HOME: home, PATH: '/usr/bin:/bin' };
  const lines = blocks(PAGE, 'sh').flatMap((block) => block.trim().split('\n'));
  const exits: Record<string, number | null> = {};
  for (const line of lines.filter((one) => /^(?:kubectl curfew|curfew-broker) /.test(one))) {
    const program = line.startsWith('curfew-broker') ? broker : cli;
    const words = line.replace(/^(?:kubectl curfew|curfew-broker) /, '').split(' ');
    exits[line] = (await run(process.execPath, [program, ...words], { env, cwd: home })).code;
  }
  assert.deepEqual(exits, {
    'kubectl curfew audit kubeconfig': 1,
    // There is no such configuration here.
    'curfew-broker check --config curfew-broker.yaml --kubeconfig admin.kubeconfig': 78,
    'kubectl curfew audit kubeconfig --fix': 64,
  });
  assert.equal(readFileSync(path.join(home, '.kube/config'), 'utf8'), text);
});
