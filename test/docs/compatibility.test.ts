// docs/compatibility.md: what is called tested names versions that the tests have, and files that are there.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { earlier_api_servers, k9s, programs } from '../cluster/versions.ts';
import { releasesOf } from '../support/releases.ts';
import { namesIn, ROOT, read } from './documents.ts';

const PAGE = read('docs/compatibility.md');
const rows = PAGE.split('\n').filter((line) => line.startsWith('| ') && line.endsWith(' |'));
const tested = rows.filter((row) => /\| tested/.test(row));
const installed = (name: string): string =>
  JSON.parse(readFileSync(path.join(ROOT, 'node_modules', name, 'package.json'), 'utf8')).version;

test('each file that is named is there', () => {
  const files = rows.flatMap((row) => namesIn(row)).filter((name) => name.startsWith('test/'));
  assert.ok(files.length >= 12);
  for (const file of files) assert.ok(existsSync(path.join(ROOT, file)), file);
});

test('the versions that are called tested are those that tests have', () => {
  const has = (what: string) =>
    assert.ok(
      tested.some((row) => row.includes(what)),
      what,
    );
  has(`| ${programs.kubeApiserver.module.version} | tested |`);
  has(`etcd ${programs.etcd.module.version}`);
  has(`kubectl ${programs.kubectl.module.version}`);
  for (const { module } of earlier_api_servers) has(module.version);
  has(`k9s ${k9s.module.version}`);
  has(`JavaScript client ${installed('@kubernetes/client-node')}`);
  has(`oidc-provider ${installed('oidc-provider')}`);
  has(`Node.js ${installed('node')}`);
  has(`| ${releasesOf('kubectl-curfew').join(', ')} | this release | tested |`);
  for (const version of releasesOf('curfew-broker')) has(`| this release | ${version} | tested |`);
  const { engines } = JSON.parse(read('cli/package.json')) as { engines: { node: string } };
  assert.ok(PAGE.includes(`Node.js ${engines.node.replace('>=', '')} and later`));
});
