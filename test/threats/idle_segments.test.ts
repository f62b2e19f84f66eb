// The threat model: a segment that was denied for idleness (S18) stays denied until a newer login, in whatever session.

import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import type { Holder } from '../support/holder.ts';
import { askAuthorization } from '../support/review.ts';
import { startTestService, type TestService } from '../support/service.ts';

const MINUTE = 60;
/** dev 30 min, prod 10 min. */
const LIMITS = { max_age: '8h', inactivity_timeout: '30m', token_ttl: '5m' };
const prod = (inactivity_timeout: string) => ({
  name: 'prod',
  match: { clusters: ['prod-*'] },
  limits: { inactivity_timeout, token_ttl: '1m' },
});
const policy = (timeout: string, more: Readonly<Record<string, unknown>> = {}) => ({
  policy: { limits: { ...LIMITS, ...more }, segments: [prod(timeout)] },
});

let service: TestService;
let people = 0;
const person = () => {
  people += 1;
  return { sub: `idle-${people}`, email: `idle-${people}@example.com` };
};

interface Open {
  readonly holder: Holder;
  readonly handle: string;
  readonly sid: string;
}

async function open(
  claims: Readonly<Record<string, unknown>>,
  fields: Readonly<Record<string, string>> = {},
  holder = service.holder(),
): Promise<Open> {
  const { granted } = await service.login(holder, { jti: `${service.now}-${Math.random()}`, ...claims }, fields);
  return { holder, handle: granted.refresh_token ?? '', sid: granted.session.sid };
}

async function reason({ holder, handle }: Open, audience: string): Promise<string> {
  const answer = await holder.renew(handle, audience);
  return answer.status === 200 ? 'ok' : (answer.refused.reason ?? '');
}

async function reload(changes: Readonly<Record<string, unknown>>): Promise<void> {
  assert.equal((await service.reload(changes)).outcome, 'reloaded');
}

/** Uses dev every 9 minutes, so that only prod is idle. */
async function useDev(session: Open, minutes: number): Promise<void> {
  for (let left = minutes; left > 0; left -= 9) {
    service.advance(Math.min(left, 9) * MINUTE);
    assert.equal(await reason(session, 'dev'), 'ok');
  }
}

describe('idle segments', () => {
  before(async () => {
    service = await startTestService(policy('10m'));
  });
  afterEach(() => service.restart());
  after(() => service.stop());

  for (const [what, samesKey, asked] of [
    ['on another key', false, { audience: 'dev' }],
    ['on the same key', true, { audience: 'dev' }],
    ['without an audience', true, {}],
  ] as const) {
    test(`S18 a segment denied for idleness stays denied in a session that silent SSO opens ${what}`, async () => {
      const who = { ...person(), auth_time: service.now };
      const first = await open(who);
      service.advance(10 * MINUTE);
      assert.equal(await reason(first, 'prod-eu'), 'idle_too_long');
      assert.equal(await reason(first, 'dev'), 'ok');
      const again = await open(who, asked, samesKey ? first.holder : service.holder());
      assert.equal(await reason(again, 'prod-eu'), 'idle_too_long');
      assert.equal(await reason(again, 'dev'), 'ok');
      const refused = await service.login(service.holder(), { ...who, jti: 'prod' }, { audience: 'prod-eu' });
      assert.deepEqual([refused.refused.error, refused.refused.reason], ['login_required', 'idle_too_long']);
    });
  }

  test('S18 a gap that is still open at the exchange counts, though nobody was denied yet', async () => {
    const who = { ...person(), auth_time: service.now };
    await open(who);
    service.advance(10 * MINUTE - 1);
    assert.equal(await reason(await open(who), 'prod-eu'), 'ok');
    const other = { ...person(), auth_time: service.now };
    await open(other);
    service.advance(10 * MINUTE);
    assert.equal(await reason(await open(other), 'prod-eu'), 'idle_too_long');
  });

  test('S18 tokens of the replaced session do not pass either, as the one that replaced it judges them', async () => {
    const who = { ...person(), auth_time: service.now };
    const first = await open(who);
    const tokenFor = async (audience: string) =>
      (await first.holder.renew(first.handle, audience)).granted.access_token;
    const [there, elsewhere] = [await tokenFor('prod-eu'), await tokenFor('dev')];
    service.advance(50);
    const second = await open(who, { audience: 'dev' }, first.holder);
    const active = async (token: string) => ((await first.holder.introspect(token)).body as { active: boolean }).active;
    assert.deepEqual([await active(there), await active(elsewhere)], [true, true]);
    assert.equal(await reason(second, 'prod-eu'), 'ok');
    const segments = [{ ...prod('50s'), limits: { inactivity_timeout: '50s', token_ttl: '25s' } }];
    await reload({ policy: { limits: LIMITS, segments } });
    await open(who, { audience: 'dev' }, first.holder);
    assert.deepEqual([await active(there), await active(elsewhere)], [false, true]);
  });

  test('S18 a login at the idle end or later makes the segment usable again, one second earlier it does not', async () => {
    const who = person();
    const start = service.now;
    await open(who);
    service.advance(25 * MINUTE);
    const early = await open({ ...who, auth_time: start + 10 * MINUTE - 1 });
    assert.equal(await reason(early, 'prod-eu'), 'idle_too_long');
    const late = await open({ ...who, auth_time: start + 10 * MINUTE });
    assert.equal(await reason(late, 'prod-eu'), 'ok');
  });

  test('S18 an idle laptop denies nothing to a busy session', async () => {
    const who = { ...person(), auth_time: service.now };
    const [laptop, desktop] = [await open(who), await open(who)];
    for (let i = 0; i < 5; i++) {
      service.advance(5 * MINUTE);
      assert.equal(await reason(desktop, 'prod-eu'), 'ok');
    }
    assert.equal(await reason(laptop, 'prod-eu'), 'idle_too_long');
    assert.equal(await reason(desktop, 'prod-eu'), 'ok');
  });

  test('S18 uses that the webhook saw close a gap like renewals', async () => {
    const who = { ...person(), auth_time: service.now };
    const clusters = ['dev', 'prod-eu'].map((name, i) => ({
      ...{ name, server: `https://127.0.0.1:${i + 1}`, audience: name, allowed_groups: ['*'] },
      webhook: { token_file: `${name}-hook`, on_failure: 'deny' },
    }));
    await service.restart({ clusters, ...policy('10m') });
    const first = await open(who);
    service.advance(12 * MINUTE);
    const asked = { user: `curfew:${who.email}`, sid: first.sid, jti: service.tokenId(first.sid, 'dev') };
    assert.equal((await askAuthorization(service.url, service.webhook_tokens.dev ?? '', asked)).denied, false);
    service.advance(MINUTE);
    assert.equal(await reason(await open(who), 'prod-eu'), 'idle_too_long');
  });

  test('S18 a gap is held against the login under a tighter policy of later as well', async () => {
    const who = { ...person(), auth_time: service.now };
    const first = await open(who);
    await useDev(first, 7);
    await useDev(first, 1);
    await reload(policy('5m'));
    assert.equal(await reason(await open({ ...who, auth_time: who.auth_time - MINUTE }), 'prod-eu'), 'idle_too_long');
    await reload(policy('10m'));
    assert.equal(await reason(await open(who), 'prod-eu'), 'ok');
  });

  test('S18 segments with different timeouts each ask for the login that their own end wants', async () => {
    const segments = [
      prod('10m'),
      { name: 'dev', match: { clusters: ['dev'] }, limits: { inactivity_timeout: '20m' } },
    ];
    await reload({ policy: { limits: LIMITS, segments } });
    const who = person();
    const start = service.now;
    await open(who);
    service.advance(22 * MINUTE);
    const middle = await open({ ...who, auth_time: start + 15 * MINUTE });
    assert.equal(await reason(middle, 'prod-eu'), 'ok');
    assert.equal(await reason(middle, 'dev'), 'idle_too_long');
  });

  for (const [how, end] of [
    ['its longest age by a rule that no longer applies', 'max_age'],
    ['too many sessions', 'too_many_sessions'],
  ] as const) {
    test(`S18 a gap outlives a session that ended by ${how}`, async () => {
      const rules = [{ name: 'short', when: 'user.acr == "low"', limits: { max_age: '20m' } }];
      const more = end === 'max_age' ? { rules } : { max_sessions: { count: 1, when_exceeded: 'end_oldest' } };
      await service.restart({ policy: { limits: LIMITS, segments: [prod('10m')], ...more } });
      const who = { ...person(), auth_time: service.now };
      const first = await open({ ...who, acr: 'low' });
      service.advance(11 * MINUTE);
      assert.equal(await reason(first, 'dev'), 'ok');
      service.advance(9 * MINUTE);
      const second = await open(who);
      assert.equal(await reason(first, 'dev'), 'session_ended');
      assert.equal(await reason(second, 'prod-eu'), 'idle_too_long');
      assert.equal(await reason(await open(who, {}, second.holder), 'prod-eu'), 'idle_too_long');
    });
  }

  test('S18 the retry of an exchange whose reply was lost brings back no idle segment', async () => {
    const who = { ...person(), auth_time: service.now };
    await open(who);
    service.advance(10 * MINUTE);
    const holder = service.holder();
    const idToken = service.issuer.sign(service.claims(holder, who));
    for (let i = 0; i < 2; i++) {
      const { granted } = await holder.exchange(idToken, { audience: 'dev' });
      assert.equal((await holder.renew(granted.refresh_token ?? '', 'prod-eu')).refused.reason, 'idle_too_long');
    }
  });
});
