// Logout tokens of the identity provider (OpenID Connect Back-Channel Logout 1.0), over real HTTP and SQLite: which are taken,
// and what they end.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import type { Holder } from '../support/holder.ts';
import { askAuthorization } from '../support/review.ts';
import { startTestService, type TestService } from '../support/service.ts';
import { logoutToken, sendLogout } from '../support/signals.ts';
import { sessionRow } from '../support/store_row.ts';

const CLUSTERS = [
  {
    ...{ name: 'dev', server: 'https://127.0.0.1:1', audience: 'dev', allowed_groups: ['*'] },
    webhook: { token_file: 'dev-hook', on_failure: 'deny' },
  },
];

let service: TestService;
before(async () => {
  service = await startTestService({ clusters: CLUSTERS });
});
after(() => service.stop());

interface Open {
  readonly holder: Holder;
  readonly handle: string;
  readonly sid: string;
  readonly sub: string;
  readonly idp_sid: string;
  readonly user: string;
}

/** A person of a test's own with a session, opened in a session of the IdP's. */
async function open(more: Readonly<Record<string, unknown>> = {}): Promise<Open> {
  const id = randomUUID();
  const claims = { sub: `sub-${id}`, email: `${id}@example.com`, sid: `idp-${id}`, ...more };
  const holder = service.holder();
  const { granted } = await service.login(holder, claims);
  const { sid, username } = granted.session;
  return { holder, handle: granted.refresh_token ?? '', sid, sub: claims.sub, idp_sid: claims.sid, user: username };
}

const endOf = ({ sid }: Pick<Open, 'sid'>) => sessionRow(service.storeFile, sid).end_reason;
const signals = (sub: string) => service.audit.filter((row) => row.event === 'signal' && row.sub === sub);

async function refusedAs(token: string, code: string, words: RegExp): Promise<void> {
  const { status, headers, body } = await sendLogout(service, token);
  assert.deepEqual([status, body.error, body.reason], [400, 'invalid_request', code]);
  assert.match(String(body.error_description), words);
  assert.equal(headers.get('cache-control'), 'no-store');
}

describe('L1 a logout token that breaks a rule is refused with 400 and ends nothing', () => {
  const jti = randomUUID();
  const cases: readonly (readonly [string, (at: TestService) => [object?, object?], RegExp])[] = [
    ['with a nonce', () => [{ nonce: 'n' }], /has a nonce/],
    ['without events', () => [{ events: undefined }], /no event of a back-channel logout/],
    ['with another event', () => [{ events: { 'http://example.com/event': {} } }], /no event/],
    [
      'with an event that is no object',
      () => [{ events: { 'http://schemas.openid.net/event/backchannel-logout': true } }],
      /no event/,
    ],
    ['of the type of an access token', () => [{}, { typ: 'at+jwt' }], /is of another type/],
    ['of the type of a security event', () => [{}, { typ: 'secevent+jwt' }], /is of another type/],
    ['that expired this very second', ({ now }) => [{ exp: now }], /expired 0s ago/],
    ['that is old and has no exp', ({ now }) => [{ iat: now - 120, exp: undefined }], /expired/],
    ['issued in the future', ({ now }) => [{ iat: now + 6, exp: now + 200 }], /iat in the future/],
    ['without iat', () => [{ iat: undefined }], /no usable iat/],
    ['with a negative iat', () => [{ iat: -0.5 }], /no usable iat/],
    ['with a jti that hides something', () => [{ jti: 'a\u202eb' }], /no usable jti/],
    ['with an exp that is a text', () => [{ exp: '9999999999' }], /unusable exp/],
    ['without jti', () => [{ jti: undefined }], /no usable jti/],
    ['for another audience', () => [{ aud: 'another' }], /for another client/],
    ['for a list of others', () => [{ aud: ['a', 'b'] }], /for another client/],
    ['from another issuer', () => [{ iss: 'https://other.example.com' }], /from another issuer/],
    ['that names nobody', () => [{ sub: undefined, sid: undefined }], /neither a person/],
    ['with a sub that is no text', () => [{ sub: 7 }], /unusable sub/],
    ['with crit', () => [{}, { crit: ['x'] }], /crit/],
    ['with alg none', () => [{}, { alg: 'none' }], /not signed with one of/],
    ['with HS256', () => [{}, { alg: 'HS256' }], /not signed with one of/],
  ];
  for (const [what, change, words] of cases) {
    test(`L1 ${what}`, async () => {
      const own = await open();
      const [claims, header] = change(service);
      await refusedAs(
        logoutToken(service, { sub: own.sub, sid: own.idp_sid, ...claims }, { ...header }),
        'logout_token_invalid',
        words,
      );
      assert.equal(endOf(own), null);
      assert.equal((await own.holder.renew(own.handle, 'dev')).status, 200);
    });
  }

  test('L1 whose signature is not the IdP’s, or that is no JWT at all', async () => {
    const own = await open();
    const good = logoutToken(service, { sub: own.sub });
    await refusedAs(`${good.slice(0, -8)}AAAAAAAA`, 'logout_token_invalid', /signature|well-formed/);
    for (const text of ['x', 'a.b.c', `${good}=`, 'x'.repeat(20_000)]) {
      await refusedAs(text, 'logout_token_invalid', /well-formed/);
    }
    assert.equal(endOf(own), null);
  });

  test('L1 under an unknown key: 503 while the keys were read just now, as it may be new; 400 once they were read again', async () => {
    const own = await open();
    const token = () => logoutToken(service, { sub: own.sub }, { kid: 'other' });
    await sendLogout(service, token());
    const early = await sendLogout(service, token());
    assert.deepEqual([early.status, early.body.reason], [503, 'identity_provider']);
    assert.equal(early.headers.get('retry-after'), '30');
    service.advance(30);
    await refusedAs(token(), 'logout_token_invalid', /names a key/);
    assert.equal(endOf(own), null);
  });

  test('L1 received twice, also both at once: one acts, the other is refused', async () => {
    const own = await open();
    const token = logoutToken(service, { sub: own.sub, jti });
    const answers = await Promise.all(Array.from({ length: 8 }, () => sendLogout(service, token)));
    assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 400, 400, 400, 400, 400, 400, 400]);
    assert.equal(signals(own.sub).length, 1);
    // Logged in again after it: the same token brings no second end.
    service.advance(1);
    const again = await open({ sub: own.sub, sid: own.idp_sid, email: own.user.slice('curfew:'.length) });
    await refusedAs(token, 'logout_token_replayed', /received before/);
    await refusedAs(logoutToken(service, { sub: own.sub, jti }), 'logout_token_replayed', /received before/);
    assert.equal(endOf(again), null);
  });

  test('L1 not sent as a form of one logout_token', async () => {
    const own = await open();
    const token = logoutToken(service, { sub: own.sub });
    for (const [type, body] of [
      ['application/json', JSON.stringify({ logout_token: token })],
      ['application/x-www-form-urlencoded', `logout_token=${token}&logout_token=${token}`],
      ['application/x-www-form-urlencoded', ''],
      ['application/logout+jwt', token],
    ] as const) {
      const headers = { 'content-type': type };
      const { status } = await fetch(`${service.url}/backchannel-logout`, { method: 'POST', headers, body });
      assert.ok(status >= 400 && status < 500, `${type}: ${status}`);
    }
    assert.equal((await fetch(`${service.url}/backchannel-logout?logout_token=${token}`)).status, 405);
    assert.equal(endOf(own), null);
  });
});

describe('L1 a valid logout token ends the right sessions, durably before the 200', () => {
  test('L1 by sub: all of the person, and nobody else’s', async () => {
    const first = await open();
    const second = await open({ sub: first.sub, email: first.user.slice('curfew:'.length) });
    const other = await open();
    const { status, headers, body } = await sendLogout(service, logoutToken(service, { sub: first.sub }));
    assert.deepEqual([status, body], [200, {}]);
    assert.equal(headers.get('cache-control'), 'no-store');
    // As it stands on disk when the answer is there.
    assert.deepEqual([first, second, other].map(endOf), ['idp_logout', 'idp_logout', null]);
    const [signal] = signals(first.sub);
    assert.ok(signal?.event === 'signal');
    assert.deepEqual(
      [signal.source, signal.action, signal.sessions, signal.issuer],
      ['backchannel_logout', 'end', 2, service.issuer.issuer],
    );
    assert.equal((await other.holder.renew(other.handle, 'dev')).status, 200);
  });

  test('L1 by sid and sub: the sessions opened in that session of the IdP, not the person’s others', async () => {
    const here = await open();
    const elsewhere = await open({ sub: here.sub, email: here.user.slice('curfew:'.length) });
    const token = logoutToken(service, { sub: here.sub, sid: here.idp_sid });
    assert.equal((await sendLogout(service, token)).status, 200);
    assert.deepEqual([here, elsewhere].map(endOf), ['idp_logout', null]);
  });

  test('L1 by sid alone; and with a sub that is not the session’s, nobody’s', async () => {
    const own = await open();
    const other = await open();
    const crossed = logoutToken(service, { sub: other.sub, sid: own.idp_sid });
    assert.equal((await sendLogout(service, crossed)).status, 200);
    assert.deepEqual([own, other].map(endOf), [null, null]);
    assert.equal((await sendLogout(service, logoutToken(service, { sid: own.idp_sid }))).status, 200);
    assert.deepEqual([own, other].map(endOf), ['idp_logout', null]);
  });

  test('L1 by sid and sub, where the person’s session does not know its session at the IdP: it ends rather than lives', async () => {
    const own = await open({ sid: undefined });
    const token = logoutToken(service, { sub: own.sub, sid: 'some-session' });
    assert.equal((await sendLogout(service, token)).status, 200);
    assert.equal(endOf(own), 'idp_logout');
  });

  test('L1 also without typ or with JWT, for several audiences, and young without exp', async () => {
    for (const [claims, header] of [
      [{}, { typ: undefined }],
      [{}, { typ: 'JWT' }],
      [{}, { typ: 'application/logout+jwt' }],
      [{ aud: ['other', 'curfew'] }, {}],
      [{ exp: undefined }, {}],
    ] as const) {
      const own = await open();
      const { status, body } = await sendLogout(service, logoutToken(service, { sub: own.sub, ...claims }, header));
      assert.equal(status, 200, JSON.stringify(body));
      assert.equal(endOf(own), 'idp_logout');
    }
  });

  test('L1 the next request of who still holds a token is denied, with the reason', async () => {
    const own = await open();
    const asked = { user: own.user, sid: own.sid, jti: service.tokenId(own.sid) };
    const ask = () => askAuthorization(service.url, service.webhook_tokens.dev ?? '', asked);
    assert.equal((await ask()).denied, false);
    await sendLogout(service, logoutToken(service, { sub: own.sub }));
    const { denied, reason } = await ask();
    assert.ok(denied);
    assert.match(reason, /^curfew: session is over: logged out at the identity provider; run: kubectl curfew login$/);
    const { refused } = await own.holder.renew(own.handle, 'dev');
    assert.deepEqual([refused.reason, refused.end_reason], ['session_ended', 'idp_logout']);
  });

  test('L1 of somebody who has no session here: 200', async () => {
    assert.equal((await sendLogout(service, logoutToken(service, { sub: 'never-seen' }))).status, 200);
    assert.equal(signals('never-seen').length, 1);
  });
});

describe('S13 after a logout at the IdP its living single sign-on brings nothing back', () => {
  const again = (own: Open, more: Readonly<Record<string, unknown>>) => {
    const email = own.user.slice('curfew:'.length);
    return service.login(service.holder(), { sub: own.sub, email, sid: own.idp_sid, ...more });
  };

  test('S13 a login from before it is refused, one from after it opens a session', async () => {
    const own = await open();
    service.advance(10);
    await sendLogout(service, logoutToken(service, { sub: own.sub }));
    service.advance(5);
    const { refused } = await again(own, { auth_time: service.now - 6 });
    assert.equal(refused.reason, 'login_after');
    assert.equal((await again(own, { auth_time: service.now })).status, 200);
  });

  test('S13 nor where the person had no session yet: an ID token on its way is refused', async () => {
    const id = randomUUID();
    const claims = { sub: `sub-${id}`, email: `${id}@example.com`, auth_time: service.now - 1 };
    await sendLogout(service, logoutToken(service, { sub: claims.sub }));
    const { refused } = await service.login(service.holder(), claims);
    assert.equal(refused.reason, 'login_after');
  });

  test('S13 nor by a session of the IdP that was logged out by its sid alone', async () => {
    const id = randomUUID();
    const claims = { sub: `sub-${id}`, email: `${id}@example.com`, sid: `idp-${id}`, auth_time: service.now - 1 };
    await sendLogout(service, logoutToken(service, { sid: claims.sid }));
    assert.equal((await service.login(service.holder(), claims)).refused.reason, 'login_after');
    const other = { ...claims, sid: 'another' };
    assert.equal((await service.login(service.holder(), other)).status, 200);
  });
});

describe('what cannot be done is said', () => {
  test('L1 a sid alone, while the ID tokens carry none: 400, and an error in the log', async (t) => {
    const blind = await startTestService({ clusters: CLUSTERS });
    t.after(() => blind.stop());
    const { granted } = await blind.login(blind.holder());
    const { status, body } = await sendLogout(blind, logoutToken(blind, { sid: 'unknown-here' }));
    assert.deepEqual([status, body.reason], [400, 'logout_token_unmatched']);
    assert.equal(sessionRow(blind.storeFile, granted.session.sid).end_reason, null);
    assert.ok(blind.log.some((line) => /nobody is logged out by it/.test(line) && JSON.parse(line).level === 50));
    assert.ok(
      blind.audit.some(
        (row) =>
          row.event === 'refusal' && row.grant === 'backchannel_logout' && row.reason === 'logout_token_unmatched',
      ),
    );
  });

  test('L1 while the keys of the IdP are out of reach: 503 with Retry-After, and the same token is good later', async (t) => {
    const fresh = await startTestService({ clusters: CLUSTERS });
    t.after(() => fresh.stop());
    fresh.issuer.fault = '500';
    const token = logoutToken(fresh, { sub: 'somebody' });
    const away = await sendLogout(fresh, token);
    assert.deepEqual([away.status, away.body.reason], [503, 'identity_provider']);
    assert.ok(away.headers.get('retry-after'));
    fresh.issuer.fault = undefined;
    fresh.advance(31);
    assert.equal((await sendLogout(fresh, token)).status, 200);
  });
});
