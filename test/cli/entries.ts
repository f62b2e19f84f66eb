// Entries of the token cache as a broker's answers give them.

import fc from 'fast-check';
import { type Entry, type Key, printEntry } from '../../cli/warm/entry.ts';
import { type Seconds, seconds } from '../../shared/time.ts';

/** Nobody listens there. */
export const KEY: Key = { broker: 'https://127.0.0.1:1', cluster: 'dev' };
export const LIMITS = { max_age: seconds(900), inactivity_timeout: seconds(600), token_ttl: seconds(300) };

export function tokenOf(iat: number, exp: number, more: object = { sid: 'sid' }): string {
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${encode({ alg: 'ES256' })}.${encode({ iat, exp, ...more })}.signature`;
}

/** An entry as a broker's answer at `at` gives it, for a login `age` seconds old then. */
export function entryAt(at: Seconds, { age = 0, ttl = 300, skew = 0 } = {}): Entry {
  const broker_time = seconds(at + skew);
  const auth_time = seconds(broker_time - age);
  return {
    ...KEY,
    minted_local: at,
    token: tokenOf(broker_time, broker_time + ttl),
    expires_in: seconds(ttl),
    session: {
      sid: 'sid',
      username: 'alice',
      groups: [],
      auth_time,
      session_end: seconds(auth_time + 900),
      end_at_most: seconds(auth_time + 900),
      limits: { session: LIMITS, target: LIMITS },
      broker_time,
    },
  };
}

/** Numbers, and what is none, that an entry must survive. */
const ODD = [
  0,
  -1,
  1.5,
  1e308,
  Number.MAX_SAFE_INTEGER,
  2 ** 53,
  null,
  '',
  '1',
  true,
  [],
  {},
  'x'.repeat(5_000),
] as const;

/** Every field of a value, as the path to it. */
function pathsOf(value: unknown, before: readonly string[] = []): readonly (readonly string[])[] {
  if (typeof value !== 'object' || value === null) return [before];
  return [before, ...Object.entries(value).flatMap(([name, inner]) => pathsOf(inner, [...before, name]))];
}

function withField(value: unknown, [name, ...rest]: readonly string[], field: unknown): unknown {
  if (name === undefined) return field;
  const object = value as Readonly<Record<string, unknown>>;
  const entries = Object.entries(object).map(([key, inner]) => [
    key,
    key === name ? withField(inner, rest, field) : inner,
  ]);
  return Array.isArray(value) ? entries.map(([, inner]) => inner) : Object.fromEntries(entries);
}

/** What damage, other programs and odd values make of the text of an entry: never what it was. */
export const mutation: fc.Arbitrary<(text: string) => string> = fc.oneof(
  fc.tuple(fc.nat(), fc.integer({ min: 1, max: 94 })).map(([at, by]) => (text: string) => {
    const i = at % text.length;
    const other = String.fromCharCode(32 + ((text.charCodeAt(i) - 32 + by) % 95));
    return text.slice(0, i) + other + text.slice(i + 1);
  }),
  fc.nat().map((at) => (text: string) => text.slice(0, at % text.length)),
  fc.nat().map((at) => (text: string) => text.slice(0, at % text.length) + text.slice((at % text.length) + 1)),
  fc.tuple(fc.nat(), fc.constantFrom(...ODD)).map(([at, field]) => (text: string) => {
    const value: unknown = JSON.parse(text);
    const paths = pathsOf(value);
    return JSON.stringify(withField(value, paths[at % paths.length] ?? [], field));
  }),
);

/** The same as if the plugin itself had written such a value: nothing shows that it is odd. */
export const oddEntry: fc.Arbitrary<string> = fc.tuple(fc.nat(), fc.constantFrom(...ODD)).map(([at, field]) => {
  const entry = entryAt(seconds(1_800_000_000));
  const paths = pathsOf(entry);
  return printEntry(withField(entry, paths[at % paths.length] ?? [], field) as Entry);
});
