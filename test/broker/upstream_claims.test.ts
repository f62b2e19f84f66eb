// What the claims of an ID token must say, times above all (S4, F7), and that nothing else comes through.

import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import fc from 'fast-check';
import { CurfewError, isCode } from '../../shared/errors.ts';
import { seconds } from '../../shared/time.ts';
import { makeKey, signJws } from './upstream_host.ts';
import { type Claims, rsa, startUpstreamWorld, T0, type UpstreamWorld } from './upstream_world.ts';

let world: UpstreamWorld;
beforeEach(async () => {
  world = await startUpstreamWorld();
});
afterEach(() => world.stop());

describe('an ID token', () => {
  test('that is good gives its claims, frozen', async () => {
    const verified = await world.verify(
      world.token({ acr: 'mfa', amr: ['pwd', 'otp'], sid: 's1', email: 'a@example.com' }),
    );
    const { signing_input_hash, claims: raw, ...known } = verified;
    assert.deepEqual(known, {
      ...{ iss: world.upstream.issuer, sub: 'alice', aud: ['curfew'], azp: undefined, exp: T0 + 300, iat: T0 - 1 },
      ...{ auth_time: T0 - 10, raw_auth_time: T0 - 10, nonce: 'n', acr: 'mfa', amr: ['pwd', 'otp'], sid: 's1' },
    });
    assert.equal(raw.email, 'a@example.com');
    assert.match(signing_input_hash, /^[\w-]{43}$/);
    assert.ok(Object.isFrozen(verified));
  });

  test('may be signed with RS256, PS256 and ES256', async () => {
    const others = [makeKey('PS256', 'ps'), makeKey('ES256', 'es')];
    world.upstream.keys = [rsa, ...others].map(({ jwk }) => jwk);
    for (const key of [rsa, ...others]) assert.equal((await world.verify(world.token({}, {}, key))).sub, 'alice');
  });

  test('without a kid is verified by whichever key fits', async () => {
    const other = makeKey('RS256');
    world.upstream.keys = [makeKey('ES256', 'es').jwk, rsa.jwk, other.jwk];
    assert.equal((await world.verify(world.token({}, {}, other))).sub, 'alice');
    assert.equal((await world.verify(world.token({}, { kid: undefined }))).sub, 'alice');
  });

  test('is over at exp itself', async () => {
    assert.equal((await world.verify(world.token({ exp: T0 + 1 }))).exp, T0 + 1);
    await world.refused('id_token_expired', world.token({ exp: T0 }));
    await world.refused('id_token_expired', world.token({ exp: T0 - 1 }));
    assert.equal((await world.verify(world.token({ exp: T0 + 1.9 }))).exp, T0 + 1);
    await world.refused('id_token_expired', world.token({ exp: T0 + 0.9 }));
    for (const exp of [undefined, `${T0 + 9}`, -1, null]) await world.refused('id_token_invalid', world.token({ exp }));
  });

  test('without sub, with an endless one, or with control characters in it is refused', async () => {
    for (const sub of [undefined, '', 7, 'a'.repeat(256), 'a\0b'])
      await world.refused('id_token_invalid', world.token({ sub }));
  });

  test('with a nonce that is no text is refused, not taken for one without', async () => {
    for (const nonce of ['', 7, null, ['n']]) await world.refused('id_token_nonce', world.token({ nonce }));
    assert.equal((await world.verify(world.token({ nonce: undefined }))).nonce, undefined);
  });

  test('T14 has the usual forms of acr, amr and sid, and with another form is refused by name', async () => {
    const { acr, amr, sid } = await world.verify(world.token({ acr: null, amr: 'pwd', sid: null }));
    assert.deepEqual([acr, amr, sid], [undefined, ['pwd'], undefined]);
    await world.refused('acr', world.token({ acr: 2 }), /an acr that is not a text/);
    await world.refused('amr', world.token({ amr: [7] }), /a method in its amr that is not a text/);
    await world.refused('id_token_invalid', world.token({ sid: { a: 1 } }), /unusable sid/);
  });
});

describe('S4', () => {
  const raw = (auth_time: string) =>
    signJws(rsa, JSON.stringify(world.claims({ auth_time: 0 })).replace('"auth_time":0', `"auth_time":${auth_time}`));

  test('an auth_time that is missing, a text, negative or beyond numbers is refused by name', async () => {
    await world.refused('auth_time', world.token({ auth_time: undefined }), /no auth_time/);
    for (const text of [`"${T0}"`, '-1', '-0.5', '1e400', '-1e400', 'null', 'true', '[1]', '{}', '1e17']) {
      await world.refused('auth_time', raw(text), /auth_time/);
    }
    assert.equal((await world.verify(raw('18e8'))).auth_time, T0);
    // RFC 7519 2: it may have a fraction, which makes no login younger
    assert.equal((await world.verify(raw(`${T0 - 1}.999`))).auth_time, T0 - 1);
  });

  test('an auth_time ahead within clock_skew counts as now; beyond it is refused as clock', async () => {
    assert.equal((await world.verify(world.token({ auth_time: T0 + 5, iat: T0 + 5 }))).auth_time, T0);
    await world.refused('clock', world.token({ auth_time: T0 + 6, iat: T0 + 5 }), /auth_time 6s in the future/);
    await world.refused('clock', world.token({ auth_time: Number.MAX_SAFE_INTEGER, iat: T0 }), /auth_time/);
  });

  test('an auth_time later than iat is refused', async () => {
    await world.refused('auth_time', world.token({ auth_time: T0, iat: T0 - 6 }), /later than its iat/);
    assert.ok(await world.verify(world.token({ auth_time: T0, iat: T0 - 5 })));
  });

  test('an iat or nbf in the future is refused as clock, and iat never stands in for auth_time', async () => {
    assert.equal((await world.verify(world.token({ iat: T0 + 5 }))).iat, T0);
    await world.refused('clock', world.token({ iat: T0 + 6 }), /iat 6s in the future/);
    await world.refused('clock', world.token({ nbf: T0 + 6 }), /nbf 6s in the future/);
    assert.equal((await world.verify(world.token({ iat: T0 - 0.5 }))).iat, T0 - 1);
    for (const iat of [undefined, `${T0}`, -0.5]) await world.refused('id_token_invalid', world.token({ iat }));
    await world.refused('auth_time', world.token({ auth_time: undefined, iat: T0 }));
  });

  test('F7: a broker whose clock is behind says clock, one whose clock is ahead says expired', async () => {
    for (const behind of [30, 300, 3600]) {
      world.now = seconds(T0 - behind);
      await world.refused('clock', world.token());
    }
    world.now = seconds(T0 + 3600);
    await world.refused('id_token_expired', world.token(), /by the clock of the broker/);
  });
});

describe('whatever is presented', () => {
  const anyClaims = fc.dictionary(
    fc.constantFrom(
      'iss',
      'sub',
      'aud',
      'azp',
      'exp',
      'iat',
      'nbf',
      'auth_time',
      'nonce',
      'acr',
      'amr',
      'sid',
      'events',
    ),
    fc.jsonValue(),
  );

  const judged = async (text: string) => {
    try {
      const { auth_time, iat, exp } = await world.verify(text);
      assert.ok(auth_time <= world.now && iat <= world.now && exp > world.now);
    } catch (error) {
      assert.ok(error instanceof CurfewError && isCode(error.code), String(error));
      assert.notEqual(error.code, 'identity_provider');
    }
  };

  test('any claims, well signed, are taken with sound times or refused with a code', async () => {
    await fc.assert(
      fc.asyncProperty(anyClaims, (changes) => judged(world.token(changes))),
      { numRuns: 300 },
    );
  });

  test('any header and any text is refused with a code', async () => {
    const header = fc.dictionary(fc.constantFrom('alg', 'kid', 'typ', 'crit', 'b64', 'zip', 'jku'), fc.jsonValue());
    await fc.assert(
      fc.asyncProperty(header, (changes) => judged(world.token({}, changes))),
      { numRuns: 200 },
    );
    await fc.assert(fc.asyncProperty(fc.string({ unit: 'binary' }), judged), { numRuns: 200 });
  });

  test('no refusal repeats what the token says', async () => {
    const secret = 'S3CRET';
    const spoilt: [Claims, Claims][] = [
      ...['iss', 'sub', 'aud', 'azp', 'exp', 'iat', 'nbf', 'auth_time', 'events'].map((claim): [Claims, Claims] => [
        { [claim]: { [secret]: secret } },
        {},
      ]),
      ...['alg', 'kid', 'typ', 'crit'].map((name): [Claims, Claims] => [{}, { [name]: [secret] }]),
    ];
    for (const [changes, header] of spoilt) {
      await assert.rejects(
        world.verify(world.token(changes, header)),
        (error) => error instanceof CurfewError && !error.message.includes(secret),
      );
    }
  });
});
