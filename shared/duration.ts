// Durations as people write them in settings and flags, and as messages say them.

import { isSeconds, type Seconds, seconds } from './time.ts';

const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };
const FORM = /^([1-9][0-9]{0,7})([smhd])$/;

/** The longest length a setting may name: a year. Longer is a mistake, not a policy. */
export const LONGEST = seconds(366 * 86_400);

/**
 * Parses `90s`, `15m`, `8h` or `7d`: one whole positive number and one unit.
 *
 * @returns the length, or `undefined` for anything else (zero, fractions, signs, several units, more than a year).
 */
export function parseDuration(text: unknown): Seconds | undefined {
  if (typeof text !== 'string') return undefined;
  const [, digits, unit] = FORM.exec(text) ?? [];
  if (digits === undefined || unit === undefined) return undefined;
  const length = Number(digits) * (UNITS[unit] ?? Number.NaN);
  return isSeconds(length) && length <= LONGEST ? length : undefined;
}

/** A length in its largest whole unit, as a setting would have it: `90s`, `15m`, `8h`. Parses back to the same length. */
export function formatDuration(length: Seconds): string {
  for (const [unit, size] of [
    ['d', 86_400],
    ['h', 3600],
    ['m', 60],
  ] as const) {
    if (length > 0 && length % size === 0 && (unit !== 'd' || length >= 2 * size)) return `${length / size}${unit}`;
  }
  return `${length}s`;
}

/** A length as a person says it, at most two units and rounded down: `45s`, `18m`, `1h 5m`, `3d 2h`. */
export function sayDuration(length: Seconds): string {
  if (length < 120) return `${length}s`;
  const parts: [number, string][] = [
    [Math.floor(length / 86_400), 'd'],
    [Math.floor(length / 3600) % 24, 'h'],
    [Math.floor(length / 60) % 60, 'm'],
  ];
  const first = parts.findIndex(([count]) => count > 0);
  return parts
    .slice(first, first + 2)
    .filter(([count]) => count > 0)
    .map(([count, unit]) => `${count}${unit}`)
    .join(' ');
}
