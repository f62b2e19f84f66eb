// Durations: what parses, what does not, and that what is written reads back the same.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatDuration, LONGEST, parseDuration, sayDuration } from '../../shared/duration.ts';
import { isSeconds, seconds } from '../../shared/time.ts';

const setting = fc.integer({ min: 1, max: LONGEST }).map(seconds);
const SIZE = { s: 1, m: 60, h: 3600, d: 86_400 } as const;

test('a duration is one whole positive number and one unit', () => {
  assert.equal(parseDuration('1s'), 1);
  assert.equal(parseDuration('90s'), 90);
  assert.equal(parseDuration('15m'), 900);
  assert.equal(parseDuration('8h'), 28_800);
  assert.equal(parseDuration('7d'), 604_800);
});

test('a year is the longest duration', () => {
  assert.equal(parseDuration('366d'), LONGEST);
  assert.equal(parseDuration('31622400s'), LONGEST);
  assert.equal(parseDuration('31622401s'), undefined);
  assert.equal(parseDuration('367d'), undefined);
  assert.equal(parseDuration('99999999d'), undefined);
});

const WRONG: readonly unknown[] = [
  '',
  '0',
  '0s',
  '00s',
  '01s',
  '15',
  '15 m',
  '15 min',
  '15min',
  ' 15m',
  '15m ',
  '15m\n',
  '\n15m',
  '-15m',
  '+15m',
  '1.5h',
  '1,5h',
  '1h30m',
  '15M',
  '15S',
  'm',
  'P1D',
  'PT15M',
  '1e3s',
  '0x10s',
  '１５m',
  '15ms',
  '15us',
  '1w',
  '1y',
  'Infinitys',
  'NaNs',
  '9007199254740993s',
  '1000000000s',
  'forever',
  '15m15m',
  '15m\u0000',
  null,
  undefined,
  0,
  900,
  true,
  [],
  ['15m'],
  {},
  { valueOf: () => '15m' },
];

test('everything else is no duration', () => {
  for (const text of WRONG) assert.equal(parseDuration(text), undefined, `${JSON.stringify(text)} parsed`);
});

test('what formatDuration writes parses back to the same length', () => {
  fc.assert(fc.property(setting, (length) => assert.equal(parseDuration(formatDuration(length)), length)));
  for (const [unit, size] of Object.entries(SIZE)) {
    for (let count = 1; count * size <= 4 * SIZE.d; count += unit === 's' ? 59 : 1) {
      assert.equal(parseDuration(formatDuration(seconds(count * size))), count * size);
    }
  }
});

test('what parses means its number times its unit, and formats to something no longer', () => {
  const written = fc.tuple(fc.integer({ min: 1, max: 99_999_999 }), fc.constantFrom('s', 'm', 'h', 'd'));
  fc.assert(
    fc.property(written, ([count, unit]) => {
      const length = parseDuration(`${count}${unit}`);
      assert.equal(length, count * SIZE[unit] <= LONGEST ? count * SIZE[unit] : undefined);
      if (length !== undefined) assert.ok(parseDuration(formatDuration(length)) === length);
    }),
  );
});

test('garbage never throws and never parses to anything but whole positive seconds up to a year', () => {
  const near = fc.array(fc.constantFrom('0', '1', '9', 's', 'm', 'h', 'd', '-', '.', ' ', 'e'), { maxLength: 10 });
  const garbage = fc.oneof(
    fc.anything(),
    fc.string({ unit: 'binary' }),
    near.map((characters) => characters.join('')),
  );
  fc.assert(
    fc.property(garbage, (text) => {
      const length = parseDuration(text);
      if (length === undefined) return;
      assert.ok(isSeconds(length) && length > 0 && length <= LONGEST);
      assert.match(String(text), /^[1-9]\d*[smhd]$/);
    }),
    { numRuns: 5000 },
  );
});

test('a length is formatted in its largest whole unit, a single day in hours', () => {
  for (const text of ['1s', '59s', '90s', '1m', '15m', '90m', '1h', '8h', '24h', '2d', '7d', '366d']) {
    assert.equal(formatDuration(parseDuration(text) ?? seconds(0)), text);
  }
  assert.equal(formatDuration(seconds(60)), '1m');
  assert.equal(formatDuration(seconds(86_400)), '24h');
  assert.equal(formatDuration(seconds(0)), '0s');
});

test('a person is told at most two units, rounded down', () => {
  const said: readonly (readonly [number, string])[] = [
    [0, '0s'],
    [45, '45s'],
    [119, '119s'],
    [120, '2m'],
    [1109, '18m'],
    [3599, '59m'],
    [3600, '1h'],
    [3659, '1h'],
    [3900, '1h 5m'],
    [86_399, '23h 59m'],
    [86_400, '1d'],
    [86_460, '1d'],
    [266_400, '3d 2h'],
  ];
  for (const [length, text] of said) assert.equal(sayDuration(seconds(length)), text);
});

test('what a person is told is never more than the length and less than its last unit short of it', () => {
  fc.assert(
    fc.property(fc.maxSafeNat().map(seconds), (length) => {
      const text = sayDuration(length);
      assert.match(text, /^\d+[smhd]( \d+[smhd])?$/);
      const parts = text.split(' ').map((part) => ({ count: Number(part.slice(0, -1)), unit: part.slice(-1) }));
      const told = parts.reduce((sum, { count, unit }) => sum + count * SIZE[unit as keyof typeof SIZE], 0);
      assert.ok(told <= length);
      assert.ok(length < 120 ? told === length : length - told < (length >= SIZE.d ? SIZE.h : SIZE.m));
    }),
  );
});
