// Local time in tests: what a program may say of an instant, and a zone in which the day is about to end.

/** The source of a pattern for an instant as a person reads it: `14:05`, on another day `2026-11-27 00:05`. */
export const INSTANT = String.raw`(?:\d{4}-\d\d-\d\d )?\d\d:\d\d`;

/** Seconds since midnight, and what a clock on the wall there says. */
export interface WallTime {
  readonly zone: string;
  readonly seconds: number;
  readonly text: string;
}

/** What tells a program the local time: the zone, and where the tests' own clock is bent by libfaketime, the same bend. */
export function localTime(): Readonly<Record<string, string>> {
  const names = ['TZ', 'LD_PRELOAD', 'FAKETIME', 'FAKETIME_DONT_FAKE_MONOTONIC', 'FAKETIME_NO_CACHE'] as const;
  return Object.fromEntries(
    names.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])),
  );
}

/** One for each whole hour, and those that lie between. */
const ZONES: readonly string[] = [
  ...Array.from({ length: 27 }, (_, hour) =>
    `Etc/GMT${hour > 14 ? `+${hour - 14}` : hour - 14}`.replace('GMT0', 'GMT'),
  ),
  ...['Asia/Kolkata', 'Asia/Kathmandu', 'Asia/Yangon', 'Australia/Darwin', 'Asia/Tehran', 'America/St_Johns'],
  ...['Pacific/Marquesas', 'Pacific/Chatham', 'Australia/Eucla', 'Asia/Kabul'],
];

/** The zone in which midnight is nearest, of those that are ahead of it: less than an hour away. */
export function zoneBeforeMidnight(now: Date): WallTime {
  const walls = ZONES.map((zone) => wallTime(now, zone));
  return walls.reduce((late, wall) => (wall.seconds > late.seconds ? wall : late));
}

export function wallTime(now: Date, zone: string): WallTime {
  const format = new Intl.DateTimeFormat('en-GB', { timeZone: zone, timeStyle: 'medium', hourCycle: 'h23' });
  const text = format.format(now);
  const [hours = 0, minutes = 0, seconds = 0] = text.split(':').map(Number);
  return { zone, seconds: hours * 3600 + minutes * 60 + seconds, text: text.slice(0, 5) };
}
