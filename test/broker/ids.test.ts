// Ids that people type.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { randomId } from '../../broker/tokens/random.ts';

test('a session id is 128 random bits that no command line takes for a flag', () => {
  const ids = Array.from({ length: 5000 }, () => randomId());
  assert.equal(new Set(ids).size, ids.length);
  for (const id of ids) assert.match(id, /^[A-Za-z0-9_][A-Za-z0-9_-]{21}$/);
});
