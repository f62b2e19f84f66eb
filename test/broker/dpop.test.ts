// T6: one key has one thumbprint, and one proof one identity, however they are spelled.

import assert from 'node:assert/strict';
import { createPublicKey, createSecretKey, randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import { createProofVerifier, type Proof } from '../../broker/tokens/dpop.ts';
import { CurfewError } from '../../shared/errors.ts';
import { seconds } from '../../shared/time.ts';
import { Holder, type ProofOptions } from '../support/holder.ts';

const NOW = seconds(1_800_000_000);
const ISSUER = 'https://curfew.example.com';
const verifier = createProofVerifier(createSecretKey(randomBytes(32)), () => NOW);
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

function verify(holder: Holder, options: ProofOptions): Proof | string {
  try {
    return verifier.verify(holder.proof(options), { method: 'POST', url: `${ISSUER}/token` });
  } catch (error) {
    if (error instanceof CurfewError) return error.code;
    throw error;
  }
}

interface Jwk {
  readonly crv: string;
  readonly kty: string;
  readonly x: string;
  readonly y: string;
}

function holderWithJwk(): { readonly holder: Holder; readonly jwk: Jwk } {
  const holder = new Holder({ url: '', issuer: ISSUER }, () => NOW);
  return { holder, jwk: createPublicKey(holder.key).export({ format: 'jwk' }) as unknown as Jwk };
}

/** Every spelling of the same 32 bytes that a lenient decoder takes. */
function spellings(text: string): string[] {
  const last = ALPHABET.indexOf(text.at(-1) ?? '');
  const bits = [1, 2, 3].map((bit) => text.slice(0, -1) + ALPHABET[last ^ bit]);
  const standard = text.replaceAll('-', '+').replaceAll('_', '/');
  return [
    ...bits,
    ...[
      `${text}=`,
      `${text}==`,
      `${text}A`,
      `AA${text}`,
      ` ${text}`,
      `${text}\n`,
      `${text.slice(0, 9)}.${text.slice(9)}`,
    ],
    ...(standard === text ? [] : [standard]),
  ];
}

describe('the key of a proof', () => {
  test('T6 has one spelling: spare bits, padding, another alphabet or white space are refused', () => {
    for (let i = 0; i < 20; i++) {
      const { holder, jwk } = holderWithJwk();
      for (const member of ['x', 'y'] as const) {
        for (const spelled of spellings(jwk[member])) {
          const decoded = Buffer.from(spelled, 'base64url');
          const answer = verify(holder, { header: { jwk: { ...jwk, [member]: spelled } } });
          assert.equal(answer, 'proof_invalid', `${member} ${JSON.stringify(spelled)} (${decoded.length} bytes)`);
        }
      }
    }
  });

  for (const [what, change] of [
    ['another case of crv', { crv: 'p-256' }],
    ['another name of the curve', { crv: 'secp256r1' }],
    ['another case of kty', { kty: 'ec' }],
    ['a list for x', { x: ['AA'] }],
    ['a number for y', { y: 7 }],
    ['null for y', { y: null }],
    ['the private part', { d: 'AA' }],
    ['the private part, null', { d: null }],
  ] as const) {
    test(`T6 with ${what} is refused`, () => {
      const { holder, jwk } = holderWithJwk();
      assert.equal(verify(holder, { header: { jwk: { ...jwk, ...change } } }), 'proof_invalid');
    });
  }

  test('T6 with further members, in any order, is the same key', () => {
    const { holder, jwk } = holderWithJwk();
    const { x, y, kty, crv } = jwk;
    for (const same of [
      jwk,
      { y, x, crv, kty },
      { ...jwk, kid: 'k', use: 'sig', alg: 'ES256', key_ops: ['verify'], ext: true },
    ]) {
      const proof = verify(holder, { header: { jwk: same } });
      assert.equal(typeof proof === 'string' ? proof : proof.jkt, holder.jkt);
    }
  });

  test('T6 with a coordinate that is not reduced is refused', () => {
    const p = 2n ** 256n - 2n ** 224n + 2n ** 192n + 2n ** 96n - 1n;
    const b = 0x5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604bn;
    const power = (base: bigint, exponent: bigint): bigint => {
      let [result, square] = [1n, base % p];
      for (let rest = exponent; rest > 0n; rest >>= 1n) {
        if (rest & 1n) result = (result * square) % p;
        square = (square * square) % p;
      }
      return result;
    };
    const text = (value: bigint) => Buffer.from(value.toString(16).padStart(64, '0'), 'hex').toString('base64url');
    let tried = 0;
    // Of the small ones about half are the abscissa of a point; each has a second spelling below 2^256.
    for (let x = 1n; x < 40n; x++) {
      const square = (x ** 3n - 3n * x + b) % p;
      const y = power(square, (p + 1n) / 4n);
      if ((y * y) % p !== square) continue;
      tried += 1;
      const jwk = { kty: 'EC', crv: 'P-256', x: text(x), y: text(y) };
      createPublicKey({ key: jwk, format: 'jwk' });
      assert.throws(() => createPublicKey({ key: { ...jwk, x: text(x + p) }, format: 'jwk' }));
      const { holder } = holderWithJwk();
      assert.equal(verify(holder, { header: { jwk: { ...jwk, x: text(x + p) } } }), 'proof_invalid');
    }
    assert.ok(tried > 5);
  });
});

describe('the identity of a proof', () => {
  test('T6 is its key and jti, whatever else is spelled otherwise', () => {
    const { holder } = holderWithJwk();
    const nonce = verifier.nonce();
    const proofs = [
      {},
      { url: `${ISSUER}/token?x=1#y` },
      { claims: { ath: 'x' } },
      { header: { kid: 'k' } },
      { nonce },
    ].map((more) => {
      const { claims = {}, ...rest } = more as ProofOptions;
      const proof = verify(holder, { ...rest, claims: { ...claims, jti: 'the-same-jti' } });
      return typeof proof === 'string' ? proof : `${proof.minute} ${Buffer.from(proof.hash).toString('hex')}`;
    });
    assert.equal(new Set(proofs).size, 1, String(proofs));
  });

  test('T6 a nonce has one spelling', () => {
    const nonce = verifier.nonce();
    const [time = '', tag = ''] = nonce.split('.');
    const { holder } = holderWithJwk();
    assert.notEqual(verify(holder, { nonce }), 'proof_nonce');
    const last = ALPHABET.indexOf(tag.at(-1) ?? '');
    for (let bit = 1; bit < 16; bit++) {
      assert.equal(verify(holder, { nonce: `${time}.${tag.slice(0, -1)}${ALPHABET[last ^ bit]}` }), 'proof_nonce');
    }
    for (const spelled of [
      `${nonce}=`,
      `${nonce}.x`,
      ` ${nonce}`,
      `0${nonce}`,
      `${time.toUpperCase()}.${tag}`,
      `.${tag}`,
      time,
    ]) {
      assert.equal(verify(holder, { nonce: spelled }), 'proof_nonce', spelled);
    }
  });
});

test('T6 a proof for a URL with a name or a password in it is for another URL; query and fragment do not count', () => {
  const { holder } = holderWithJwk();
  const to = (htu: string) => verify(holder, { claims: { htu } });
  for (const htu of ['https://alice@curfew.example.com/token', 'https://:x@curfew.example.com/token'])
    assert.equal(to(htu), 'proof_invalid', htu);
  for (const htu of [
    `${ISSUER}/token?x=y`,
    `${ISSUER}/token#x`,
    `${ISSUER}:443/token`,
    'HTTPS://CURFEW.example.com/token',
  ])
    assert.equal(typeof to(htu), 'object', htu);
});
