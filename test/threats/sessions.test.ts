// The threat model: sessions and time (S): over real HTTP and SQLite, with a clock that the test sets.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, afterEach, before, describe, test } from 'node:test';
import type { EndEvent, RefusalEvent } from '../../broker/audit_log/events.ts';
import { claimsOf, type Holder } from '../support/holder.ts';
import { identityProvider, startTestService, type TestService } from '../support/service.ts';
import { openStoreDatabase } from '../support/store_database.ts';

const HOUR = 3600;
const LIMITS = { max_age: '1h', inactivity_timeout: '30m', token_ttl: '5m' };

let service: TestService;

async function open(
  more: Readonly<Record<string, unknown>> = {},
): Promise<{ holder: Holder; handle: string; sid: string }> {
  const holder = service.holder();
  const { granted } = await service.login(holder, more);
  return { holder, handle: granted.refresh_token ?? '', sid: granted.session.sid };
}

const ends = (sid: string) =>
  service.audit.filter((event): event is EndEvent => event.event === 'end' && event.sid === sid);
const refusals = (sid: string) =>
  service.audit.filter((event): event is RefusalEvent => event.event === 'refusal' && event.sid === sid);
/** A person of a test's own, as an end sets `login_after` for the person. */
let people = 0;
const person = () => {
  people += 1;
  return { sub: `person-${people}`, email: `person-${people}@example.com` };
};

/** Keeps a session in use up to `seconds` after now. */
async function use(holder: Holder, handle: string, length: number, step = 1200): Promise<void> {
  for (let left = length; left > 0; left -= step) {
    service.advance(Math.min(step, left));
    assert.equal((await holder.renew(handle, 'dev')).status, 200);
  }
}

describe('sessions and time', () => {
  before(async () => {
    service = await startTestService();
  });
  afterEach(() => service.restart());
  after(() => service.stop());

  test('S1 max_age: one second before its end a renewal is allowed, at the end it is refused and the session ends', async () => {
    const { holder, handle, sid } = await open(person());
    await use(holder, handle, HOUR - 1);
    const last = (await holder.renew(handle, 'dev')).granted;
    assert.equal(last.expires_in, 1);
    service.advance(1);
    const { refused } = await holder.renew(handle, 'dev');
    assert.equal(refused.error, 'login_required');
    assert.equal(refused.reason, 'login_too_old');
    assert.deepEqual(
      ends(sid).map(({ reason }) => reason),
      ['max_age'],
    );
  });

  test('S1 inactivity_timeout: one second before its end a renewal is allowed, at the end it is refused and the session ends', async () => {
    const { holder, handle, sid } = await open(person());
    service.advance(1799);
    assert.equal((await holder.renew(handle, 'dev')).status, 200);
    service.advance(1800);
    const end = service.now;
    const { refused } = await holder.renew(handle, 'dev');
    assert.equal(refused.reason, 'idle_too_long');
    await service.outlastDoubt();
    assert.deepEqual(
      ends(sid).map(({ reason, ended_at }) => [reason, ended_at]),
      [['inactivity_timeout', end]],
    );
  });

  test("S1 a segment's limit denies its clusters at its own end and ends nothing", async () => {
    const { holder, handle, sid } = await open(person());
    await use(holder, handle, 899, 500);
    assert.equal((await holder.renew(handle, 'prod-eu')).granted.expires_in, 1);
    service.advance(1);
    const { refused } = await holder.renew(handle, 'prod-eu');
    assert.equal(refused.reason, 'login_too_old');
    assert.equal((await holder.renew(handle, 'dev')).status, 200);
    assert.deepEqual(ends(sid), []);
    assert.equal(refusals(sid).at(-1)?.segment, 'prod');
  });

  test('S2 polling every 10 s moves the idle end and never the age: max_age ends the session to the second', async () => {
    await service.restart({ policy: { limits: { ...LIMITS, max_age: '2h' }, segments: [] } });
    const { holder, handle } = await open(person());
    const start = service.now;
    let status = 200;
    while (status === 200 && service.now - start < 9_000) {
      service.advance(10);
      const { status: answered, body } = await holder.renew(handle, 'dev');
      status = answered;
      if (status === 200) assert.ok(service.now + (body as { expires_in: number }).expires_in <= start + 7_200);
    }
    assert.equal(service.now - start, 7_200);
  });

  test('S3 an old auth_time opens no session, however new the ID token is', async () => {
    const holder = service.holder();
    const { refused } = await service.login(holder, { ...person(), auth_time: service.now - HOUR });
    assert.deepEqual([refused.error, refused.reason], ['login_required', 'login_too_old']);
  });

  test('S3 the login is judged by the limits of the audience asked for alone', async () => {
    const claims = { ...person(), auth_time: service.now - 901 };
    assert.equal(
      (await service.login(service.holder(), claims, { audience: 'prod-eu' })).refused.reason,
      'login_too_old',
    );
    assert.equal((await service.login(service.holder(), claims, { audience: 'dev' })).status, 200);
  });

  for (const [name, auth_time, reason] of [
    ['missing', undefined, 'auth_time'],
    ['a string', '1800000000', 'auth_time'],
    ['negative', -1, 'auth_time'],
    ['null', null, 'auth_time'],
    ['beyond clock_skew in the future', 6, 'clock'],
  ] as const) {
    test(`S4 auth_time ${name}: the login is refused by name`, async () => {
      const value = reason === 'clock' ? service.now + Number(auth_time) : auth_time;
      const { refused } = await service.login(service.holder(), { ...person(), auth_time: value });
      assert.equal(refused.error, 'invalid_grant');
      assert.equal(refused.reason, reason);
    });
  }

  test('S4 auth_time 1e400: the login is refused by name', async () => {
    const holder = service.holder();
    const token = service.issuer.sign(service.claims(holder, person()));
    const [header = '', payload = ''] = token.split('.');
    const text = Buffer.from(payload, 'base64url')
      .toString()
      .replace(/"auth_time":\d+/, '"auth_time":1e400');
    const { refused } = await holder.exchange(service.issuer.resign(header, text));
    assert.equal(refused.reason, 'auth_time');
  });

  test('S4 auth_time ahead by clock_skew counts as now: nobody gains the difference', async () => {
    const holder = service.holder();
    const { granted } = await service.login(holder, { ...person(), auth_time: service.now + 5, iat: service.now + 5 });
    assert.equal(granted.session.auth_time, service.now);
    assert.equal(granted.session.end_at_most, service.now + HOUR);
  });

  test("S5 a newer iat with the old auth_time moves no session's end", async () => {
    const { holder, handle, sid } = await open(person());
    const first = (await holder.renew(handle, 'dev')).granted.session;
    service.advance(600);
    const again = service.holder();
    const claims = { ...person(), iat: service.now, auth_time: first.auth_time };
    const { granted } = await service.login(again, claims, { audience: 'dev' });
    assert.equal(granted.session.auth_time, first.auth_time);
    assert.equal(granted.session.end_at_most, first.end_at_most);
    assert.equal((await holder.renew(handle, 'dev')).granted.session.sid, sid);
  });

  test("S6 an ended session's handle is refused, and no living session's clock moves", async () => {
    const who = person();
    const ended = await open(who);
    await ended.holder.revoke(ended.handle);
    service.advance(1);
    const living = await open(who);
    const before = row(living.sid);
    service.advance(5);
    const { refused } = await ended.holder.renew(ended.handle, 'dev');
    assert.deepEqual([refused.reason, refused.end_reason], ['session_ended', 'logout']);
    assert.deepEqual(row(living.sid), before);
  });

  test('S7 an ID token at its exp, and a Kubernetes token wherever a living credential is wanted, are refused', async () => {
    const who = person();
    const holder = service.holder();
    const idToken = service.issuer.sign({ ...service.claims(holder, who), exp: service.now });
    assert.equal((await holder.exchange(idToken)).refused.reason, 'id_token_expired');
    const { granted } = await service.login(service.holder(), who, { audience: 'dev' });
    service.advance(300);
    assert.equal((await holder.exchange(granted.access_token)).refused.error, 'invalid_grant');
    assert.equal((await holder.renew(granted.access_token, 'dev')).refused.reason, 'unknown_session');
  });

  test('S11 a tightened policy ends a living session at its next renewal', async () => {
    const { holder, handle, sid } = await open(person());
    service.advance(600);
    await service.restart({ policy: { limits: { ...LIMITS, max_age: '10m' }, segments: [] } });
    assert.equal((await holder.renew(handle, 'dev')).refused.reason, 'login_too_old');
    assert.equal(ends(sid)[0]?.reason, 'max_age');
  });

  test('S11 a group taken out of allowed_groups ends the sessions that came in by it', async () => {
    const { holder, handle, sid } = await open(person());
    const narrower = identityProvider(service.issuer.issuer, { allowed_groups: ['platform'] });
    await service.restart({ identity_provider: narrower });
    assert.equal((await holder.renew(handle, 'dev')).refused.reason, 'not_admitted');
    assert.equal(ends(sid)[0]?.reason, 'policy');
    await service.restart();
    assert.equal((await holder.renew(handle, 'dev')).refused.reason, 'session_ended');
  });

  test("S12 another key's revocation of a handle changes nothing, learns nothing and is in the audit log", async () => {
    const { holder, handle, sid } = await open(person());
    const thief = service.holder();
    const [foreign, unknown] = [await thief.revoke(handle), await thief.revoke('x'.repeat(43))];
    assert.deepEqual([foreign.status, foreign.body], [unknown.status, unknown.body]);
    assert.equal((await holder.renew(handle, 'dev')).status, 200);
    assert.equal(refusals(sid)[0]?.reason, 'unknown_session');
  });

  for (const cause of ['idle', 'logout'] as const) {
    test(`S13 after ${cause} the living SSO of the IdP does not bring the session back`, async () => {
      const who = person();
      const auth_time = service.now;
      const { holder, handle } = await open(who);
      if (cause === 'idle') service.advance(1800);
      else {
        service.advance(10);
        assert.equal((await holder.revoke(handle)).status, 200);
      }
      const again = service.holder();
      const { refused } = await service.login(again, { ...who, auth_time });
      assert.deepEqual([refused.error, refused.reason], ['login_required', 'login_after']);
      assert.equal((await service.login(again, { ...who, jti: 'new' })).status, 200);
    });
  }

  for (const [when, lead] of [
    ['in the second of the login', 0],
    ['while the IdP is 3 s ahead', 3],
    ['while the IdP is 5 s ahead', 5],
  ] as const) {
    for (const end of ['logout', 'owner', 'signal'] as const) {
      test(`S21 after an end by ${end} ${when} SSO with that auth_time is refused, a login of the next second is not`, async () => {
        const who = person();
        const auth_time = service.now + lead;
        const { holder, handle, sid } = await open({ ...who, auth_time, iat: auth_time });
        if (end === 'logout') await holder.revoke(handle);
        else if (end === 'owner') await holder.api(handle, { method: 'DELETE', path: `/${sid}` });
        else await logOut(who.sub);
        assert.equal(ends(sid).length, 1);
        const now = await service.login(service.holder(), { ...who, auth_time, iat: auth_time, jti: 'now' });
        assert.deepEqual([now.refused.reason, now.refused.retry_after], ['login_after', 1]);
        // Its ID token may be a second younger: the login is worth making once more all the same.
        const young = { ...who, auth_time, iat: auth_time + (lead < 5 ? 1 : 0), jti: 'young' };
        const { refused } = await service.login(service.holder(), young);
        assert.deepEqual([refused.reason, refused.retry_after], ['login_after', 1]);
        service.advance(120);
        const later = await service.login(service.holder(), { ...who, auth_time, jti: 'later' });
        assert.deepEqual([later.refused.reason, later.refused.retry_after], ['login_after', undefined]);
        const next = { ...who, auth_time: auth_time + 1, jti: 'next' };
        assert.equal((await service.login(service.holder(), next)).status, 200);
      });
    }
  }

  test('S21 a signal about nobody known asks for a login after its receipt and clock_skew', async () => {
    const who = person();
    await logOut(who.sub);
    for (const [ahead, reason] of [
      [0, 'login_after'],
      [4, 'login_after'],
      [5, undefined],
    ] as const) {
      const times = { auth_time: service.now + ahead, iat: service.now + ahead };
      const answer = await service.login(service.holder(), { ...who, ...times, jti: `${ahead}` });
      assert.equal(answer.status === 200 ? undefined : answer.refused.reason, reason);
    }
  });

  test('S21 a login counts from when it was first seen: the lead of the IdP lengthens no max_age, refused or not', async () => {
    for (const first of [{}, { audience: 'nowhere' }]) {
      const who = person();
      const [start, auth_time] = [service.now, service.now + 5];
      await service.login(service.holder(), { ...who, auth_time, iat: auth_time }, first);
      for (const later of [3, 4, 60]) {
        service.advance(later);
        await service.sweep();
        const { granted } = await service.login(service.holder(), {
          ...who,
          auth_time,
          iat: auth_time,
          jti: `${later}`,
        });
        assert.deepEqual([granted.session.auth_time, granted.session.end_at_most], [start, start + HOUR]);
      }
    }
  });

  test('S21 within an end that is noticed late a login counts from then on, not from when it was noticed', async () => {
    const who = person();
    const start = service.now;
    await open(who);
    service.advance(2000);
    assert.equal(
      (await service.login(service.holder(), { ...who, auth_time: start + 1799 })).refused.reason,
      'login_after',
    );
    assert.equal((await service.login(service.holder(), { ...who, auth_time: start + 1800, jti: 'x' })).status, 200);
  });

  test('S13 an idle session that nobody touched since is settled before the next login is judged', async () => {
    const who = person();
    const auth_time = service.now;
    const { sid } = await open(who);
    service.advance(1800);
    assert.equal((await service.login(service.holder(), { ...who, auth_time })).refused.reason, 'login_after');
    assert.equal(ends(sid)[0]?.reason, 'inactivity_timeout');
  });

  test('S14 a looser policy brings no ended session back and lengthens no living one', async () => {
    const ended = await open(person());
    await use(ended.holder, ended.handle, HOUR - 1);
    service.advance(1);
    assert.equal((await ended.holder.renew(ended.handle, 'dev')).refused.reason, 'login_too_old');
    const living = await open(person());
    await service.restart({ policy: { limits: { ...LIMITS, max_age: '12h' }, segments: [] } });
    assert.equal((await ended.holder.renew(ended.handle, 'dev')).refused.reason, 'session_ended');
    await use(living.holder, living.handle, HOUR - 1);
    service.advance(1);
    assert.equal((await living.holder.renew(living.handle, 'dev')).refused.reason, 'login_too_old');
  });

  test('S14 an end that came while nobody asked stands, though the policy was loosened before anybody did', async () => {
    const { holder, handle, sid } = await open(person());
    service.advance(1800);
    await service.restart({ policy: { limits: { ...LIMITS, inactivity_timeout: '1h' }, segments: [] } });
    assert.equal((await holder.renew(handle, 'dev')).refused.reason, 'idle_too_long');
    await service.outlastDoubt();
    assert.equal(ends(sid)[0]?.reason, 'inactivity_timeout');
  });

  test("S15 another person's login with the same key ends the earlier session; its handle is void", async () => {
    const first = await open(person());
    const { granted } = await service.login(first.holder, person());
    assert.deepEqual(
      ends(first.sid).map(({ reason, replaced_by }) => [reason, replaced_by]),
      [['replaced', undefined]],
    );
    assert.equal((await first.holder.renew(first.handle, 'dev')).refused.reason, 'session_ended');
    assert.equal((await first.holder.renew(granted.refresh_token ?? '', 'dev')).status, 200);
  });

  test("S15 the same person's new login replaces the session: the old handle is void, and the audit log says by what", async () => {
    const who = person();
    const first = await open(who);
    service.advance(5);
    const { granted } = await service.login(first.holder, who);
    assert.equal((await first.holder.renew(first.handle, 'dev')).refused.end_reason, 'replaced');
    assert.equal(ends(first.sid)[0]?.replaced_by, granted.session.sid);
  });

  test('S16 a touch after the end, or in a session that is idle already, changes nothing', async () => {
    const ended = await open(person());
    await ended.holder.revoke(ended.handle);
    const [endedBefore, idle] = [row(ended.sid), await open(person())];
    const idleBefore = row(idle.sid).last_used;
    service.advance(1800);
    await ended.holder.renew(ended.handle, 'dev');
    await idle.holder.renew(idle.handle, 'dev');
    assert.deepEqual(row(ended.sid), endedBefore);
    assert.equal(row(idle.sid).last_used, idleBefore);
  });

  test('a token never outlives the session: its exp is cut to the end', async () => {
    const { holder, handle } = await open(person());
    await use(holder, handle, HOUR - 100);
    const { access_token } = (await holder.renew(handle, 'dev')).granted;
    assert.equal(claimsOf(access_token).exp, Number(claimsOf(access_token).auth_time) + HOUR);
  });

  test('sessions that end while nobody asks are ended in the audit log by the sweeper', async () => {
    const { sid } = await open(person());
    service.advance(1800);
    await service.sweep();
    await service.outlastDoubt();
    assert.deepEqual(
      ends(sid).map(({ reason }) => reason),
      ['inactivity_timeout'],
    );
  });
});

/** The IdP logs a person out. */
async function logOut(sub: string): Promise<void> {
  const claims = {
    ...{ iss: service.issuer.issuer, aud: 'curfew', iat: service.now, exp: service.now + 120, sub, jti: randomUUID() },
    events: { 'http://schemas.openid.net/event/backchannel-logout': {} },
  };
  const logout_token = service.issuer.sign(claims, { typ: 'logout+jwt' });
  const body = new URLSearchParams({ logout_token });
  assert.equal((await fetch(`${service.url}/backchannel-logout`, { method: 'POST', body })).status, 200);
}

function row(sid: string): Record<string, unknown> {
  const database = openStoreDatabase(service.storeFile);
  try {
    const found = database.prepare('select * from session where sid = ?').get(sid);
    assert.ok(found, 'the session stands in the store');
    return { ...found };
  } finally {
    database.close();
  }
}
