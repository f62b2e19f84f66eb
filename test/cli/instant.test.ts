// How instants are told to a person: by the local time, with the date where it is another day's, at any hour and in any zone.

import assert from 'node:assert/strict';
import { after, it } from 'node:test';
import fc from 'fast-check';
import { sayInstant } from '../../cli/warm/instant.ts';
import { type Seconds, seconds } from '../../shared/time.ts';

const before = process.env.TZ;
after(() => {
  if (before === undefined) delete process.env.TZ;
  else process.env.TZ = before;
});

const at = (text: string): Seconds => seconds(Date.parse(text) / 1000);

for (const [what, zone, now, instant, said] of [
  ['the same day', 'UTC', '2026-11-26T14:00:00Z', '2026-11-26T14:05:59Z', '14:05'],
  ['the last minute of the day', 'UTC', '2026-11-26T23:59:59Z', '2026-11-26T23:59:00Z', '23:59'],
  ['past midnight', 'UTC', '2026-11-26T23:36:00Z', '2026-11-27T00:36:00Z', '2026-11-27 00:36'],
  ['the day before', 'UTC', '2026-11-27T00:00:00Z', '2026-11-26T23:59:59Z', '2026-11-26 23:59'],
  ['the same time on another day', 'UTC', '2026-11-26T10:00:00Z', '2026-11-27T10:00:00Z', '2026-11-27 10:00'],
  ['the same day of another month', 'UTC', '2026-11-26T10:00:00Z', '2026-12-26T10:00:00Z', '2026-12-26 10:00'],
  ['a new year', 'UTC', '2026-12-31T23:30:00Z', '2027-01-01T00:30:00Z', '2027-01-01 00:30'],
  ['into a leap day', 'UTC', '2028-02-28T23:30:00Z', '2028-02-29T00:30:00Z', '2028-02-29 00:30'],
  ['out of a leap day', 'UTC', '2028-02-29T23:30:00Z', '2028-03-01T00:30:00Z', '2028-03-01 00:30'],
  ['no leap day in 2100', 'UTC', '2100-02-28T23:30:00Z', '2100-03-01T00:30:00Z', '2100-03-01 00:30'],
  ['a zone with half an hour', 'Asia/Kolkata', '2026-11-26T18:00:00Z', '2026-11-26T18:29:59Z', '23:59'],
  ['midnight there', 'Asia/Kolkata', '2026-11-26T18:00:00Z', '2026-11-26T18:30:00Z', '2026-11-27 00:00'],
  ['a zone with three quarters', 'Asia/Kathmandu', '2026-11-26T18:00:00Z', '2026-11-26T18:14:59Z', '23:59'],
  ['a day ahead of UTC', 'Pacific/Kiritimati', '2026-11-26T10:00:00Z', '2026-11-26T10:30:00Z', '00:30'],
  ['summer time begins', 'Europe/Berlin', '2027-03-28T00:59:59Z', '2027-03-28T01:00:00Z', '03:00'],
  ['summer time ends', 'Europe/Berlin', '2026-10-25T00:30:00Z', '2026-10-25T01:30:00Z', '02:30'],
  ['a change by half an hour', 'Australia/Lord_Howe', '2026-10-03T15:00:00Z', '2026-10-03T15:30:00Z', '02:30'],
  ['midnight is left out', 'Africa/Cairo', '2026-04-23T21:59:00Z', '2026-04-23T22:00:00Z', '2026-04-24 01:00'],
] as const) {
  it(`${what}: ${said}`, () => {
    process.env.TZ = zone;
    assert.equal(sayInstant(at(instant), at(now)), said);
  });
}

it('reads back as the same minute, in every zone: the date is left out on the same day alone', () => {
  const zones = Intl.supportedValuesOf('timeZone');
  const day = 86_400;
  fc.assert(
    fc.property(
      fc.constantFrom(...zones),
      fc.integer({ min: at('2026-01-01T00:00:00Z'), max: at('2032-01-01T00:00:00Z') }),
      fc.integer({ min: -2 * day, max: 2 * day }),
      (zone, now, distance) => {
        process.env.TZ = zone;
        const instant = now + distance;
        const said = sayInstant(seconds(instant), seconds(now));
        const local = new Intl.DateTimeFormat('sv-SE', { dateStyle: 'short', timeStyle: 'short' });
        const [whole, today] = [local.format(new Date(instant * 1000)), local.format(new Date(now * 1000))];
        assert.equal(said.length === 5 ? `${today.slice(0, 10)} ${said}` : said, whole);
        assert.equal(said.length === 5, whole.slice(0, 10) === today.slice(0, 10));
      },
    ),
    { numRuns: 300 },
  );
});
