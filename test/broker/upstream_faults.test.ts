// The identity provider's keys over time, and what happens while it misbehaves (F4, P11).

import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { createFetchJson } from '../../broker/net/fetch_json.ts';
import type { CurfewError } from '../../shared/errors.ts';
import { seconds } from '../../shared/time.ts';
import { createCertificateAuthority } from '../support/certificates.ts';
import { assertKept } from '../support/patience.ts';
import { type Answer, makeKey, startUpstreamHost } from './upstream_host.ts';
import { rsa, SHORT, startUpstreamWorld, T0, type UpstreamWorld } from './upstream_world.ts';

let world: UpstreamWorld;
beforeEach(async () => {
  world = await startUpstreamWorld();
});
afterEach(() => world.stop());

describe('keys', () => {
  const reads = () => world.upstream.requests.filter((url) => url === '/jwks').length;

  test('are read once for many logins at once', async () => {
    const tokens = Array.from({ length: 50 }, () => world.token());
    await Promise.all(tokens.map((token) => world.verify(token)));
    assert.equal(reads(), 1);
  });

  test('S17 an ID token that expires while its keys are asked for is refused', async () => {
    Object.defineProperty(world.upstream, 'keys', {
      get() {
        world.now = seconds(T0 + 300);
        return [rsa.jwk];
      },
    });
    await world.refused('id_token_expired', world.token());
  });

  test('are read again for an unknown kid, at most once in 30 s', async () => {
    const next = makeKey('RS256', 'next');
    await world.verify(world.token());
    world.upstream.keys = [next.jwk];
    await world.refused('id_token_key', world.token({}, {}, next), /did not publish a moment ago/);
    assert.equal(reads(), 1);
    world.now = seconds(T0 + 30);
    const both = await Promise.all([1, 2, 3].map(() => world.verify(world.token({}, {}, next))));
    assert.equal(both.length, 3);
    assert.equal(reads(), 2);
    world.now = seconds(T0 + 59);
    await world.refused('id_token_key', world.token());
    assert.equal(reads(), 2);
    world.now = seconds(T0 + 60);
    await world.refused('id_token_signature', world.token(), /does not publish/);
    assert.equal(reads(), 3);
  });

  test('after a change of keys who logs in too soon is told when to try again', async () => {
    const next = makeKey('RS256', 'next');
    await world.verify(world.token());
    world.upstream.keys = [next.jwk];
    for (const [passed, wait] of [
      [0, 30],
      [12, 18],
      [29, 1],
    ] as const) {
      world.now = seconds(T0 + passed);
      await assert.rejects(world.verify(world.token({}, {}, next)), { code: 'id_token_key', retry_after: wait });
    }
    world.now = seconds(T0 + 30);
    assert.ok(await world.verify(world.token({}, {}, next)));
  });

  test('are read again behind a bad signature by a known kid, at most once in 30 s', async () => {
    await world.verify(world.token());
    const other = makeKey('RS256', 'rsa');
    for (const passed of [0, 29]) {
      world.now = seconds(T0 + passed);
      await world.refused('id_token_signature', world.token({}, {}, other));
    }
    assert.equal(reads(), 1);
    world.upstream.keys = [other.jwk];
    world.now = seconds(T0 + 30);
    // By what was known; nobody waits for what is asked behind it.
    await world.refused('id_token_signature', world.token({}, {}, other));
    await world.idp.refresh();
    assert.equal(reads(), 2);
    assert.ok(await world.verify(world.token({}, {}, other)));
  });

  test('are read again before a login is judged by old ones, and a key that was removed is no longer accepted', async () => {
    const next = makeKey('RS256', 'next');
    await world.verify(world.token());
    world.upstream.keys = [next.jwk];
    const long = { exp: T0 + 9999 };
    world.now = seconds(T0 + 599);
    assert.ok(await world.verify(world.token(long)));
    world.now = seconds(T0 + 600);
    await world.refused('id_token_signature', world.token(long), /does not publish/);
    assert.ok(await world.verify(world.token(long, {}, next)));
  });

  test('a clock set back by hours does not keep them from being read', async () => {
    const next = makeKey('RS256', 'next');
    world.now = seconds(T0 + 7200);
    await world.verify(world.token({ exp: T0 + 9999 }));
    world.upstream.keys = [next.jwk];
    world.now = T0;
    assert.ok(await world.verify(world.token({}, {}, next)));
  });
});

const MISBEHAVIOUR: readonly (readonly [Answer, RegExp])[] = [
  ['hang', /did not answer in time/],
  ['drip', /did not answer in time/],
  ['slow_drip_of_json', /did not answer in time/],
  ['500', /answered 500/],
  ['html', /not a JSON object/],
  ['list', /not a JSON object/],
  ['redirect', /redirect \(302\)/],
  ['large', /more than 1 MiB/],
  ['cut', /cannot be reached/],
];

describe('F4', () => {
  const away = async (words: RegExp) => {
    const start = performance.now();
    await world.refused('identity_provider', world.token(), words);
    await world.refused('identity_provider', world.token(), new RegExp(world.upstream.host.replaceAll('.', '\\.')));
    return (performance.now() - start) / 2;
  };

  for (const place of ['discovery', 'jwks'] as const) {
    for (const [how, words] of MISBEHAVIOUR) {
      test(`a login fails in time and says why: ${place} ${how}`, async () => {
        world.upstream[place] = how;
        const slow = words.source.includes('in time');
        if (slow) world.waits = SHORT;
        const ms = await away(words);
        // The others are known at once, however long the machine takes to see it.
        if (slow) assertKept(ms, SHORT.total);
      });
    }
  }

  test('a login fails and says why: another issuer, an unsafe jwks_uri, no keys', async () => {
    world.upstream.discovery = 'wrong_issuer';
    await away(/names another issuer/);
    world.now = seconds(T0 + 10);
    world.upstream.discovery = 'unsafe_jwks_uri';
    await away(/no jwks_uri that is a safe URL/);
    world.now = seconds(T0 + 20);
    world.upstream.discovery = 'good';
    world.upstream.jwks = 'no_keys';
    await away(/publishes no key/);
    world.now = seconds(T0 + 30);
    world.upstream.jwks = 'good';
    assert.ok(await world.verify(world.token()));
  });

  test('a redirect is not followed', async () => {
    world.upstream.discovery = 'redirect';
    await away(/redirect/);
    assert.ok(!world.upstream.requests.includes('/elsewhere'));
  });

  test('a host that refuses connections, or whose name nobody knows, is said so', async () => {
    const { host } = world.upstream;
    await world.upstream.stop();
    await world.refused(
      'identity_provider',
      world.token(),
      new RegExp(`${host.replaceAll('.', '\\.')} refused the connection`),
    );
    const unknown = createFetchJson(undefined, SHORT);
    await assert.rejects(unknown.get('https://world.idp.invalid/x'), /idp\.invalid (has no address|did not answer)/);
    await unknown.close();
  });

  test('with the waits that are shipped, a hanging IdP is given up within 8 s', async () => {
    world.upstream.discovery = 'good';
    world.upstream.jwks = 'hang';
    const real = createFetchJson(undefined);
    const start = performance.now();
    await assert.rejects(real.get(`${world.upstream.issuer}/jwks`), { code: 'identity_provider' });
    assertKept(performance.now() - start, 8_000);
    await real.close();
  });

  test('what was read before stays in use while the IdP is away, for known keys', async () => {
    world.waits = { connect: 1_000, total: 2_000 };
    await world.verify(world.token());
    const long = { exp: T0 + 99_999 };
    for (const [i, how] of (['hang', '500', 'html', 'wrong_issuer', 'no_keys'] as const).entries()) {
      [world.upstream.discovery, world.upstream.jwks] = [how, how];
      world.now = seconds(T0 + 700 * (i + 1));
      assert.ok(await world.verify(world.token(long)));
      await assert.rejects(world.idp.refresh(), { code: 'identity_provider' });
    }
    assert.ok(world.logged.some((line) => line.includes('last answers stay in use')));
    world.now = seconds(world.now + 60);
    await world.refused('identity_provider', world.token(long, {}, makeKey('RS256', 'next')));
  });

  test('the IdP with other keys: tokens by the old ones go on, others are refused as not published', async () => {
    world.upstream.keys = [makeKey('RS256', 'unrelated').jwk];
    await world.refused('id_token_signature', world.token(), /does not publish/);
  });

  test('an IdP that comes back is used within 10 s, however many have asked meanwhile', async () => {
    world.upstream.discovery = '500';
    await world.refused('identity_provider', world.token());
    world.upstream.discovery = 'good';
    for (let passed = 0; passed < 10; passed++) {
      world.now = seconds(T0 + passed);
      for (let i = 0; i < 5; i++) await world.refused('identity_provider', world.token(), /answered 500/);
    }
    world.now = seconds(T0 + 10);
    assert.ok(await world.verify(world.token()));
  });

  const AWAY: readonly (readonly [string, () => void])[] = [
    ['answers 500', () => Object.assign(world.upstream, { discovery: '500' })],
    ['has no keys', () => Object.assign(world.upstream, { jwks: 'no_keys' })],
    ['is another', () => Object.assign(world.upstream, { discovery: 'wrong_issuer' })],
    ['breaks off', () => Object.assign(world.upstream, { discovery: 'cut' })],
    ['says nothing of use', () => Object.assign(world.upstream, { jwks: 'html' })],
  ];
  for (const [name, fault] of AWAY) {
    test(`T2 while the IdP ${name}, since the start, junk tokens cost it one question in 10 s`, async () => {
      fault();
      const junk = (i: number) => world.token({}, {}, makeKey('RS256', `junk-${i}`));
      const few = Array.from({ length: 3 }, (_, i) => junk(i));
      for (let passed = 0; passed < 30; passed++) {
        world.now = seconds(T0 + passed);
        for (const token of few) {
          await assert.rejects(world.verify(token), (error: CurfewError) => {
            // None of the first of each round: that one asked.
            const wait = error.retry_after ?? 10 - (passed % 10);
            assert.deepEqual([error.code, wait], ['identity_provider', 10 - (passed % 10)]);
            return true;
          });
        }
      }
      const asked = world.upstream.requests.filter((url) => url.endsWith('/openid-configuration'));
      assert.equal(asked.length, 3);
    });
  }

  test('T2 a key that nobody knows is looked for once while the IdP is away, and soon after it is back', async () => {
    await world.verify(world.token());
    const next = makeKey('RS256', 'next');
    world.now = seconds(T0 + 30);
    world.upstream.jwks = '500';
    await world.refused('identity_provider', world.token({}, {}, next));
    const before = world.upstream.requests.length;
    for (let i = 0; i < 20; i++) await world.refused('id_token_key', world.token({}, {}, next));
    assert.equal(world.upstream.requests.length, before);
    world.upstream.jwks = 'good';
    world.upstream.keys = [next.jwk];
    world.now = seconds(T0 + 40);
    assert.ok(await world.verify(world.token({}, {}, next)));
  });
});

describe('over https', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'curfew-upstream-'));
  });
  after(() => rm(folder, { recursive: true }));

  test('P11: an IdP is trusted by its CA file alone, whatever NODE_TLS_REJECT_UNAUTHORIZED says', async () => {
    const ca = await createCertificateAuthority(folder);
    const { certFile, keyFile } = await ca.issue({ name: 'idp', hosts: ['127.0.0.1'] });
    await world.upstream.stop();
    world.upstream = await startUpstreamHost({
      cert: await readFile(certFile, 'utf8'),
      key: await readFile(keyFile, 'utf8'),
    });
    world.upstream.keys = [rsa.jwk];
    const waits = { connect: 3000, total: 5000 };
    const trusting = world.connect(waits, ca.caPem);
    assert.equal((await trusting.verifyIdToken(world.token(), () => world.now)).sub, 'alice');
    world.upstream.metadata = { jwks_uri: 'http://127.0.0.1:1/jwks' };
    await assert.rejects(trusting.refresh(), /safe URL/);
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
    const doubting = world.connect(waits);
    try {
      await assert.rejects(doubting.refresh(), { code: 'identity_provider', message: /not trusted .*ca_file/ });
      assert.deepEqual([trusting.failures.answer, doubting.failures.certificate], [1, 1]);
    } finally {
      delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
      await trusting.close();
      await doubting.close();
    }
  });
});
