// Whole seconds: what may be one, and arithmetic that cannot turn an end around.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { between, earliest, fromMilliseconds, isSeconds, numericDate, over, plus, seconds } from '../../shared/time.ts';
import { MAX } from './arbitraries.ts';

const any = fc.oneof(fc.maxSafeNat(), fc.constantFrom(0, 1, MAX - 1, MAX)).map(seconds);
const NOT_SECONDS: readonly unknown[] = [
  -1,
  -MAX,
  0.5,
  Number.POSITIVE_INFINITY,
  Number.NaN,
  2 ** 53,
  1e21,
  '1',
  '1000000',
  null,
  undefined,
  true,
  [],
  [1],
  {},
  1n,
];

test('S4 whole seconds are whole, safe and not negative', () => {
  for (const value of [0, 1, 1_000_000, MAX]) assert.ok(isSeconds(value), `${value}`);
  for (const value of NOT_SECONDS) assert.ok(!isSeconds(value), `${String(value)}`);
});

test('T14 a NumericDate is the whole second before it or after it, and nothing else is one', () => {
  fc.assert(
    fc.property(fc.double({ min: 0, max: 2 ** 52, noNaN: true }), (instant) => {
      const [down, up] = [numericDate(instant, 'down'), numericDate(instant, 'up')];
      assert.ok(down !== undefined && up !== undefined && isSeconds(down) && isSeconds(up));
      assert.ok(down <= instant && instant - down <= 1 && up >= instant && up - instant <= 1);
    }),
  );
  for (const value of NOT_SECONDS.filter((value) => value !== 0.5)) {
    for (const round of ['down', 'up'] as const) assert.equal(numericDate(value, round), undefined, String(value));
  }
  for (const value of [-0.5, -Number.MIN_VALUE, Number.MAX_VALUE]) assert.equal(numericDate(value, 'up'), undefined);
});

test("seconds of anything else is a caller's bug", () => {
  for (const value of NOT_SECONDS) {
    if (typeof value === 'number') assert.throws(() => seconds(value), TypeError, `${value}`);
  }
});

test('an end is exclusive: over at the end, not one second before', () => {
  assert.ok(!over(seconds(10), seconds(9)));
  assert.ok(over(seconds(10), seconds(10)));
  assert.ok(over(seconds(10), seconds(11)));
});

test('milliseconds are rounded down to their second', () => {
  assert.equal(fromMilliseconds(0), 0);
  assert.equal(fromMilliseconds(999), 0);
  assert.equal(fromMilliseconds(1000), 1);
  assert.equal(fromMilliseconds(1_699_999_999_999), 1_699_999_999);
  assert.throws(() => fromMilliseconds(-1), TypeError);
  assert.throws(() => fromMilliseconds(Number.NaN), TypeError);
});

test('plus, between and earliest stay whole seconds and order', () => {
  fc.assert(
    fc.property(any, any, (a, b) => {
      assert.equal(plus(a, b), a + b <= MAX ? a + b : MAX);
      assert.ok(isSeconds(plus(a, b)) && plus(a, b) >= a && plus(a, b) >= b);
      assert.equal(between(a, b), b > a ? b - a : 0);
      assert.equal(earliest(a, b), a < b ? a : b);
      assert.equal(earliest(a), a);
    }),
  );
});
