// Durations and times: against arithmetic by hand, and `Date`.

import assert from 'node:assert/strict';
import { formatTime, parseTime } from '../../../broker/text/rfc3339.ts';
import { formatDuration, LONGEST, parseDuration, sayDuration } from '../../../shared/duration.ts';
import { numericDate } from '../../../shared/time.ts';
import { type Targets, textOf } from '../target.ts';

const SIZES: Readonly<Record<string, bigint>> = { s: 1n, m: 60n, h: 3600n, d: 86_400n };

function lengthByHand(text: string): number | undefined {
  const digits = text.slice(0, -1);
  const size = SIZES[text.slice(-1)];
  if (size === undefined || digits === '' || digits.startsWith('0')) return undefined;
  if ([...digits].some((digit) => !'0123456789'.includes(digit))) return undefined;
  const length = BigInt(digits) * size;
  return length <= BigInt(LONGEST) ? Number(length) : undefined;
}

/** RFC 3339 5.6, field by field. */
function timeByHand(text: string): number | undefined {
  const upper = text.toUpperCase();
  const [, date = '', clock = '', fraction = '', zone = ''] =
    /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/.exec(upper) ?? [];
  const [year = NaN, month = NaN, day = NaN] = date.split('-').map(Number);
  const [hours = NaN, minutes = NaN, seconds = NaN] = clock.split(':').map(Number);
  const [away = 0, awayMinutes = 0] = zone === 'Z' ? [] : zone.slice(1).split(':').map(Number);
  if (hours > 23 || minutes > 59 || seconds > 59 || away > 23 || awayMinutes > 59) return undefined;
  const noon = new Date(0);
  noon.setUTCFullYear(year, month - 1, day);
  if (noon.getUTCMonth() !== month - 1 || noon.getUTCDate() !== day) return undefined;
  const offset = (away * 60 + awayMinutes) * (zone.startsWith('-') ? -60 : 60);
  const instant = noon.getTime() / 1000 + hours * 3600 + minutes * 60 + seconds - offset;
  return instant + Number(`0${fraction}`) >= 0 ? instant : undefined;
}

export const times: Targets = {
  duration: {
    seeds: ['90s', '15m', '8h', '7d', '366d', '31622400s'],
    run(input) {
      const text = textOf(input);
      const length = parseDuration(text);
      assert.equal(length, lengthByHand(text), 'another length');
      if (length === undefined) return;
      assert.equal(parseDuration(formatDuration(length)), length, 'not the same when it is read again');
      assert.match(sayDuration(length), /^\d+[smhd]( \d+[smh])?$/);
    },
  },
  time: {
    seeds: ['2026-07-01T12:00:00Z', '2024-02-29t23:59:59.5+05:30', '1970-01-01T00:00:00-00:01', '9999-12-31T23:59:59Z'],
    run(input) {
      const text = textOf(input);
      const instant = parseTime(text);
      assert.equal(instant, timeByHand(text), 'another instant');
      if (instant !== undefined && instant <= 253_402_300_799)
        assert.equal(parseTime(formatTime(instant)), instant, 'not the same when it is read again');
    },
  },
  numeric_date: {
    seeds: ['1800000000', '1800000000.5', '1e3', '-1', '"1800000000"', '1e-40'],
    run(input) {
      let value: unknown;
      try {
        value = JSON.parse(textOf(input));
      } catch {
        return;
      }
      const [down, up] = [numericDate(value, 'down'), numericDate(value, 'up')];
      if (down === undefined && up === undefined) return;
      assert.ok(typeof value === 'number' && value >= 0);
      assert.ok(down !== undefined && down <= value && value < down + 1, 'down');
      if (up !== undefined) assert.ok(up >= value && up - 1 < value, 'up');
    },
  },
};
