// How a kind of token is read here, and how it is read by jose with nothing but the words of its specification: what both need. Where
// they differ, it is for a reason that has a name.

import { createLocalJWKSet } from 'jose';
import type { KeySet } from '../../broker/upstream/key_set.ts';
import { LONGEST_JWS } from '../../serving/jws/jws.ts';
import { CurfewError } from '../../shared/errors.ts';
import {
  ALGORITHMS,
  BROUGHT_KEYS,
  type Draft,
  JSON_FORMS,
  type Json,
  KEY_HEADERS,
  NOW,
  OWN,
  publicJwk,
  SIGNATURES,
  SPELLINGS,
  type Variant,
} from './drafts.ts';

/** A token as any lenient reader has it, to say of what kind a difference is. */
export interface Loose {
  readonly token: string;
  readonly parts: readonly string[];
  readonly header: Json;
  readonly payload: Json;
}

/** One way in which the two differ. */
export interface Difference {
  readonly name: string;
  readonly why: string;
  readonly holds: (loose: Loose) => boolean;
}

export interface Reading {
  readonly draft: Draft;
  /** Whether it is taken. */
  readonly ours: (token: string) => Promise<boolean>;
  /** @throws where it is not */
  readonly theirs: (token: string) => Promise<unknown>;
  readonly variants: readonly Variant[];
  readonly stricter: readonly Difference[];
  /** Where ours takes what jose does not: none but what must be so. */
  readonly looser?: readonly Difference[];
}

export const [ISSUER, IDP] = ['https://curfew.example.com', 'https://idp.example.com'];
export const SKEW = 60;
export const jwk = { ...publicJwk(OWN), kid: 'one', alg: 'ES256', use: 'sig' };
export const local = createLocalJWKSet({ keys: [jwk] });
export const published: KeySet = [{ kid: 'one', alg: 'ES256', jwk: publicJwk(OWN) }];
export const date = { currentDate: new Date(NOW * 1000), algorithms: ['ES256'] };

export async function taken(read: () => unknown): Promise<boolean> {
  try {
    return Boolean(await read());
  } catch (error) {
    if (error instanceof CurfewError && error.code !== 'internal') return false;
    throw error;
  }
}

export function must(holds: boolean, what: string): void {
  if (!holds) throw new Error(what);
}

export const isText = (value: unknown) => typeof value === 'string' && value !== '';
export const isWhole = (value: unknown) => Number.isSafeInteger(value) && Number(value) >= 0;
export const isCanonical = (part: string) =>
  part !== '' && Buffer.from(part, 'base64url').toString('base64url') === part;
export const hides = (value: unknown) => typeof value === 'string' && /[\p{Cc}\p{Cf}\p{Cs}]/u.test(value);

const ONE_SPELLING: Difference = {
  name: 'one spelling',
  why: 'a token is known by its hash: what may be used once is to have one text',
  holds: ({ parts }) => parts.length === 3 && !parts.every(isCanonical),
};
const NO_CRIT: Difference = {
  name: 'no critical headers',
  why: 'none is understood here, not even b64 (RFC 7797), whatever it says',
  holds: ({ header }) => header.crit !== undefined,
};
const LENGTH: Difference = {
  name: 'length',
  why: 'one limit for what is minted and what is read',
  holds: ({ token }) => token.length > LONGEST_JWS,
};
const BOM = Buffer.from('\ufeff');
const NO_BOM: Difference = {
  name: 'no BOM',
  why: 'RFC 8259 8.1: who makes JSON puts none in front of it, and a hash would tell two texts of one header apart',
  holds: ({ parts }) => parts.slice(0, 2).some((part) => Buffer.from(part, 'base64url').subarray(0, 3).equals(BOM)),
};
export const OF_ALL = [ONE_SPELLING, NO_CRIT, LENGTH, NO_BOM];

/** RFC 7519 4.1.4 and 2: a NumericDate may have a fraction; ours are made without. */
export const FORMS = [...JSON_FORMS, ...SPELLINGS, ...SIGNATURES, ...ALGORITHMS, ...KEY_HEADERS, ...BROUGHT_KEYS];

export const AUDIENCES: readonly unknown[] = [
  ...[undefined, null, '', 'other', 7, [], ['dev'], ['curfew'], ['other'], ['curfew', 'other'], ['curfew', 7], {}],
  ...['curfew ', 'CURFEW', [['curfew']], ['https://curfew.example.com/ssf', 'x'], 'dev/gateway'],
];
export const ISSUERS: readonly unknown[] = [
  ...[undefined, null, '', 7, `${IDP}/`, `${ISSUER}/`, 'https://IDP.example.com', 'http://idp.example.com'],
  ...[[IDP], [ISSUER], `${IDP}#`, 'https://idp.example.com:443'],
];
