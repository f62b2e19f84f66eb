// The released programs that are kept: those of each release, as the page beside them says.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { releasesOf } from '../support/releases.ts';
import { namesIn, ROOT, read, rowsOf } from './documents.ts';

test('the plugin of each release of the changelog is kept, before the one that is being made', () => {
  const [current, ...released] = [...read('CHANGELOG.md').matchAll(/^## (\d+\.\d+\.\d+)$/gm)].map(
    ([, version]) => version,
  );
  assert.equal(current, (JSON.parse(read('package.json')) as { version: string }).version);
  assert.ok(released.length >= 4);
  assert.deepEqual(releasesOf('kubectl-curfew'), released.toReversed());
});

test('each file is what the page says', () => {
  const rows = rowsOf(read('test/releases/README.md'), 'file', 'built from', 'SHA-256');
  assert.equal(rows.length, releasesOf('kubectl-curfew').length + releasesOf('curfew-broker').length);
  for (const [file = '', , digest = ''] of rows) {
    const [name = '', wanted] = [namesIn(file)[0], namesIn(digest)[0]];
    const content = readFileSync(path.join(ROOT, 'test/releases', name));
    assert.equal(createHash('sha256').update(content).digest('hex'), wanted, name);
  }
});
