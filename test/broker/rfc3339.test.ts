// Times in RFC 3339: what is one, and that it is read and written to the second.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatTime, parseTime } from '../../broker/text/rfc3339.ts';
import { seconds } from '../../shared/time.ts';

test('a time in any offset is an instant, a fraction is rounded down', () => {
  for (const [text, at] of [
    ['1970-01-01T00:00:00Z', 0],
    ['2027-01-15T08:00:00Z', 1_800_000_000],
    ['2027-01-15t08:00:00z', 1_800_000_000],
    ['2027-01-15T09:00:00+01:00', 1_800_000_000],
    ['2027-01-14T20:30:00-11:30', 1_800_000_000],
    ['2027-01-15T08:00:00.999Z', 1_800_000_000],
    ['2028-02-29T00:00:00Z', 1_835_395_200],
  ] as const) {
    assert.equal(parseTime(text), at, text);
  }
});

test('all else is none: days that are not, seconds that leap, no offset, times before 1970', () => {
  for (const text of [
    ...['', '2027', '2027-01-15', '2027-01-15T08:00:00', '2027-01-15 08:00:00Z', '2027-01-15T08:00Z', '1800000000'],
    ...['2027-02-29T00:00:00Z', '2100-02-29T00:00:00Z', '2027-04-31T00:00:00Z', '2027-13-01T00:00:00Z'],
    ...['2027-01-00T00:00:00Z', '2027-01-15T24:00:00Z', '2027-01-15T08:60:00Z', '2016-12-31T23:59:60Z'],
    ...['2027-01-15T08:00:00+24:00', '2027-01-15T08:00:00UTC', ' 2027-01-15T08:00:00Z', '1969-12-31T23:59:59Z'],
  ]) {
    assert.equal(parseTime(text), undefined, text);
  }
  for (const value of [undefined, null, 1_800_000_000, new Date(0), {}]) assert.equal(parseTime(value), undefined);
});

test('what is written is read back, and no text makes it throw', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 253_402_300_799 }), (at) => {
      assert.equal(parseTime(formatTime(seconds(at))), at);
    }),
  );
  fc.assert(fc.property(fc.string(), (text) => void parseTime(text)));
});
