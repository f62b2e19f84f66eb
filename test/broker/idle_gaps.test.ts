// Times without use, kept short: what is kept denies what all of them denied.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseGaps, textOfGaps } from '../../broker/sessions/gap_text.ts';
import { condense } from '../../broker/sessions/idle_gaps.ts';
import type { Gap } from '../../shared/session.ts';
import { seconds } from '../../shared/time.ts';

const parts = { start: fc.nat(2000), length: fc.integer({ min: 1, max: 400 }) };
const gap = fc.record(parts, { noNullPrototype: true });
const gaps = fc.array(gap, { maxLength: 60 }) as fc.Arbitrary<Gap[]>;
const denies = (list: readonly Gap[], auth_time: number, timeout: number) =>
  list.some(({ start, length }) => length >= timeout && auth_time < start + timeout);

test('S18 the gaps that are kept deny what all of them denied, and no more while they are few', () => {
  fc.assert(
    fc.property(gaps, fc.nat(2500), fc.integer({ min: 1, max: 400 }), (all, auth_time, timeout) => {
      const kept = condense(all);
      if (denies(all, auth_time, timeout)) assert.ok(denies(kept, auth_time, timeout));
      else if (kept.length < 32) assert.ok(!denies(kept, auth_time, timeout));
      assert.deepEqual(condense(kept), kept);
      assert.deepEqual(parseGaps(textOfGaps(kept)), kept);
    }),
  );
});

test('S18 however many gaps there are, few are kept, and they deny what any of them did', () => {
  const all = Array.from({ length: 500 }, (_, i) => ({ start: seconds(i * 1000), length: seconds(600 - i) }));
  const kept = condense(all);
  assert.equal(kept.length, 32);
  for (const { start, length } of all) assert.ok(denies(kept, start + length - 1, length));
});
