// What an administrator is told where the identity provider answers, and cannot be used as it is set.

import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { describe, test } from 'node:test';
import { fetchDiscovery } from '../../broker/upstream/discovery.ts';
import { fetchKeySet } from '../../broker/upstream/key_set.ts';
import { CurfewError, meaning } from '../../shared/errors.ts';

const ISSUER = 'https://idp.example.com/main';
const NETWORK = meaning('identity_provider').hint;

const answering = (document: object) => ({
  get: async () => ({ ...document }),
  onDate: () => undefined,
  close: async () => undefined,
});

async function told(asked: Promise<unknown>): Promise<{ readonly message: string; readonly hint: string }> {
  const fault = await asked.then(
    () => undefined,
    (error: unknown) => error,
  );
  assert.ok(fault instanceof CurfewError);
  assert.equal(fault.code, 'identity_provider');
  assert.notEqual(fault.hint, NETWORK, 'it is not the network');
  return fault;
}

describe('a provider that names another issuer', () => {
  for (const [what, issuer, hint] of [
    ['with a final slash', `${ISSUER}/`, /exactly as it is there/],
    ['at another path', 'https://idp.example.com/other', /exactly as it is there/],
    [
      'at another host',
      'https://evil.example.com/main',
      /^identity_provider\.issuer must be what the provider calls itself/,
    ],
    ['a placeholder', 'https://login.microsoftonline.com/{tenantid}/v2.0', /placeholder.* id of your own tenant/],
    ['a placeholder at the same host', 'https://idp.example.com/{tenant}', /placeholder.* id of your own tenant/],
    ['no URL', 'main', /what the provider calls itself/],
    ['a number', 7, /what the provider calls itself/],
    ['none', undefined, /what the provider calls itself/],
  ] as const) {
    test(what, async () => {
      const { hint: said } = await told(fetchDiscovery(ISSUER, answering({ issuer, jwks_uri: `${ISSUER}/jwks` })));
      assert.match(said, hint);
    });
  }

  test('what it says is shown as what it is', async () => {
    const { message } = await told(fetchDiscovery(ISSUER, answering({ issuer: 'https://idp\u202e.example.com' })));
    assert.match(message, /"https:\/\/idp\\u202e\.example\.com"/);
  });
});

describe('keys that cannot verify anything here', () => {
  const jwk = (type: 'ed25519' | 'ed448' | 'x25519') =>
    generateKeyPairSync(type as 'ed25519').publicKey.export({ format: 'jwk' });
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({ format: 'jwk' });

  for (const [what, keys, words] of [
    ['Ed25519', [{ ...jwk('ed25519'), alg: 'EdDSA', use: 'sig' }], /kind that is not supported: OKP Ed25519 EdDSA$/],
    ['Ed25519 without alg, twice', [jwk('ed25519'), jwk('ed25519')], /not supported: OKP Ed25519$/],
    ['Ed448 and a symmetric one', [jwk('ed448'), { kty: 'oct', k: 'c2VjcmV0' }], /not supported: OKP Ed448, oct$/],
    ['ML-DSA', [{ kty: 'AKP', alg: 'ML-DSA-65', pub: 'AA' }], /not supported: AKP ML-DSA-65$/],
    ['words of its own', [{ kty: 'a\u202eb' }], /publishes no key that can sign$/],
    ['keys for encryption alone', [{ ...rsa, use: 'enc' }], /publishes no key that can sign$/],
    ['none', [], /publishes no key that can sign$/],
    ['no list', { a: 1 }, /publishes no key that can sign$/],
  ] as const) {
    test(what, async () => {
      const { message, hint } = await told(fetchKeySet(`${ISSUER}/jwks`, answering({ keys })));
      assert.match(message, words);
      if (/not supported/.test(message)) assert.match(hint, /identity_provider\.id_token_signing_algs/);
    });
  }

  test('beside one that can they do no harm', async () => {
    assert.equal((await fetchKeySet(`${ISSUER}/jwks`, answering({ keys: [jwk('ed25519'), rsa] }))).length, 1);
  });
});
