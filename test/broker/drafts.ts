// Tokens as drafts: each part of a compact JWS can be changed by itself, from its JSON to its spelling, and all changes can be combined.

import { createHmac, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';

export type Json = Readonly<Record<string, unknown>>;
type PartName = 'header' | 'payload' | 'signature';

export interface Draft {
  readonly header: Json;
  readonly claims: Json;
  /** What becomes of the JSON text of header and payload, as bytes, before they are encoded. */
  readonly headerBytes: (json: string) => Buffer;
  readonly payloadBytes: (json: string) => Buffer;
  readonly signature: (input: string, key?: KeyObject) => Buffer;
  /** What becomes of a part after it was encoded; the signature is over what it is then. */
  readonly spelling: (part: PartName, text: string) => string;
  readonly whole: (token: string) => string;
}

/** One change to a draft, with what it is. */
export interface Variant {
  readonly name: string;
  readonly change: (draft: Draft) => Draft;
}

export const NOW = 1_800_000_000;

const pair = () => generateKeyPairSync('ec', { namedCurve: 'P-256' });
/** The key that signs, and one of somebody else. */
export const OWN = pair();
export const STRANGER = pair();
const CURVE_384 = generateKeyPairSync('ec', { namedCurve: 'P-384' });

export function publicJwk({ publicKey }: { readonly publicKey: KeyObject }): Json {
  const { kty, crv, x, y } = publicKey.export({ format: 'jwk' });
  return { kty, crv, x, y };
}

const es256 = (input: string, key = OWN.privateKey) =>
  sign('sha256', Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' });

export function draftOf(header: Json, claims: Json): Draft {
  return {
    ...{ header, claims, headerBytes: (json) => Buffer.from(json), payloadBytes: (json) => Buffer.from(json) },
    ...{ signature: es256, spelling: (_, text) => text, whole: (token) => token },
  };
}

export function tokenOf({ header, claims, headerBytes, payloadBytes, signature, spelling, whole }: Draft): string {
  const encoded = (name: PartName, bytes: Buffer) => spelling(name, bytes.toString('base64url'));
  const input = `${encoded('header', headerBytes(JSON.stringify(header)))}.${encoded('payload', payloadBytes(JSON.stringify(claims)))}`;
  return whole(`${input}.${encoded('signature', signature(input))}`);
}

const shown = (value: unknown) => JSON.stringify(value)?.slice(0, 300) ?? 'none';

/** @param values of a member of the header; `undefined` is none */
export function headers(member: string, ...values: readonly unknown[]): Variant[] {
  return values.map((value) => ({
    name: `header ${member}: ${shown(value)}`,
    change: (draft) => ({ ...draft, header: { ...draft.header, [member]: value } }),
  }));
}

export function claims(member: string, ...values: readonly unknown[]): Variant[] {
  return values.map((value) => ({
    name: `claim ${member}: ${shown(value)}`,
    change: (draft) => ({ ...draft, claims: { ...draft.claims, [member]: value } }),
  }));
}

/** A claim as it is written, where JSON.stringify would not write it so. */
export function writtenClaims(member: string, ...texts: readonly string[]): Variant[] {
  return texts.map((text) => ({
    name: `claim ${member}: ${text}`,
    change: (draft) => ({
      ...draft,
      claims: { ...draft.claims, [member]: '@' },
      payloadBytes: (json) => draft.payloadBytes(json.replace(`"${member}":"@"`, `"${member}":${text}`)),
    }),
  }));
}

type Write = (json: string) => Buffer | string;

/** The same change to the JSON of the header, and to that of the payload. */
function jsonOf(name: string, write: Write): Variant[] {
  const bytes = (json: string) => Buffer.from(write(json));
  return [
    {
      name: `header ${name}`,
      change: (draft) => ({ ...draft, headerBytes: (json) => bytes(draft.headerBytes(json).toString()) }),
    },
    {
      name: `payload ${name}`,
      change: (draft) => ({ ...draft, payloadBytes: (json) => bytes(draft.payloadBytes(json).toString()) }),
    },
  ];
}

const deep = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`;
const more = (member: string) => (json: string) => json.replace(/\}$/, `,${member}}`);

/** JSON in forms that readers differ about. */
export const JSON_FORMS: readonly Variant[] = [
  ...jsonOf('with white space', (json) => ` \t\r\n${json.replaceAll(':', ' : ')} `),
  ...jsonOf('behind a BOM', (json) => `\ufeff${json}`),
  ...jsonOf('with bytes that are no UTF-8', (json) =>
    Buffer.concat([Buffer.from(json.slice(0, -1)), Buffer.from(',"z":"\xff"}', 'latin1')]),
  ),
  ...jsonOf('with half a surrogate pair', more('"z":"\\ud800"')),
  ...jsonOf('with NUL in a text', more('"z":"\\u0000"')),
  ...jsonOf('with a member twice', (json) => json.replace('{', '{"alg":"none","iss":"x","jti":7,')),
  ...jsonOf('with a member twice, the wrong one last', more('"alg":"none","iss":"x","jti":7,"htm":"GET"')),
  ...jsonOf('with names of members that are escaped', (json) => json.replace('"alg"', '"\\u0061lg"')),
  ...jsonOf('with __proto__', more('"__proto__":{"alg":"none","crit":["x"]}')),
  ...jsonOf('with constructor', more('"constructor":{"prototype":{"crit":["x"]}}')),
  ...jsonOf('nested 500 deep', more(`"z":${deep(500)}`)),
  ...jsonOf('nested 4,000 deep', more(`"z":${deep(4_000)}`)),
  ...jsonOf('with a comma too many', more('')),
  ...jsonOf('with something behind it', (json) => `${json}{}`),
  ...jsonOf('cut off', (json) => json.slice(0, -1)),
  ...jsonOf('in single quotes', (json) => json.replaceAll('"', "'")),
  ...jsonOf('in a list', (json) => `[${json}]`),
  ...jsonOf('that is a text', (json) => JSON.stringify(json)),
  ...jsonOf('that is null', () => 'null'),
  ...jsonOf('that is a number', () => '7'),
  ...jsonOf('that is empty', () => ''),
  ...jsonOf('of 15,000 characters', more(`"z":"${'z'.repeat(15_000)}"`)),
];

function spelled(name: string, spell: (text: string) => string): Variant[] {
  return (['header', 'payload', 'signature'] as const).map((part) => ({
    name: `${part} ${name}`,
    change: (draft) => ({
      ...draft,
      spelling: (which, text) => {
        const before = draft.spelling(which, text);
        return which === part ? spell(before) : before;
      },
    }),
  }));
}

const whole = (name: string, make: (token: string) => string): Variant => ({
  name: `token ${name}`,
  change: (draft) => ({ ...draft, whole: (token) => make(draft.whole(token)) }),
});

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
/** Bits of the last character that mean nothing are set, where there are any. */
function tailBits(text: string): string {
  const spare = text.length % 4 === 2 ? 15 : text.length % 4 === 3 ? 3 : 0;
  return text.slice(0, -1) + (ALPHABET[ALPHABET.indexOf(text.at(-1) ?? 'A') ^ spare] ?? '');
}
const middle = (text: string, put: string) => text.slice(0, 4) + put + text.slice(4);

/** base64url, and what it stands in. */
export const SPELLINGS: readonly Variant[] = [
  ...spelled('padded', (text) => text.padEnd(Math.ceil(text.length / 4) * 4, '=')),
  ...spelled('with one = more', (text) => `${text}=`),
  ...spelled('with tail bits', tailBits),
  ...spelled('in the alphabet of base64', (text) => text.replaceAll('-', '+').replaceAll('_', '/')),
  ...spelled('with a line break within', (text) => middle(text, '\n')),
  ...spelled('with a space within', (text) => middle(text, ' ')),
  ...spelled('with a space behind', (text) => `${text} `),
  ...spelled('with NUL within', (text) => middle(text, '\0')),
  ...spelled('with ~ within', (text) => middle(text, '~')),
  ...spelled('with one character too many', (text) => `${text}A`),
  ...spelled('left out', () => ''),
  whole('with a line break behind', (token) => `${token}\n`),
  whole('with a space in front', (token) => ` ${token}`),
  whole('with a dot behind', (token) => `${token}.`),
  whole('with a dot in front', (token) => `.${token}`),
  whole('of two parts', (token) => token.split('.').slice(0, 2).join('.')),
  whole('of five parts, as a JWE', (token) => `${token}.${token.split('.')[0]}.AA`),
  whole('twice, with a comma', (token) => `${token},${token}`),
  whole('without payload, as detached', (token) => token.replace(/\.[^.]*\./, '..')),
  whole('as JSON', (token) => {
    const [header, payload, signature] = token.split('.');
    return JSON.stringify({ protected: header, payload, signature });
  }),
  whole('that is empty', () => ''),
];

const ORDER = BigInt('0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551');
const half = (bytes: Buffer, which: 0 | 1) =>
  BigInt(`0x${bytes.subarray(32 * which, 32 * which + 32).toString('hex')}`);
const raw = (r: bigint, s: bigint, width = 32) =>
  Buffer.from([r, s].map((value) => value.toString(16).padStart(2 * width, '0')).join(''), 'hex');

function signatureOf(name: string, make: (input: string, good: Buffer) => Buffer): Variant {
  return {
    name: `signature ${name}`,
    change: (draft) => ({ ...draft, signature: (input) => make(input, es256(input)) }),
  };
}

export const SIGNATURES: readonly Variant[] = [
  signatureOf('by somebody else', (input) => es256(input, STRANGER.privateKey)),
  signatureOf('of other bytes', (input) => es256(`${input} `)),
  signatureOf('of the payload as it is, not encoded', (input) => {
    const [header, payload = ''] = input.split('.');
    return es256(`${header}.${Buffer.from(payload, 'base64url').toString()}`);
  }),
  signatureOf('in DER', (input) => sign('sha256', Buffer.from(input), OWN.privateKey)),
  signatureOf('by SHA-512', (input) =>
    sign('sha512', Buffer.from(input), { key: OWN.privateKey, dsaEncoding: 'ieee-p1363' }),
  ),
  signatureOf('on another curve', (input) =>
    sign('sha384', Buffer.from(input), { key: CURVE_384.privateKey, dsaEncoding: 'ieee-p1363' }),
  ),
  signatureOf('of zeros', () => Buffer.alloc(64)),
  signatureOf('with r = 0', (_, good) => raw(0n, half(good, 1))),
  signatureOf('with s = 0', (_, good) => raw(half(good, 0), 0n)),
  signatureOf('with r the order', (_, good) => raw(ORDER, half(good, 1))),
  signatureOf('with s the order', (_, good) => raw(half(good, 0), ORDER)),
  signatureOf('of ones', () => Buffer.alloc(64, 0xff)),
  signatureOf('with the other s of the two that verify', (_, good) => raw(half(good, 0), ORDER - half(good, 1))),
  signatureOf('with r and s exchanged', (_, good) => raw(half(good, 1), half(good, 0))),
  signatureOf('with r and s of 33 bytes', (_, good) => raw(half(good, 0), half(good, 1), 33)),
  signatureOf('with s not reduced, of 33 bytes', (_, good) => raw(half(good, 0), half(good, 1) + ORDER, 33)),
  signatureOf('with a zero in front of s', (_, good) =>
    Buffer.concat([good.subarray(0, 32), Buffer.alloc(1), good.subarray(32)]),
  ),
  signatureOf('of 63 bytes', (_, good) => good.subarray(0, 63)),
  signatureOf('of 65 bytes', (_, good) => Buffer.concat([good, Buffer.alloc(1)])),
  signatureOf('of one byte', () => Buffer.alloc(1)),
  ...(['spki', 'jwk'] as const).map((form) =>
    signatureOf(`by HMAC with the public key (${form})`, (input) => {
      const secret =
        form === 'spki' ? OWN.publicKey.export({ format: 'pem', type: 'spki' }) : JSON.stringify(publicJwk(OWN));
      return createHmac('sha256', secret).update(input).digest();
    }),
  ),
];

/** With the key of `SIGNATURES` by HMAC it is the old confusion of keys. */
export const ALGORITHMS = headers(
  'alg',
  ...['none', 'None', 'nOnE', 'es256', 'ES256 ', 'ES384', 'ES512', 'ES256K', 'RS256', 'PS256', 'EdDSA', 'HS256', ''],
  ...[undefined, null, 7, ['ES256'], { a: 'ES256' }],
);

/** What names keys, or how the token is to be read. */
export const KEY_HEADERS: readonly Variant[] = [
  ...headers(
    'kid',
    'two',
    '',
    undefined,
    null,
    7,
    ['one'],
    { a: 1 },
    '../../etc/passwd',
    "' or 1=1 --",
    'k'.repeat(300),
  ),
  ...headers('jku', 'https://evil.example.com/jwks', 7),
  ...headers('x5u', 'https://evil.example.com/x', null),
  ...headers('x5c', ['AA'], 'AA'),
  ...headers('x5t', 'AA'),
  ...headers('cty', 'JWT', 7),
  ...headers('zip', 'DEF'),
  ...headers('enc', 'A128GCM'),
  ...headers('b64', true, false, 'no', null),
  ...headers('crit', [], ['exp'], ['alg'], ['b64'], ['x'], ['b64', 'b64'], 'b64', {}, null, [7]),
  {
    name: 'header crit: b64, which is true',
    change: (draft) => ({ ...draft, header: { ...draft.header, crit: ['b64'], b64: true } }),
  },
  {
    name: 'header crit: b64, which is false',
    change: (draft) => ({ ...draft, header: { ...draft.header, crit: ['b64'], b64: false } }),
  },
  {
    name: 'header crit: x, which is there',
    change: (draft) => ({ ...draft, header: { ...draft.header, crit: ['x'], x: 1 } }),
  },
];

/** Signed by somebody else who brings the key along. */
export const BROUGHT_KEYS: readonly Variant[] = [
  { ...publicJwk(STRANGER), kid: 'one' },
  STRANGER.privateKey.export({ format: 'jwk' }),
].map((jwk, i) => ({
  name: `header jwk: ${i === 0 ? 'public' : 'private'}, of who signed`,
  change: (draft) => ({
    ...draft,
    header: { ...draft.header, jwk },
    signature: (input) => es256(input, STRANGER.privateKey),
  }),
}));

export const TYPES = headers(
  'typ',
  ...['JWT', 'jwt', 'JOSE', 'curfew+jwt', 'CURFEW+JWT', 'application/curfew+jwt', 'dpop+jwt', 'DPoP+JWT', 'at+jwt', ''],
  ...[
    'application/dpop+jwt',
    'curfew-gateway+jwt',
    'Curfew-Gateway+JWT',
    'curfew-target+jwt',
    'application/curfew-target+jwt',
    'Curfew-Target+JWT',
    'logout+jwt',
    'secevent+jwt',
    undefined,
    null,
    7,
    ['curfew+jwt'],
  ],
);

const INSTANTS: readonly unknown[] = [
  ...[undefined, null, true, '1800000000', '', [], [NOW], {}, NaN, 0, -1, 1.5, NOW, NOW - 1, NOW + 1, NOW + 0.5],
  ...[NOW - 0.5, NOW + 60, NOW - 60, NOW + 61, NOW - 61, NOW + 300, NOW - 300, NOW * 1000, 2 ** 53, 2 ** 53 - 1],
];

export function instants(...members: readonly string[]): Variant[] {
  return members.flatMap((member) => [
    ...claims(member, ...INSTANTS),
    ...writtenClaims(
      member,
      '1e400',
      '-1e400',
      '-0',
      '1.8e9',
      '1800000000.0',
      '01800000000',
      '+1800000000',
      '0x6B49D200',
    ),
  ]);
}

export const TEXTS: readonly unknown[] = [undefined, null, '', 'x', 7, true, [], ['x'], {}, 'a\0b', 'a\u202eb'];
