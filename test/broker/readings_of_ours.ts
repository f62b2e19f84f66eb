// Tokens that this broker signs, and proofs of its clients.

import { createSecretKey, generateKeyPairSync, sign } from 'node:crypto';
import { compactVerify, decodeJwt, EmbeddedJWK, jwtVerify } from 'jose';
import type { Cluster } from '../../broker/config/settings.ts';
import { createProofVerifier } from '../../broker/tokens/dpop.ts';
import type { verifyToken } from '../../broker/tokens/verify.ts';
import { PROOF_WINDOW_SECONDS } from '../../serving/jws/dpop.ts';
import { verifyEs256 } from '../../serving/jws/es256.ts';
import { parseCompactJws } from '../../serving/jws/jws.ts';
import { seconds } from '../../shared/time.ts';
import { isObject } from '../../shared/wire.ts';
import {
  claims,
  draftOf,
  headers,
  instants,
  NOW,
  OWN,
  publicJwk,
  TEXTS,
  TYPES,
  type Variant,
  writtenClaims,
} from './drafts.ts';
import {
  AUDIENCES,
  type Difference,
  date,
  FORMS,
  ISSUER,
  ISSUERS,
  isCanonical,
  isText,
  isWhole,
  jwk,
  local,
  must,
  OF_ALL,
  type Reading,
  taken,
} from './reading.ts';

/** RFC 7519 4.1.4 and 2: a NumericDate may have a fraction; ours are made without. */
const WHOLE_TIMES: Difference = {
  name: 'whole seconds',
  why: 'what this broker signs has whole seconds: another form is not its own',
  holds: ({ payload }) => !['iat', 'nbf', 'exp', 'auth_time'].every((name) => isWhole(payload[name])),
};

const OWN_CLAIMS = {
  ...{ iss: ISSUER, aud: 'dev', sub: 'alice', username: 'curfew:alice', groups: ['curfew:sre'], sid: 's', jti: 'j' },
  ...{ iat: NOW, nbf: NOW, exp: NOW + 300, auth_time: NOW - 60, acr: 'mfa' },
};
export function ownToken(typ: string, aud: string, read: typeof verifyToken): Reading {
  const cluster = { name: 'dev', audience: 'dev', gateway: {} } as Cluster;
  const parts = { config: { issuer: ISSUER, clusters: [cluster] }, keys: { jwks: { keys: [jwk] } } } as unknown;
  return {
    draft: draftOf({ alg: 'ES256', typ, kid: 'one' }, { ...OWN_CLAIMS, aud }),
    ours: async (token) => read(parts as Parameters<typeof verifyToken>[0], token, seconds(NOW)) !== undefined,
    theirs: (token) =>
      jwtVerify(token, local, {
        ...{
          ...date,
          issuer: ISSUER,
          audience: aud,
          typ,
          requiredClaims: Object.keys(OWN_CLAIMS).filter((name) => name !== 'acr'),
        },
      }),
    variants: [
      ...FORMS,
      ...TYPES,
      ...instants('exp', 'nbf', 'iat', 'auth_time'),
      ...claims('aud', ...AUDIENCES, [aud], 'dev'),
      ...claims('iss', ...ISSUERS),
      ...['sub', 'username', 'groups', 'sid', 'jti', 'acr'].flatMap((name) => claims(name, ...TEXTS)),
    ],
    stricter: [
      ...OF_ALL,
      {
        name: 'kid',
        why: 'what this broker signs names its key, which must be a published one',
        holds: ({ header }) => header.kid !== 'one',
      },
      {
        name: 'typ as it is written',
        why: 'what this broker signs has its typ in one spelling',
        holds: ({ header }) => header.typ !== typ,
      },
      WHOLE_TIMES,
      {
        name: 'exp after iat',
        why: 'what was over as it was made was not made here',
        holds: ({ payload: { exp, iat } }) => Number(exp) <= Number(iat),
      },
      { name: 'one audience', why: 'a token is for one cluster', holds: ({ payload }) => payload.aud !== aud },
      {
        name: 'forms of claims',
        why: 'what this broker signs has texts, and a list of texts as groups',
        holds: ({ payload: { groups, acr, ...rest } }) =>
          !['sub', 'username', 'sid', 'jti'].every((name) => isText(rest[name])) ||
          !(Array.isArray(groups) && groups.every(isText)) ||
          !(acr === undefined || isText(acr)),
      },
    ],
  };
}

const TOKEN_URL = `${ISSUER}/token`;
const proofs = createProofVerifier(createSecretKey(Buffer.alloc(32, 7)), () => seconds(NOW));
const nonce = proofs.nonce();

/** RFC 9449 4.3, each of its rules in its order; all algorithms of RFC 7518 that are asymmetric. */
async function checkProof(proof: string): Promise<void> {
  const { payload: bytes, protectedHeader } = await compactVerify(proof, EmbeddedJWK, {
    algorithms: ['ES256', 'ES384', 'ES512', 'RS256', 'PS256', 'EdDSA'],
  });
  const payload: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  if (!isObject(payload)) throw new Error('no claims');
  must(/^(application\/)?dpop\+jwt$/i.test(String(protectedHeader.typ)), 'another typ');
  must(isObject(protectedHeader.jwk) && !('d' in protectedHeader.jwk), 'a private key');
  const { jti, htm, htu, iat, nonce: given } = payload;
  must(isText(jti) && htm === 'POST', 'another method');
  must(typeof htu === 'string' && URL.canParse(htu), 'no URL');
  const { origin, pathname, username, password } = new URL(String(htu));
  must(origin + pathname === TOKEN_URL && username + password === '', 'another URL');
  must(typeof iat === 'number', 'no iat');
  // 8: the server may judge by its nonce instead of by the clock of the client.
  const isFresh = given === undefined ? Math.abs(Number(iat) - NOW) <= PROOF_WINDOW_SECONDS : given === nonce;
  must(isFresh, 'neither fresh nor with a nonce of ours');
}

const KEY = publicJwk(OWN);
const { x, y } = KEY as { readonly x: string; readonly y: string };
const withKey = (key: unknown) => headers('jwk', key);

/** Good proofs by other asymmetric algorithms. */
const OTHER_ALGORITHMS: readonly Variant[] = [
  { alg: 'ES384', hash: 'sha384', ...generateKeyPairSync('ec', { namedCurve: 'P-384' }) },
  { alg: 'RS256', hash: 'sha256', ...generateKeyPairSync('rsa', { modulusLength: 2048 }) },
  { alg: 'EdDSA', hash: null, ...generateKeyPairSync('ed25519') },
].map(({ alg, hash, publicKey, privateKey: key }) => ({
  name: `by ${alg}, whole`,
  change: (draft) => ({
    ...draft,
    header: { ...draft.header, alg, jwk: publicKey.export({ format: 'jwk' }) },
    signature: (input) => sign(hash, Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' }),
  }),
}));

export const proof: Reading = {
  draft: draftOf(
    { alg: 'ES256', typ: 'dpop+jwt', jwk: KEY },
    { htm: 'POST', htu: TOKEN_URL, jti: 'abcdefgh-1', iat: NOW },
  ),
  ours: (token) => taken(() => proofs.verify(token, { method: 'POST', url: TOKEN_URL })),
  theirs: checkProof,
  variants: [
    ...FORMS,
    ...OTHER_ALGORITHMS,
    ...TYPES,
    ...instants('iat'),
    ...claims('htm', 'GET', 'post', 'POST ', '', undefined, null, 7, ['POST']),
    ...claims(
      'htu',
      ...[undefined, null, 7, '', '/token', 'token', `${TOKEN_URL}?a=b`, `${TOKEN_URL}#a`, `${TOKEN_URL}/`],
      ...[
        'HTTPS://CURFEW.example.COM/token',
        'https://curfew.example.com:443/token',
        'https://curfew.example.com/x/../token',
      ],
      ...['https://user:secret@curfew.example.com/token', 'http://curfew.example.com/token', `${ISSUER}/%74oken`],
      ...['https://curfew.example.com:8443/token', 'https://other.example.com/token', [TOKEN_URL], ` ${TOKEN_URL}`],
    ),
    ...claims('jti', ...TEXTS, 'abcdefg', 'j'.repeat(256), 'j'.repeat(257)),
    ...claims('nonce', nonce, `${nonce}x`, '', 7, null, nonce.toUpperCase()),
    ...writtenClaims('nonce', `"${nonce}","iat":1`, `"${nonce}","iat":1.5`),
    ...claims('ath', 'x', 7, null),
    ...claims('exp', NOW - 1, 'x'),
    ...[null, 'x', [], {}, [KEY]].flatMap(withKey),
    ...(['kty', 'crv', 'x', 'y'] as const).flatMap((name) =>
      [undefined, null, '', 7].flatMap((value) => withKey({ ...KEY, [name]: value })),
    ),
    ...[
      { crv: 'P-384' },
      { crv: 'p-256' },
      { kty: 'ec' },
      { kty: 'oct', k: 'AA' },
      { kty: 'OKP', crv: 'Ed25519' },
    ].flatMap((change) => withKey({ ...KEY, ...change })),
    ...[
      { x: y, y: x },
      { x: y },
      { x: `${x}=` },
      { x: `A${x}` },
      { x: Buffer.from(x, 'base64url').toString('base64') },
    ].flatMap((change) => withKey({ ...KEY, ...change })),
    ...[{ d: 'AA' }, { d: null }, { d: OWN.privateKey.export({ format: 'jwk' }).d }].flatMap((more) =>
      withKey({ ...KEY, ...more }),
    ),
    ...[{ use: 'sig' }, { use: 'enc' }, { use: 7 }, { alg: 'ES256' }, { alg: 'RS256' }, { alg: null }].flatMap((more) =>
      withKey({ ...KEY, ...more }),
    ),
    ...[['verify'], ['sign'], ['verify', 'sign'], [], 'verify', null, ['deriveKey']].flatMap((key_ops) =>
      withKey({ ...KEY, key_ops }),
    ),
    ...[{ kid: 'k' }, { ext: true }, { ext: false }, { x5c: ['AA'] }, { p: 'AA' }, { z: 1 }].flatMap((more) =>
      withKey({ ...KEY, ...more }),
    ),
  ],
  stricter: [
    ...OF_ALL,
    {
      name: 'ES256 alone',
      why: 'the plugin makes no other proofs',
      holds: ({ header }) => header.alg !== 'ES256',
    },
    {
      name: 'typ as it is written',
      why: 'RFC 9449 4.2 has it in one spelling',
      holds: ({ header }) => header.typ !== 'dpop+jwt',
    },
    {
      name: 'jti of 8 to 256 characters',
      why: '4.2 wants 96 bits of chance, and what is remembered is bounded',
      holds: ({ payload: { jti } }) => String(jti).length < 8 || String(jti).length > 256,
    },
    { name: 'iat', why: 'the plugin writes whole seconds', holds: ({ payload }) => !isWhole(payload.iat) },
    {
      name: 'one spelling of a key',
      why: 'a key is known by its thumbprint (RFC 7638)',
      holds: ({ header: { jwk: key } }) => isObject(key) && ![key.x, key.y].every((part) => isCanonical(String(part))),
    },
  ],
};

export const signedText: Reading = {
  draft: draftOf({ alg: 'ES256', kid: 'one' }, OWN_CLAIMS),
  ours: async (token) => {
    const jws = parseCompactJws(token);
    return (
      jws !== undefined &&
      jws.header.alg === 'ES256' &&
      jws.header.crit === undefined &&
      verifyEs256(jws.signed, OWN.publicKey, jws.signature)
    );
  },
  theirs: async (token) => {
    await compactVerify(token, OWN.publicKey, { algorithms: ['ES256'] });
    decodeJwt(token);
  },
  variants: FORMS,
  stricter: OF_ALL,
};
