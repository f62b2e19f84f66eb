import type { Seconds } from '../../shared/time.ts';

/** An instant of our clock as a person reads it: `14:05`, with the date when it is another day's. */
export function sayInstant(instant: Seconds, now: Seconds): string {
  const [then, today] = [new Date(instant * 1000), new Date(now * 1000)];
  const two = (part: number) => String(part).padStart(2, '0');
  const time = `${two(then.getHours())}:${two(then.getMinutes())}`;
  if (then.toDateString() === today.toDateString()) return time;
  return `${then.getFullYear()}-${two(then.getMonth() + 1)}-${two(then.getDate())} ${time}`;
}
