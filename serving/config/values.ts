// Single values in settings of either server: each parser takes anything and gives a typed value, or says what it expected.

import { isIP } from 'node:net';
import { z } from 'zod';
import { parseDuration } from '../../shared/duration.ts';
import { faultOfUrl } from '../../shared/origin.ts';
import type { Seconds } from '../../shared/time.ts';
import { sayValue } from './faults.ts';

/** A schema of one value whose fault reads `expected …, got …`, or `required` where nothing stands. */
export function leaf<T>(expected: string, parse: (value: unknown) => T | undefined) {
  return z.unknown().transform((value, context): T => {
    const parsed = parse(value);
    if (parsed !== undefined) return parsed;
    const message = value === undefined ? `required: ${expected}` : `expected ${expected}, got ${sayValue(value)}`;
    context.issues.push({ code: 'custom', message, input: undefined });
    return z.NEVER;
  });
}

export function textThat(expected: string, fits: (text: string) => boolean) {
  return leaf<string>(expected, (value) => (typeof value === 'string' && fits(value) ? value : undefined));
}

/** A text whose fault does not say what is there: it may be a secret. */
export function unrepeated(expected: string, fits: (text: string) => boolean) {
  return z.unknown().transform((value, context): string => {
    if (typeof value === 'string' && fits(value)) return value;
    const message =
      value === undefined ? `required: ${expected}` : `expected ${expected}; what is there is not repeated`;
    context.issues.push({ code: 'custom', message, input: undefined });
    return z.NEVER;
  });
}

/** A list without repetitions, of at least `least` values; its fault names the value that does not belong. */
export function listOf<T>(expected: string, is: (value: unknown) => value is T, least = 1) {
  return z.unknown().transform((value, context): readonly T[] => {
    if (Array.isArray(value) && value.length >= least && value.every(is) && new Set(value).size === value.length)
      return value;
    const message = value === undefined ? `required: ${expected}` : `expected ${expected}, got ${sayList(value, is)}`;
    context.issues.push({ code: 'custom', message, input: undefined });
    return z.NEVER;
  });
}

function sayList(value: unknown, is: (value: unknown) => boolean): string {
  if (!Array.isArray(value)) return sayValue(value);
  if (value.length === 0) return 'an empty list';
  const stranger: unknown = value.find((inner) => !is(inner));
  if (stranger !== undefined) return `${sayValue(stranger)} in it`;
  return `${sayValue(value.find((inner, i) => value.indexOf(inner) < i))} twice`;
}

export const isPort = (value: unknown): value is number =>
  Number.isInteger(value) && Number(value) > 0 && Number(value) < 65_536;

/** No control, invisible or direction-changing characters: what is shown is what is meant. */
export const PRINTABLE = /^[^\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]{1,1024}$/u;

const LABEL = /^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$/;

export const duration = leaf<Seconds>('a duration such as "15m"', parseDuration);

/** @param example of a duration */
export const durationOrOff = (example: string) =>
  leaf<Seconds | 'off'>(`a duration such as "${example}", or "off"`, (given) =>
    given === 'off' ? 'off' : parseDuration(given),
  );

export const text = textThat('a text', (value) => PRINTABLE.test(value));

export const filePath = textThat('the path of a file', (value) => value.length > 0 && !value.includes('\0'));

export const name = textThat('a name of a-z, 0-9, "-" and ".", at most 63 characters', (value) => LABEL.test(value));

/** kube-apiserver serves https alone, and a token is a credential. */
export const server = textThat(
  'an https URL without user, query and fragment',
  (value) => faultOfUrl(value) === undefined && /^https:\/\//.test(value),
);

export const address = textThat('an IP address or "localhost"', (value) => isIP(value) > 0 || value === 'localhost');

export const listenPort = leaf<number>('a port from 0 to 65535', (value) =>
  value === 0 || isPort(value) ? Number(value) : undefined,
);

export function oneOf<const T extends string>(...values: readonly T[]) {
  const expected = values.map((value) => JSON.stringify(value)).join(' or ');
  return leaf<T>(expected, (value) => values.find((candidate) => candidate === value));
}

export const yesOrNo = leaf<boolean>('true or false', (value) => (typeof value === 'boolean' ? value : undefined));

export const issuer = textThat(
  'an https URL without user, query, fragment and final slash',
  (value) => faultOfUrl(value) === undefined && /^https:\/\//.test(value) && !value.endsWith('/'),
);

export const upstreamIssuer = textThat(
  'an https URL (http only on loopback) without user, query and fragment',
  (value) => faultOfUrl(value) === undefined,
);
