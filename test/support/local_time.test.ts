import assert from 'node:assert/strict';
import { it } from 'node:test';
import { INSTANT, wallTime, zoneBeforeMidnight } from './local_time.ts';

it('there is a zone in which less than an hour of the day is left, at any instant', () => {
  const begin = Date.parse('2026-11-26T00:00:00Z');
  // Every 31 minutes for a day each, over the change of a year and into a leap day.
  const instants = [begin, Date.parse('2027-12-31T00:00:00Z'), Date.parse('2028-02-28T12:00:00Z')].flatMap((start) =>
    Array.from({ length: 49 }, (_, i) => new Date(start + i * 31 * 60_000)),
  );
  for (const instant of instants) {
    const { zone, seconds } = zoneBeforeMidnight(instant);
    assert.ok(seconds >= 23 * 3600, `${instant.toISOString()}: ${zone} has ${seconds} s since midnight`);
  }
});

it('wall time is that of the zone', () => {
  const instant = new Date('2026-11-26T18:15:30Z');
  assert.deepEqual(wallTime(instant, 'Asia/Kathmandu'), { zone: 'Asia/Kathmandu', seconds: 30, text: '00:00' });
});

it('an instant is a time, on another day with its date, and nothing else', () => {
  const pattern = new RegExp(`^${INSTANT}$`);
  for (const good of ['23:59', '2026-11-27 00:05']) assert.match(good, pattern);
  for (const bad of ['', '9:05', '2026-11-27', '2026-11-27T00:05', '00:05:01']) assert.doesNotMatch(bad, pattern);
});
