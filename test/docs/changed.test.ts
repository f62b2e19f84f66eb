// `npm test -- --changed`: nearest first, bounded, and what is left out is counted.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { chooseTests, importersIn } from '../changed.ts';
import { ROOT } from './documents.ts';

const importers = importersIn(ROOT);
const choose = (...changed: readonly string[]) =>
  chooseTests(changed, importers, (file) => existsSync(path.join(ROOT, file)));

describe('the tests of what was changed', () => {
  it('are the changed tests themselves, whatever they are, and no file that is gone', () => {
    assert.deepEqual(choose('test/e2e/story.test.ts', 'test/broker/gone.test.ts').files, ['test/e2e/story.test.ts']);
  });

  it('begin with those that import it: of shared/ its own, none that starts a cluster', () => {
    const { files, left_out } = choose('shared/duration.ts');
    assert.ok(files.includes('test/shared/duration.test.ts'), files.join(' '));
    assert.ok(files.length <= 9 && !files.some((file) => file.startsWith('test/e2e/')), files.join(' '));
    assert.ok(left_out > 50, `${left_out}`);
  });

  it('of a room are those of its workspace before others as near', () => {
    const { files } = choose('broker/net/network.ts');
    assert.ok(
      files.some((file) => file.startsWith('test/broker/')),
      files.join(' '),
    );
    assert.ok(files.includes('test/shared/rooms.test.ts'));
  });

  it('of a document, and of a package, are those that compare', () => {
    assert.deepEqual(choose('docs/codes.md'), { files: ['test/docs/docs.test.ts'], left_out: 0 });
    assert.ok(choose('package.json').files.includes('test/docs/docs.test.ts'));
  });

  it('go by rings: nearer ones first, each file once, also in a circle', () => {
    const graph = new Map([
      ['shared/a.ts', ['shared/b.ts', 'test/x/far.test.ts']],
      ['shared/b.ts', ['shared/a.ts', 'test/shared/b.test.ts', 'test/x/b.test.ts']],
    ]);
    assert.deepEqual(chooseTests(['shared/a.ts'], graph).files, [
      'test/shared/rooms.test.ts',
      'test/x/far.test.ts',
      'test/shared/b.test.ts',
      'test/x/b.test.ts',
    ]);
  });

  it('are none where nothing has any', () => {
    assert.deepEqual(choose('LICENSE'), { files: [], left_out: 0 });
  });
});
