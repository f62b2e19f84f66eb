// A point in time as rules see it: compared, and read off a wall clock in a named zone. Each zone is worked out once for
// all rules that ask, as that takes a hundred times as long as a rule does.

import type { Environment } from '@marcbachmann/cel-js';
import { memo } from '../../shared/memo.ts';
import type { Seconds } from '../../shared/time.ts';

export class Moment {
  readonly at: Date;
  readonly #walls = new Map<string, Date>();

  constructor(at: Seconds) {
    this.at = new Date(at * 1000);
  }

  /**
   * What clocks in a zone show, as the UTC parts of a `Date`.
   *
   * @throws RangeError for a zone that nobody knows
   */
  wall(zone: string): Date {
    const seen = this.#walls.get(zone) ?? wallOf(this.at, zone);
    this.#walls.set(zone, seen);
    return seen;
  }
}

/** Zones come from the policy and from labels, so there are few; more than this many are not kept. */
const MOST = 1_000;

/** Whether a text names a time zone, such as `Europe/Berlin` or `+01:00`. */
export function isZone(zone: string): boolean {
  try {
    return formatOf(zone) !== undefined;
  } catch {
    return false;
  }
}

const formatOf = memo(MOST, (zone: string): Intl.DateTimeFormat => {
  const [n, two] = ['numeric', '2-digit'] as const;
  return new Intl.DateTimeFormat('en-US', {
    ...{ timeZone: zone, calendar: 'gregory', numberingSystem: 'latn', hourCycle: 'h23' },
    ...{ year: n, month: n, day: n, hour: n, minute: two, second: two },
  });
});

function wallOf(at: Date, zone: string): Date {
  const parts = new Map(
    formatOf(zone)
      .formatToParts(at)
      .map(({ type, value }) => [type, Number(value)]),
  );
  const [year = Number.NaN, month = Number.NaN, ...rest] = (
    ['year', 'month', 'day', 'hour', 'minute', 'second'] as const
  ).map((part) => parts.get(part) ?? Number.NaN);
  return new Date(Date.UTC(year, month - 1, ...rest));
}

/** As the CEL specification has them: months, days of the month and of the year count from 0, Sunday is 0. */
const PARTS: Readonly<Record<string, (wall: Date) => number>> = {
  getFullYear: (wall) => wall.getUTCFullYear(),
  getMonth: (wall) => wall.getUTCMonth(),
  getDate: (wall) => wall.getUTCDate(),
  getDayOfMonth: (wall) => wall.getUTCDate() - 1,
  getDayOfWeek: (wall) => wall.getUTCDay(),
  getDayOfYear: (wall) => (startOfDay(wall) - Date.UTC(wall.getUTCFullYear(), 0)) / DAY_MS,
  getHours: (wall) => wall.getUTCHours(),
  getMinutes: (wall) => wall.getUTCMinutes(),
  getSeconds: (wall) => wall.getUTCSeconds(),
};
const DAY_MS = 86_400_000;

function startOfDay(wall: Date): number {
  return Math.floor(wall.getTime() / DAY_MS) * DAY_MS;
}

/** Whether a method reads a part of a time in a zone, its one argument. */
export function takesZone(method: string): boolean {
  return Object.hasOwn(PARTS, method);
}

const COMPARISONS: Readonly<Record<string, (a: Date, b: Date) => boolean>> = {
  '<': (a, b) => a < b,
  '<=': (a, b) => a <= b,
  '>': (a, b) => a > b,
  '>=': (a, b) => a >= b,
};

/** Teaches the language the type `Time`: parts in a zone (UTC without one), comparison with `timestamp(...)`. */
export function registerMoment(environment: Environment): Environment {
  const stamp = 'google.protobuf.Timestamp';
  const sync = { async: false };
  environment.registerType('Time', { ctor: Moment, fields: {} });
  for (const [name, part] of Object.entries(PARTS)) {
    environment
      .registerFunction(`Time.${name}(): int`, (time: Moment) => BigInt(part(time.at)), sync)
      .registerFunction(
        `Time.${name}(string): int`,
        (time: Moment, zone: string) => BigInt(part(time.wall(zone))),
        sync,
      );
  }
  for (const [operator, holds] of Object.entries(COMPARISONS)) {
    environment
      .registerOperator(`Time ${operator} ${stamp}: bool`, (time: Moment, other: Date) => holds(time.at, other))
      .registerOperator(`${stamp} ${operator} Time: bool`, (other: Date, time: Moment) => holds(other, time.at));
  }
  return environment;
}
