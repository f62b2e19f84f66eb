// A key of the fuzzer, the same in each run: what is signed is built from parts that were fuzzed, so that no signature ends it at once.

import { createPrivateKey, sign } from 'node:crypto';
import { encoded } from '../target.ts';

const PRIVATE = {
  ...{ kty: 'EC', crv: 'P-256', x: 'MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4' },
  ...{ y: '4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM', d: '870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE' },
} as const;

export const PUBLIC = { kty: 'EC', crv: 'P-256', x: PRIVATE.x, y: PRIVATE.y } as const;
export const PUBLIC_WITH_ID = { ...PUBLIC, kid: 'one', alg: 'ES256', use: 'sig' } as const;

/** RFC 7515 4.1, RFC 7519 4.1, OIDC Core 2, RFC 9449 4.2. */
export const CLAIMS: readonly string[] = [
  ...['alg', 'typ', 'kid', 'crit', 'jwk', 'jku', 'x5c', 'x5u', 'cty', 'b64', 'zip', 'enc', 'ES256', 'HS256', 'none'],
  ...['iss', 'aud', 'sub', 'exp', 'iat', 'nbf', 'jti', 'sid', 'azp', 'nonce', 'acr', 'amr', 'auth_time', 'events'],
  ...['htm', 'htu', 'ath', 'cnf', 'd', 'x', 'y', 'crv', 'kty', 'oct', 'P-256', 'sub_id', 'toe', 'txn'],
];

const key = createPrivateKey({ key: PRIVATE, format: 'jwk' });

export function es256(data: string): Buffer {
  return sign('sha256', Buffer.from(data), { key, dsaEncoding: 'ieee-p1363' });
}

/** @param header and payload as JSON, or what should be */
export function signed(header: string, payload: string): string {
  const input = `${encoded(header)}.${encoded(payload)}`;
  return `${input}.${es256(input).toString('base64url')}`;
}

/** The two lines of an input. */
export function headerAndPayload(text: string): readonly [header: string, payload: string] {
  const [header = '', payload = ''] = text.split('\n');
  return [header, payload];
}

export function seedOf(header: object, payload: object): string {
  return `${JSON.stringify(header)}\n${JSON.stringify(payload)}`;
}
