// The identity provider's keys while somebody sends tokens to move when they are read: no key is taken for longer by that, and the provider is
// asked no more often than without, whatever comes and however it answers.

import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { createSigner, type Published } from '../../broker/upstream/published_keys.ts';
import { seconds } from '../../shared/time.ts';
import { type Answer, makeKey, signJws } from './upstream_host.ts';
import { rsa, startUpstreamWorld, T0, type UpstreamWorld } from './upstream_world.ts';

let world: UpstreamWorld;
beforeEach(async () => {
  world = await startUpstreamWorld();
});
afterEach(() => world.stop());

const LONG = { exp: T0 + 99_999 };
const FORGED = makeKey('RS256', 'rsa');
const UNRELATED = makeKey('ES256', 'unrelated');
const ANONYMOUS = makeKey('RS256');

/** A token of each kind that anybody can make, none of them by a published key; each second with other names of keys. */
function junk(second: number): readonly string[] {
  const logout = { iat: T0, exp: T0 + 99_999, jti: `j-${second}`, sub: 'alice', events: {} };
  return [
    world.token(LONG, {}, FORGED),
    world.token(LONG, { kid: `made-up-${second}` }, UNRELATED),
    world.token(LONG, { kid: undefined }, ANONYMOUS),
    world.token(LONG, { kid: `../${second}` }, FORGED),
    `${world.token(LONG).slice(0, -8)}AAAAAAAA`,
    signJws(FORGED, logout, { typ: 'logout+jwt' }),
    signJws(UNRELATED, logout, { typ: 'logout+jwt', kid: `other-${second}` }),
  ];
}

const flood = (second: number) =>
  Promise.all(
    junk(second).map((text) =>
      assert.rejects(second % 2 === 0 ? world.verify(text) : world.idp.verifyLogoutToken(text, world.now), {
        name: 'CurfewError',
      }),
    ),
  );

/** One reading is both of them. */
const readings = () => world.upstream.requests.filter((url) => url.endsWith('/openid-configuration')).length;
/** What is asked behind a question has come. */
const settled = async () => {
  for (let seen = -1; seen !== world.upstream.requests.length; ) {
    seen = world.upstream.requests.length;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
};

describe('T2 keys of the identity provider are read no more often for all that strangers send', () => {
  const MINUTES = 2;
  const CASES: readonly (readonly [string, Partial<Record<'discovery' | 'jwks', Answer>>, number])[] = [
    ['while it answers', {}, 30],
    ['while it answers 500', { discovery: '500' }, 10],
    ['while its keys are HTML', { jwks: 'html' }, 10],
    ['while it breaks off', { jwks: 'cut' }, 10],
  ];
  for (const [name, fault, pause] of CASES)
    test(`T2 ${name}: once in ${pause} s in all, by names of keys, bad signatures, ID tokens and logout tokens together`, async () => {
      await world.verify(world.token());
      Object.assign(world.upstream, fault);
      for (let second = 0; second < MINUTES * 60; second += 1) {
        world.now = seconds(T0 + second);
        await flood(second);
      }
      await settled();
      const most = 1 + Math.ceil((MINUTES * 60) / pause);
      assert.ok(readings() > most / 3, `${readings()}: what comes is not looked at`);
      assert.ok(readings() <= most, `${readings()} times, where ${most} are enough`);
    });

  test('T2 a failure of a kind that nobody thought of is bounded as any other', async () => {
    let [asked, now] = [0, T0];
    const signer = createSigner<Published>({
      name: 'identity provider',
      load() {
        asked += 1;
        return Promise.reject(new TypeError('not thought of'));
      },
      now: () => now,
      log: { warn: () => undefined },
    });
    for (let second = 0; second < 30; second += 1) {
      now = seconds(T0 + second);
      for (let n = 0; n < 3; n += 1) await assert.rejects(signer.verify(world.token(), { alg: 'RS256', kid: 'rsa' }));
    }
    assert.equal(asked, 3);
  });
});

describe('T2 a key that the identity provider takes back is taken no longer for what strangers send', () => {
  const ends = async (with_flood: boolean): Promise<number> => {
    await world.verify(world.token());
    const next = makeKey('RS256', 'next');
    world.upstream.keys = [next.jwk];
    for (let second = 1; second < 700; second += 1) {
      world.now = seconds(T0 + second);
      if (with_flood) await flood(second);
      await settled();
      const is_taken = await world.verify(world.token(LONG)).then(
        () => true,
        () => false,
      );
      if (!is_taken) return second;
    }
    return Number.POSITIVE_INFINITY;
  };

  test('T2 it is refused within 30 s where they make us look, and never again', async () => {
    assert.ok((await ends(true)) <= 31);
    for (let second = 0; second < 120; second += 1) {
      world.now = seconds(world.now + 1);
      await flood(second);
      await assert.rejects(world.verify(world.token(LONG)), { name: 'CurfewError' });
    }
  });

  test('F4 T2 nor is it for longer than a day where they keep us from reading; within that the last answer stays in use', async () => {
    await world.verify(world.token());
    for (const answer of ['500', 'html', 'no_keys', 'wrong_issuer'] as const) {
      [world.upstream.discovery, world.upstream.jwks] = [answer, answer];
      await assert.rejects(world.idp.refresh(), { code: 'identity_provider' });
    }
    world.now = seconds(T0 + 86_399);
    assert.ok(await world.verify(world.token(LONG)));
    await settled();
    world.upstream.discovery = '500';
    world.now = seconds(T0 + 86_410);
    await world.refused('identity_provider', world.token(LONG));
    const logout = signJws(rsa, { iss: world.upstream.issuer, aud: 'curfew' }, { typ: 'logout+jwt' });
    // Put off, not refused: it is sent again.
    await assert.rejects(world.idp.verifyLogoutToken(logout, world.now), { code: 'identity_provider' });
    [world.upstream.discovery, world.upstream.jwks] = ['good', 'good'];
    world.now = seconds(T0 + 86_430);
    assert.ok(await world.verify(world.token(LONG)));
  });

  test('T2 an answer that took long brings back nothing that a later one took away', async () => {
    await world.verify(world.token());
    const next = makeKey('RS256', 'next');
    // What is under way is joined by all that ask meanwhile: no two answers are ever on their way.
    let [under_way, most, old] = [0, 0, true];
    const signer = createSigner<Published>({
      name: 'identity provider',
      async load() {
        under_way += 1;
        most = Math.max(most, under_way);
        const jwk = old ? rsa.jwk : next.jwk;
        await new Promise((resolve) => setTimeout(resolve, 30));
        under_way -= 1;
        return { keys: [{ kid: String(jwk.kid), jwk }] };
      },
      now: () => world.now,
      log: { warn: () => undefined },
    });
    const by_old = () => signer.verify(world.token(), { alg: 'RS256', kid: 'rsa' });
    assert.equal(await by_old(), 'good');
    world.now = seconds(T0 + 30);
    const reading = signer.refresh();
    old = false;
    await Promise.all([reading, signer.refresh(), by_old(), signer.refresh()]);
    await signer.refresh();
    assert.equal(most, 1);
    assert.notEqual(await by_old(), 'good');
  });
});
