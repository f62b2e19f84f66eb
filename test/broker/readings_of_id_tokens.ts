// ID tokens, by the algorithms that identity providers sign them with.

import { constants, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { createLocalJWKSet, jwtVerify } from 'jose';
import { checkClaims, checkHeader, type Expected } from '../../broker/upstream/id_token.ts';
import { candidates, type KeySet, verifiedByOne } from '../../broker/upstream/key_set.ts';
import { parseCompactJws } from '../../serving/jws/jws.ts';
import { seconds } from '../../shared/time.ts';
import {
  claims,
  type Draft,
  draftOf,
  instants,
  type Json,
  NOW,
  OWN,
  publicJwk,
  TEXTS,
  TYPES,
  type Variant,
} from './drafts.ts';
import {
  AUDIENCES,
  type Difference,
  date,
  FORMS,
  hides,
  IDP,
  ISSUERS,
  isText,
  must,
  OF_ALL,
  type Reading,
  SKEW,
  taken,
} from './reading.ts';

/** Of the identity provider's tokens: those that name nothing are taken by whichever key there is. */
const isGiven = (value: unknown) => value !== undefined && value !== null && value !== '';

/** What some servers write for what they do not have. */
export const nullIsNone = (claim: string): Difference => ({
  name: `no ${claim}`,
  why: 'null, or an empty text, is none: many servers write what they do not have',
  holds: ({ payload }) => payload[claim] === null || payload[claim] === '',
});

const [RSA, OTHER] = [2048, 2048].map((modulusLength) => generateKeyPairSync('rsa', { modulusLength }));
type Pair = { readonly publicKey: KeyObject; readonly privateKey: KeyObject };

/** RFC 7518 3.3 and 3.5. @param salt bytes; as many as the hash has, unless told */
function bySha(bits: number, { privateKey }: Pair, pss: boolean, salt: number = constants.RSA_PSS_SALTLEN_DIGEST) {
  const how = pss
    ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: salt }
    : { padding: constants.RSA_PKCS1_PADDING };
  return (input: string) => sign(`sha${bits}`, Buffer.from(input), { key: privateKey, ...how });
}

const signed = (name: string, make: (input: string) => Buffer): Variant => ({
  name: `signature ${name}`,
  change: (draft) => ({ ...draft, signature: make }),
});

/** Ways to sign with RSA, and what is nearly a signature; under each algorithm all but its own must be refused. */
function signaturesOf(pair: Pair, other: Pair): readonly Variant[] {
  const good = bySha(256, pair, false);
  const changed = (name: string, change: (bytes: Buffer) => Buffer) => [
    signed(`PKCS #1, ${name}`, (input) => change(good(input))),
    signed(`PSS, ${name}`, (input) => change(bySha(256, pair, true)(input))),
  ];
  const flipped = (at: number) => (bytes: Buffer) =>
    Buffer.from(bytes.map((byte, n) => (n === (at + bytes.length) % bytes.length ? byte ^ 1 : byte)));
  return [
    ...[256, 384, 512, 1].flatMap((bits) => [
      signed(`PKCS #1 by SHA-${bits}`, bySha(bits, pair, false)),
      signed(`PSS by SHA-${bits}`, bySha(bits, pair, true)),
    ]),
    ...[0, 20, 31, 33, 64].map((salt) => signed(`PSS with a salt of ${salt} bytes`, bySha(256, pair, true, salt))),
    signed('PKCS #1 by somebody else', bySha(256, other, false)),
    signed('PSS by somebody else', bySha(256, other, true)),
    ...changed('first bit changed', flipped(0)),
    ...changed('last bit changed', flipped(-1)),
    ...changed('a byte less', (bytes) => bytes.subarray(1)),
    ...changed('the last byte less', (bytes) => bytes.subarray(0, -1)),
    ...changed('a zero in front', (bytes) => Buffer.concat([Buffer.alloc(1), bytes])),
    ...changed('a zero behind', (bytes) => Buffer.concat([bytes, Buffer.alloc(1)])),
    signed('of zeros', () => Buffer.alloc(256)),
    signed('that is 1', () => Buffer.concat([Buffer.alloc(255), Buffer.from([1])])),
    signed('that is the modulus', () => Buffer.from(String(pair.publicKey.export({ format: 'jwk' }).n), 'base64url')),
  ];
}

interface Signing {
  readonly algs: readonly string[];
  readonly alg: string;
  readonly jwk: Json;
  readonly signature?: Draft['signature'];
  readonly signatures?: readonly Variant[];
}

function idTokenBy({ algs, alg, jwk, signature, signatures = [] }: Signing): Reading {
  const expected: Expected = {
    ...{ issuer: IDP, client_id: 'curfew', clock_skew: seconds(SKEW), id_token_signing_algs: algs },
  };
  const published = [{ kid: 'one', jwk }] as KeySet;
  const local = createLocalJWKSet({ keys: [{ ...jwk, kty: String(jwk.kty), kid: 'one', use: 'sig' }] });
  const draft = draftOf(
    { alg, kid: 'one', typ: 'JWT' },
    {
      ...{
        iss: IDP,
        aud: 'curfew',
        sub: 'alice',
        iat: NOW,
        exp: NOW + 300,
        auth_time: NOW - 5,
        nonce: 'n',
        acr: 'mfa',
      },
      ...{ amr: ['pwd'], sid: 'idp-1', azp: 'curfew', nbf: NOW },
    },
  );
  return {
    draft: { ...draft, ...(signature && { signature }) },
    ours: (token) =>
      taken(async () => {
        const jws = parseCompactJws(token);
        if (!jws) return false;
        const header = checkHeader(jws, expected);
        return (
          (await verifiedByOne(token, header.alg, candidates(published, header))) &&
          checkClaims(jws.payload, expected, seconds(NOW))
        );
      }),
    // OIDC Core 3.1.3.7, with `auth_time` as max_age asks for it; the tolerance is for what may lie ahead alone.
    theirs: async (token) => {
      const { payload } = await jwtVerify(token, local, {
        ...{
          ...date,
          algorithms: [...algs],
          issuer: IDP,
          audience: 'curfew',
          requiredClaims: ['sub', 'exp', 'iat', 'auth_time'],
          clockTolerance: SKEW,
        },
      });
      const { aud, azp, iat, auth_time } = payload;
      must(Number(payload.exp) > NOW, 'over');
      must(!Array.isArray(aud) || aud.length === 1 || azp !== undefined, 'for several, and no azp');
      must(azp === undefined || azp === 'curfew', 'for another client');
      must(Number(iat) <= NOW + SKEW && typeof auth_time === 'number' && auth_time <= NOW + SKEW, 'ahead');
    },
    variants: [
      ...FORMS,
      ...signatures,
      ...TYPES,
      ...instants('exp', 'nbf', 'iat', 'auth_time'),
      ...claims('aud', ...AUDIENCES),
      ...claims('azp', undefined, null, '', 'other', 7, ['curfew']),
      ...claims('iss', ...ISSUERS),
      ...['sub', 'nonce', 'acr', 'amr', 'sid'].flatMap((name) => claims(name, ...TEXTS)),
      ...claims('events', {}, { 'http://schemas.openid.net/event/backchannel-logout': {} }, null),
      ...claims('sub', 'x'.repeat(256)),
    ],
    stricter: [
      ...OF_ALL,
      {
        name: 'typ',
        why: 'logout tokens, security events, proofs and our own tokens are no ID tokens',
        holds: ({ header: { typ } }) => typ !== undefined && !/^(application\/)?jwt$/i.test(String(typ)),
      },
      {
        name: 'no events',
        why: 'a logout token or a security event of the same issuer is no ID token',
        holds: ({ payload }) => payload.events !== undefined,
      },
      {
        name: 'names',
        why: 'a claim that names somebody or something is a text in which nothing hides, or not there',
        holds: ({ payload: { sub, nonce, acr, amr, sid } }) =>
          !isText(sub) ||
          String(sub).length > 255 ||
          [sub, nonce, acr, sid].some((value) => hides(value)) ||
          !(nonce === undefined || isText(nonce)) ||
          [acr, sid].some((value) => isGiven(value) && typeof value !== 'string') ||
          (isGiven(amr) && ![amr].flat().every((method) => isText(method) && !hides(method))),
      },
      {
        name: 'audience of texts',
        why: 'a list with anything else in it is not understood',
        holds: ({ payload: { aud } }) => Array.isArray(aud) && !aud.every(isText),
      },
      {
        name: 'times',
        why: 'negative times, and those beyond what numbers hold exactly, are no times; a fraction counts to the strict side',
        holds: ({ payload: { iat, nbf, exp, auth_time } }) =>
          [iat, exp, auth_time, isGiven(nbf) ? nbf : 0].some(
            (value) => Number(value) < 0 || !(Number(value) <= 2 ** 53 - 1),
          ) ||
          Math.floor(Number(exp)) <= NOW ||
          Math.ceil(Number(nbf)) > NOW + SKEW,
      },
      {
        name: 'auth_time before iat',
        why: 'who logged in after the token was issued did not log in',
        holds: ({ payload: { iat, auth_time } }) => Math.floor(Number(auth_time)) > Math.floor(Number(iat)) + SKEW,
      },
    ],
    looser: [nullIsNone('nbf')],
  };
}

export const idToken = idTokenBy({ algs: ['ES256'], alg: 'ES256', jwk: publicJwk(OWN) });

function idTokenByRsa(alg: 'RS256' | 'PS256'): Reading {
  if (!RSA || !OTHER) throw new TypeError('no keys');
  const { kty, n, e } = RSA.publicKey.export({ format: 'jwk' });
  return idTokenBy({
    ...{ algs: ['RS256', 'PS256', 'ES256'], alg, jwk: { kty, n, e } },
    ...{ signature: bySha(256, RSA, alg === 'PS256'), signatures: signaturesOf(RSA, OTHER) },
  });
}
export const [idTokenByRs256, idTokenByPs256] = [idTokenByRsa('RS256'), idTokenByRsa('PS256')];
