// Kubernetes tokens are taken back as strictly as they were minted, each rule broken alone.

import assert from 'node:assert/strict';
import { createHmac, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { before, describe, test } from 'node:test';
import type { Config } from '../../broker/config/settings.ts';
import type { Keys } from '../../broker/tokens/keys.ts';
import { signToken, type TokenClaims } from '../../broker/tokens/mint.ts';
import { verifyToken } from '../../broker/tokens/verify.ts';
import { type Seconds, seconds } from '../../shared/time.ts';
import { makeConfigFiles } from './config_files.ts';

const NOW = seconds(1_800_000_000);
const CLAIMS: TokenClaims = {
  ...{ iss: 'https://curfew.example.com', aud: 'dev', sub: 'alice-sub', username: 'curfew:alice@example.com' },
  ...{ groups: ['curfew:dev'], sid: 'c2lk', jti: 'anRp', acr: 'mfa' },
  ...{ iat: NOW, nbf: NOW, exp: seconds(NOW + 300), auth_time: NOW },
};

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

function makeKeys(kid: string): Pick<Keys, 'signing' | 'jwks'> {
  const { privateKey: key, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { x = '', y = '' } = publicKey.export({ format: 'jwk' });
  return {
    signing: { kid, key, sign_from: NOW },
    jwks: { keys: [{ kty: 'EC', crv: 'P-256', x, y, kid, alg: 'ES256', use: 'sig' }] },
  };
}

const keys = makeKeys('one');
let config: Config;
before(async () => {
  config = await (await makeConfigFiles()).load();
});

const take = (text: string, now: Seconds = NOW) => verifyToken({ config, keys }, text, now);

interface Change {
  readonly header?: Readonly<Record<string, unknown>>;
  readonly claims?: Readonly<Record<string, unknown>>;
  readonly key?: KeyObject;
}

/** A token signed by our key, unless another one is given. */
function token({ header = {}, claims = {}, key = keys.signing.key }: Change = {}): string {
  const signed = `${encode({ alg: 'ES256', typ: 'curfew+jwt', kid: 'one', ...header })}.${encode({ ...CLAIMS, ...claims })}`;
  const hash = key.asymmetricKeyDetails?.namedCurve === 'secp384r1' ? 'sha384' : 'sha256';
  return `${signed}.${sign(hash, Buffer.from(signed), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
}

describe('a Kubernetes token', () => {
  test('that was minted here is taken, with its claims', () => {
    assert.deepEqual(take(signToken(keys, CLAIMS)), CLAIMS);
    const { acr: _, ...plain } = CLAIMS;
    assert.deepEqual(take(signToken(keys, plain)), plain);
  });

  test('that was taken before is over at its exp, refused once its key is not ours any more, and lends nothing to another signature', () => {
    const [text, other] = [token(), token()];
    assert.ok(take(text));
    assert.ok(take(text));
    assert.equal(take(text, CLAIMS.exp), undefined);
    const signed = text.slice(0, text.lastIndexOf('.'));
    const altered = Buffer.from(text.slice(signed.length + 1), 'base64url');
    altered[10] = (altered[10] ?? 0) ^ 1;
    assert.equal(take(`${signed}.${altered.toString('base64url')}`), undefined);
    assert.equal(take(`${signed}.`), undefined);
    assert.ok(take(other), 'ECDSA signs the same differently each time');
    // Another key of the same name, and none.
    const { jwks } = makeKeys('one');
    assert.equal(verifyToken({ config, keys: { jwks } }, text, NOW), undefined);
    assert.equal(verifyToken({ config, keys: { jwks: { keys: [] } } }, text, NOW), undefined);
  });

  test('S1 is taken one second before exp and refused at exp itself; before nbf it is refused (S7)', () => {
    assert.ok(take(token(), seconds(NOW + 299)));
    assert.equal(take(token(), seconds(NOW + 300)), undefined);
    assert.equal(take(token(), seconds(NOW - 1)), undefined);
    assert.equal(take(token({ claims: { iat: NOW + 300, nbf: NOW, exp: NOW + 300 } })), undefined);
  });

  const other = () => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  const publicJwk = (key: KeyObject) => createPublicKey(key).export({ format: 'jwk' });
  const stranger = other();
  const broken: readonly [string, () => string][] = [
    [
      'T1 of alg none',
      () =>
        `${token({ header: { alg: 'none' } })
          .split('.')
          .slice(0, 2)
          .join('.')}.`,
    ],
    ['T1 of alg none with a signature', () => token({ header: { alg: 'none' } })],
    ['T1 of a lower-case alg', () => token({ header: { alg: 'es256' } })],
    ['T1 of HS256 with our public key', () => hmacToken()],
    [
      'T1 of another curve',
      () => token({ header: { alg: 'ES384' }, key: generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey }),
    ],
    ['T1 with an unknown crit header', () => token({ header: { crit: ['x'], x: 1 } })],
    ['T1 signed by another key under our kid', () => token({ key: stranger })],
    ['T2 of an unknown kid', () => token({ header: { kid: 'two' } })],
    ['T2 whose kid is a number', () => token({ header: { kid: 1 } })],
    ['T2 without kid', () => token({ header: { kid: undefined } })],
    ['T2 that brings its own key', () => token({ header: { jwk: publicJwk(stranger) }, key: stranger })],
    ['T7 of another typ', () => token({ header: { typ: 'JWT' } })],
    ['T7 of the typ of a proof', () => token({ header: { typ: 'dpop+jwt' } })],
    ['T7 without typ', () => token({ header: { typ: undefined } })],
    ['T3 of another issuer', () => token({ claims: { iss: 'https://other.example.com' } })],
    ['T3 of the issuer with a slash', () => token({ claims: { iss: `${CLAIMS.iss}/` } })],
    ['T3 for an unknown audience', () => token({ claims: { aud: 'elsewhere' } })],
    ["T3 for the broker's own client", () => token({ claims: { aud: 'curfew' } })],
    ['T3 for several audiences', () => token({ claims: { aud: ['dev'] } })],
    ...['sub', 'username', 'sid', 'jti', 'iat', 'nbf', 'exp', 'auth_time', 'groups'].flatMap(
      (claim): [string, () => string][] => [
        [`T1 without ${claim}`, () => token({ claims: { [claim]: undefined } })],
        [`T1 whose ${claim} has another form`, () => token({ claims: { [claim]: [1.5] } })],
      ],
    ),
    ['T1 whose acr has another form', () => token({ claims: { acr: 1 } })],
    ['T4 with padding', () => `${token()}=`],
    ['T4 with a line break', () => `${token()}\n`],
    ['T7 that is a handle', () => 'c'.repeat(43)],
    ['T7 that is empty', () => ''],
  ];
  for (const [name, text] of broken) {
    test(`${name} is refused`, () => assert.equal(take(text()), undefined));
  }

  function hmacToken(): string {
    const pem = createPublicKey(keys.signing.key).export({ format: 'pem', type: 'spki' });
    const signed = `${encode({ alg: 'HS256', typ: 'curfew+jwt', kid: 'one' })}.${encode(CLAIMS)}`;
    return `${signed}.${createHmac('sha256', pem).update(signed).digest('base64url')}`;
  }
});
