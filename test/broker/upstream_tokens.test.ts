// Whose ID tokens are taken: signature, header, issuer, audience, form (T1, T2, T3, T4, T7).

import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { seconds } from '../../shared/time.ts';
import { makeKey, startUpstreamHost } from './upstream_host.ts';
import { rsa, startUpstreamWorld, T0, type UpstreamWorld } from './upstream_world.ts';

let world: UpstreamWorld;
beforeEach(async () => {
  world = await startUpstreamWorld();
});
afterEach(() => world.stop());

describe('T1', () => {
  test('alg none, in any spelling, is refused', async () => {
    for (const alg of ['none', 'None', 'NONE', '']) {
      const [head, body] = [{ alg, kid: 'rsa' }, world.claims()].map((part) =>
        Buffer.from(JSON.stringify(part)).toString('base64url'),
      );
      for (const signature of ['', 'AA']) {
        const text = `${head}.${body}.${signature}`;
        await world.refused(signature === '' ? 'id_token_invalid' : 'id_token_signature', text);
      }
    }
  });

  test('HS256 with the public key as secret is refused', async () => {
    const secrets = [JSON.stringify(rsa.jwk), String(rsa.jwk.n), Buffer.from(String(rsa.jwk.n), 'base64url')];
    for (const secret of secrets) {
      const signed = world.token({}, { alg: 'HS256' }).split('.').slice(0, 2).join('.');
      await world.refused(
        'id_token_signature',
        `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`,
      );
    }
  });

  test('a symmetric or private key in the JWKS never verifies', async () => {
    world.upstream.keys = [{ kty: 'oct', k: 'AAAA', kid: 'rsa', alg: 'HS256' }, rsa.jwk];
    assert.equal((await world.verify(world.token())).sub, 'alice');
  });

  test('algorithms that are not listed, also in lower case, are refused', async () => {
    for (const alg of ['rs256', 'RS512', 'EdDSA', 'ES384', ['RS256'], 7, undefined]) {
      await world.refused('id_token_signature', world.token({}, { alg }));
    }
  });

  test('a key of another curve or kind than the algorithm names is refused', async () => {
    const p384 = makeKey('ES384', 'p384');
    world.upstream.keys = [rsa.jwk, p384.jwk];
    await world.refused('id_token_signature', world.token({}, { alg: 'ES256' }, p384));
    world.now = seconds(T0 + 60);
    await world.refused('id_token_signature', world.token({}, { alg: 'ES256' }));
  });

  test('a key published for another algorithm or for encryption is not used', async () => {
    for (const change of [{ alg: 'PS256' }, { use: 'enc' }, { key_ops: ['encrypt'] }]) {
      world.upstream.keys = [{ ...rsa.jwk, ...change }, makeKey('RS256', 'other').jwk];
      const fresh = world.connect();
      await assert.rejects(
        fresh.verifyIdToken(world.token(), () => world.now),
        { code: 'id_token_signature' },
      );
      await fresh.close();
    }
  });

  test('an RSA key of 1024 bits is refused', async () => {
    const weak = makeKey('RS256', 'weak', 1024);
    world.upstream.keys = [rsa.jwk, weak.jwk];
    await world.refused('id_token_signature', world.token({}, {}, weak));
  });

  test('crit, known or unknown, is refused', async () => {
    for (const crit of [['b64'], ['foo'], [], 'exp'])
      await world.refused('id_token_invalid', world.token({}, { crit, b64: true }));
  });

  test('a changed payload, header or signature is refused', async () => {
    const [head = '', body = '', signature = ''] = world.token().split('.');
    const other = Buffer.from(JSON.stringify(world.claims({ sub: 'mallory' }))).toString('base64url');
    const flipped = Buffer.from(signature, 'base64url');
    flipped[0] = (flipped[0] ?? 0) ^ 1;
    await world.refused('id_token_signature', `${head}.${other}.${signature}`);
    await world.refused('id_token_signature', `${head}.${body}.${flipped.toString('base64url')}`);
    await world.refused('id_token_signature', world.token({}, {}, { ...makeKey('RS256', 'rsa') }));
  });
});

describe('T2', () => {
  test('a hostile kid is refused or unknown, and asks for nothing but the JWKS', async () => {
    const kids = ['../../etc/passwd', "' OR 1=1 --", 'https://evil.example/jwks', '__proto__', 'k'.repeat(256)];
    for (const [i, kid] of kids.entries())
      await world.refused(i === 0 ? 'id_token_signature' : 'id_token_key', world.token({}, { kid }));
    for (const kid of [7, null, ['rsa'], { a: 1 }, 'k'.repeat(257)]) {
      await world.refused('id_token_invalid', world.token({}, { kid }));
    }
    await world.refused('identity_too_large', world.token({}, { kid: 'k'.repeat(1024 * 1024) }));
    assert.deepEqual([...new Set(world.upstream.requests)].sort(), ['/.well-known/openid-configuration', '/jwks']);
  });

  test('jku, x5u, x5c and jwk in the header bring no key and no request', async () => {
    const evil = makeKey('RS256', 'evil');
    const trap = await startUpstreamHost();
    trap.keys = [evil.jwk];
    try {
      const header = { jku: `${trap.issuer}/jwks`, x5u: `${trap.issuer}/x5u`, jwk: evil.jwk, x5c: ['AAAA'] };
      await world.refused('id_token_signature', world.token({}, header, evil));
      await world.refused('id_token_signature', world.token({}, { ...header, kid: 'rsa' }, evil));
      assert.equal((await world.verify(world.token({}, header))).sub, 'alice');
      assert.deepEqual(trap.requests, []);
    } finally {
      await trap.stop();
    }
  });
});

describe('T3', () => {
  test('another issuer, also with a final slash or in capitals, is refused', async () => {
    for (const iss of [
      `${world.upstream.issuer}/`,
      world.upstream.issuer.toUpperCase(),
      'https://evil.example',
      '',
      undefined,
      [world.upstream.issuer],
    ]) {
      await world.refused('id_token_issuer', world.token({ iss }));
    }
  });

  test('another audience is refused', async () => {
    for (const aud of [
      'other',
      'Curfew',
      '',
      undefined,
      [],
      ['other'],
      7,
      [['curfew']],
      { curfew: 1 },
      ['curfew', 7],
    ]) {
      await world.refused('id_token_audience', world.token({ aud, azp: 'curfew' }));
    }
  });

  test('another azp, or several audiences without one, is refused', async () => {
    for (const azp of ['other', '', null, ['curfew']]) await world.refused('id_token_azp', world.token({ azp }));
    await world.refused('id_token_azp', world.token({ aud: ['curfew', 'other'] }));
    await world.refused('id_token_azp', world.token({ aud: ['curfew', 'other'], azp: 'other' }));
    assert.equal((await world.verify(world.token({ aud: ['curfew', 'other'], azp: 'curfew' }))).azp, 'curfew');
    assert.deepEqual((await world.verify(world.token({ aud: ['curfew'] }))).aud, ['curfew']);
  });
});

describe('T4', () => {
  test('an ID token has one spelling: padding, stray tail bits and whitespace are refused', async () => {
    const text = world.token();
    const [head = '', body = '', signature = ''] = text.split('.');
    assert.equal((await world.verify(text)).sub, 'alice');
    const hostile = [
      ...[
        `${head}.${body}.${signature}=`,
        `${head}.${body}.${signature}==`,
        `${text} `,
        ` ${text}`,
        `${text}\n`,
        `${text}.`,
      ],
      ...[
        `${head}.${body}`,
        `${head}..${signature}`,
        `.${body}.${signature}`,
        `${head}.${body}.`,
        '',
        '...',
        'a.b.c.d.e',
      ],
      ...[`${head}.${body}.${Buffer.from(signature, 'base64url').toString('base64')}`, tailBits(signature, head, body)],
    ];
    for (const other of hostile) await world.refused('id_token_invalid', other);
  });

  test('two tokens that differ only in their signature have one hash', async () => {
    const es = makeKey('ES256', 'es');
    world.upstream.keys = [es.jwk];
    const [one, two] = [world.token({}, {}, es), world.token({}, {}, es)];
    assert.notEqual(one, two);
    assert.equal((await world.verify(one)).signing_input_hash, (await world.verify(two)).signing_input_hash);
    assert.notEqual(
      (await world.verify(one)).signing_input_hash,
      (await world.verify(world.token({ nonce: 'm' }, {}, es))).signing_input_hash,
    );
  });

  test('one larger than 16 KiB is refused before anything is asked of the IdP', async () => {
    await world.refused('identity_too_large', world.token({ padding: 'x'.repeat(16 * 1024) }));
    assert.deepEqual(world.upstream.requests, []);
  });
});

/** The same 256 signature bytes with the unused low bits of the last character set. */
function tailBits(signature: string, head: string, body: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const last = alphabet.indexOf(signature.at(-1) ?? '');
  return `${head}.${body}.${signature.slice(0, -1)}${alphabet[last | 1]}`;
}

describe('T7', () => {
  test('a Kubernetes token, a DPoP proof, a logout token or a security event is no ID token', async () => {
    for (const typ of [
      'curfew+jwt',
      'dpop+jwt',
      'logout+jwt',
      'secevent+jwt',
      'at+jwt',
      'application/curfew+jwt',
      '',
      7,
    ]) {
      await world.refused('id_token_invalid', world.token({}, { typ }));
    }
    await world.refused(
      'id_token_invalid',
      world.token({ events: { 'http://schemas.openid.net/event/backchannel-logout': {} } }),
    );
    for (const typ of [undefined, 'JWT', 'jwt', 'application/jwt'])
      assert.ok(await world.verify(world.token({}, { typ })));
  });
});
