// Time as the engine knows it: whole seconds, as instants (NumericDate, RFC 7519 2) or as lengths. No clock is read here.

declare const unit: unique symbol;

/** Whole seconds: an instant since 1970-01-01T00:00:00Z, or a length of time. Never fractional, never negative, always safe. */
export type Seconds = number & { readonly [unit]: 'seconds' };

/** The clock of a program, made in its `main.ts` and passed on. */
export type Clock = () => Seconds;

/** @throws TypeError when `value` is no whole, safe, non-negative number: a caller's bug, not bad input. */
export function seconds(value: number): Seconds {
  if (!isSeconds(value)) throw new TypeError(`not whole seconds: ${value}`);
  return value;
}

/** Whether a value from outside is whole, safe, non-negative seconds. */
export function isSeconds(value: unknown): value is Seconds {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

/**
 * A NumericDate of others, which may have a fraction (RFC 7519 2), as whole seconds: rounded to the side that is strict where it is
 * used.
 *
 * @returns `undefined` for anything but a number from 0 to the safe integers
 */
export function numericDate(value: unknown, round: 'down' | 'up'): Seconds | undefined {
  if (typeof value !== 'number' || value < 0) return undefined;
  const whole = round === 'down' ? Math.floor(value) : Math.ceil(value);
  return isSeconds(whole) ? whole : undefined;
}

/** The instant of a `Date.now()` (milliseconds), rounded down: nothing is over early, and an end is exact to the second. */
export function fromMilliseconds(ms: number): Seconds {
  return seconds(Math.floor(ms / 1000));
}

/** Whether an exclusive end has come: at `now >= end` it is over (RFC 7519 4.1.4). */
export function over(end: Seconds, now: Seconds): boolean {
  return now >= end;
}

/** `a + b`, kept within the safe integers, so that no length however absurd turns an end around. */
export function plus(a: Seconds, b: Seconds): Seconds {
  return Math.min(a + b, Number.MAX_SAFE_INTEGER) as Seconds;
}

/** The length from `start` to `end`, zero when `end` is earlier. */
export function between(start: Seconds, end: Seconds): Seconds {
  return Math.max(0, end - start) as Seconds;
}

export function latest(first: Seconds, ...rest: readonly Seconds[]): Seconds {
  return Math.max(first, ...rest) as Seconds;
}

export function earliest(first: Seconds, ...rest: readonly Seconds[]): Seconds {
  return Math.min(first, ...rest) as Seconds;
}

/** Seconds since some moment, by a clock that is never set. */
export type Stopwatch = () => number;
