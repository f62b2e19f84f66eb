// Entries of the token cache as a broker's answers give them.

import type { Entry, Key } from '../../cli/cache/entry.ts';
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
