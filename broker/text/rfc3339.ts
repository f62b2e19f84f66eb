// Times as people write them for the policy: RFC 3339, to the second.

import { fromMilliseconds, type Seconds } from '../../shared/time.ts';

const FORM =
  /^(\d{4})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])[Tt]([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)$/;

/** @returns the instant, a fraction rounded down; `undefined` for anything else, a day that its month has not, and before 1970 */
export function parseTime(text: unknown): Seconds | undefined {
  if (typeof text !== 'string') return undefined;
  const [, year, month, day] = FORM.exec(text) ?? [];
  if (year === undefined || Number(day) > daysOf(Number(year), Number(month))) return undefined;
  const at = Date.parse(text.toUpperCase());
  return at >= 0 ? fromMilliseconds(at) : undefined;
}

function daysOf(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28;
  return [4, 6, 9, 11].includes(month) ? 30 : 31;
}

export function formatTime(at: Seconds): string {
  return new Date(at * 1000).toISOString().replace('.000Z', 'Z');
}
