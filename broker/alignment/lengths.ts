// One length of a layer against one limit: how it is read, what zero or absence means there, and what is said of it.

import { sayDuration } from '../../shared/duration.ts';
import type { WholeLimits } from '../../shared/limits.ts';
import { type Seconds, seconds } from '../../shared/time.ts';
import type { Meaning, Timing } from '../layers_table/setting.ts';
import { nameOf } from '../layers_table/table.ts';
import { type Length, readLength } from '../layers_table/units.ts';
import type { FindingName } from './names.ts';

/** What a setting comes to. */
export type Effect =
  | { readonly is: 'length'; readonly ms: number; readonly by_default: boolean }
  | { readonly is: 'unbounded' }
  /** Nothing goes through, or the feature is off: no time to bound. */
  | { readonly is: 'nothing' }
  | { readonly is: 'misread'; readonly said: string };

/** @param value `undefined` where it is absent */
export function effectOf(row: Timing, value: unknown): Effect {
  if (value === undefined || value === null) return ofMeaning(row, row.absent);
  const length = readLength(row.unit, value);
  if (length === undefined) return { is: 'misread', said: sayWritten(value) };
  if (length === 'infinite') return { is: 'unbounded' };
  return length.ms === 0 ? ofMeaning(row, row.zero) : { is: 'length', ms: length.ms, by_default: false };
}

function ofMeaning(row: Timing, meaning: Meaning): Effect {
  switch (meaning) {
    case 'no_limit':
      return { is: 'unbounded' };
    case 'default':
      return ofDefault(row);
    case 'refused':
      return { is: 'misread', said: 'a zero, which it does not take' };
    case 'at_once':
    case 'browser_session':
    case 'off':
      return { is: 'nothing' };
  }
}

function ofDefault(row: Timing): Effect {
  const length: Length | undefined = row.default === null ? undefined : readLength(row.unit, row.default);
  if (length === undefined) return { is: 'nothing' };
  if (length === 'infinite') return { is: 'unbounded' };
  if (length.ms > 0) return { is: 'length', ms: length.ms, by_default: true };
  return row.zero === 'default' ? { is: 'nothing' } : ofMeaning(row, row.zero);
}

/** Which limit a row is held against, and what is found where it is longer. */
const AGAINST = {
  idle: { limit: 'inactivity_timeout', longer: 'idle_too_long', unbounded: 'idle_unbounded' },
  age: { limit: 'max_age', longer: 'age_too_long', unbounded: undefined },
  verdict_cache: { limit: 'token_ttl', longer: 'verdict_cached', unbounded: 'verdict_cached' },
  cookie: { limit: 'max_age', longer: 'affinity_outlives', unbounded: 'affinity_outlives' },
  request: { limit: 'max_age', longer: 'age_too_long', unbounded: undefined },
} as const satisfies Record<Timing['bounds'], object>;

export interface Fault {
  readonly name: FindingName;
  readonly detail: string;
}

/** @returns what is wrong with it; `undefined` where it keeps the limit */
export function faultOf(row: Timing, effect: Effect, limits: WholeLimits, name = shortName(row)): Fault | undefined {
  const { limit, longer, unbounded } = AGAINST[row.bounds];
  switch (effect.is) {
    case 'nothing':
      return undefined;
    case 'misread':
      return { name: 'unit_misread', detail: `${name}: ${effect.said}` };
    case 'unbounded':
      return (
        unbounded && { name: unbounded, detail: `${name} has no limit; ${limit} is ${sayDuration(limits[limit])}` }
      );
    case 'length': {
      if (effect.ms <= limits[limit] * 1000) return undefined;
      const by = effect.by_default ? ' by default' : '';
      return {
        name: longer,
        detail: `${name} is ${sayLength(effect.ms)}${by}; ${limit} is ${sayDuration(limits[limit])}`,
      };
    }
  }
}

export function sayLength(ms: number): string {
  return ms % 1000 === 0 || ms > 120_000 ? sayDuration(wholeSeconds(ms)) : `${ms}ms`;
}

export function wholeSeconds(ms: number): Seconds {
  return seconds(Math.ceil(ms / 1000));
}

/** The last part of a path, and annotations without the prefix that all of a controller have. */
export function shortName({ place }: Pick<Timing, 'place'>): string {
  const name = nameOf(place);
  if (place.in === 'annotation') return name.slice(name.indexOf('/') + 1);
  return place.in === 'field' || place.in === 'file' ? (name.split('.').at(-1) ?? name) : name;
}

/** As it is written, where it is so short and plain that it can be nothing else than a length. */
export function sayWritten(value: unknown): string {
  const text = typeof value === 'string' || typeof value === 'number' ? String(value) : '';
  return /^-?[0-9][0-9a-zµ. ]{0,15}$/.test(text) ? `"${text}"` : 'what is no length';
}
