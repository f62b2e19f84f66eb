// How many programs of the control plane are built side by side.

import assert from 'node:assert/strict';
import { it } from 'node:test';
import { buildsAtOnce } from './build.ts';

const GIB = 2 ** 30;

it('two builds run side by side where memory and processors allow it, else one', () => {
  assert.equal(buildsAtOnce(16 * GIB, 4), 2);
  assert.equal(buildsAtOnce(6 * GIB, 2), 2);
  assert.equal(buildsAtOnce(5 * GIB, 8), 1);
  assert.equal(buildsAtOnce(16 * GIB, 1), 1);
  assert.equal(buildsAtOnce(0, 2), 1);
});
