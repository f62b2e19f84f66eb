// The number of living sessions of one person: a further login is refused, or the oldest session ends.

import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import type { Holder } from '../support/holder.ts';
import { startTestService, type TestService } from '../support/service.ts';

const LIMITS = { max_age: '12h', inactivity_timeout: '30m', token_ttl: '5m' };
const most = (count: number, when_exceeded: 'refuse' | 'end_oldest') => ({
  policy: { limits: LIMITS, max_sessions: { count, when_exceeded } },
});

let service: TestService;
let people = 0;
let who: Record<string, unknown>;
before(async () => {
  service = await startTestService();
});
after(() => service.stop());
beforeEach(() => {
  people += 1;
  who = { sub: `person-${people}`, email: `person-${people}@example.com` };
});

interface Opened {
  readonly holder: Holder;
  readonly sid: string;
  readonly handle: string;
}

async function open(more: Readonly<Record<string, unknown>> = {}, holder = service.holder()): Promise<Opened> {
  service.advance(1);
  const { session, refresh_token = '' } = (await service.login(holder, { ...who, ...more })).granted;
  return { holder, sid: session.sid, handle: refresh_token };
}

const renew = ({ holder, handle }: Opened) => holder.renew(handle, 'dev');
const endsOf = ({ sid }: Opened) =>
  service.audit.flatMap((event) => (event.event === 'end' && event.sid === sid ? [event.reason] : []));

describe('max_sessions with refuse', () => {
  test('refuses one more, with the number and a row in the audit log, and leaves the others', async () => {
    await service.reload(most(2, 'refuse'));
    const opened = [await open(), await open()];
    const { status, refused } = await service.login(service.holder(), who);
    assert.deepEqual([status, refused.error, refused.reason], [400, 'invalid_grant', 'too_many_sessions']);
    assert.match(refused.error_description, / already has the maximum of 2 sessions$/);
    const row = service.audit.at(-1);
    assert.ok(row?.event === 'refusal' && row.reason === 'too_many_sessions' && row.sub === who.sub);
    for (const one of opened) assert.equal((await renew(one)).status, 200);
  });

  test('uses no ID token up: the same one opens a session once there is room', async () => {
    await service.reload(most(1, 'refuse'));
    await open();
    const holder = service.holder();
    const token = service.issuer.sign(service.claims(holder, who));
    assert.equal((await holder.exchange(token)).refused.reason, 'too_many_sessions');
    await service.reload(most(2, 'refuse'));
    assert.equal((await holder.exchange(token)).status, 200);
  });

  test('has room again when a session is over, also one that was over before anybody noticed', async () => {
    await service.reload(most(1, 'refuse'));
    const first = await open();
    assert.equal((await first.holder.revoke(first.handle)).status, 200);
    await open();
    service.advance(1800);
    await open();
  });

  test('counts each person for themselves', async () => {
    await service.reload(most(1, 'refuse'));
    await open();
    await open({ sub: 'another', email: 'another@example.com' });
  });

  test('counts no session that the same key replaces, and no retry', async () => {
    await service.reload(most(1, 'refuse'));
    const first = await open();
    const second = await open({}, first.holder);
    assert.deepEqual(endsOf(first), ['replaced']);
    const token = service.issuer.sign(service.claims(second.holder, { ...who, jti: 'third' }));
    const third = (await second.holder.exchange(token)).granted.session.sid;
    assert.equal((await second.holder.exchange(token)).granted.session.sid, third);
  });

  test('lets no more in at once than one by one', async () => {
    await service.reload(most(3, 'refuse'));
    const answers = await Promise.all(Array.from({ length: 12 }, () => service.login(service.holder(), who)));
    assert.equal(answers.filter(({ status }) => status === 200).length, 3);
    assert.ok(
      answers.every(
        ({ status, body }) => status === 200 || (body as { reason: string }).reason === 'too_many_sessions',
      ),
    );
  });
});

describe('max_sessions with end_oldest', () => {
  test('ends the session of the oldest login, with its reason, and no new login is needed for it', async () => {
    await service.reload(most(2, 'end_oldest'));
    const auth_time = service.now;
    const [first, second, third] = [await open(), await open(), await open()];
    assert.deepEqual([endsOf(first), endsOf(second), endsOf(third)], [['too_many_sessions'], [], []]);
    const { refused } = await renew(first);
    assert.deepEqual([refused.reason, refused.end_reason], ['session_ended', 'too_many_sessions']);
    assert.equal((await renew(second)).status, 200);
    // No `login_after`: the IdP's single sign-on may open another one.
    await open({ auth_time });
    assert.deepEqual(endsOf(second), ['too_many_sessions']);
  });

  test('ends as many as it takes when the number was lowered', async () => {
    await service.reload(most(5, 'end_oldest'));
    const opened = [await open(), await open(), await open(), await open()];
    await service.reload(most(2, 'end_oldest'));
    await open();
    assert.deepEqual(
      opened.map((one) => endsOf(one).length),
      [1, 1, 1, 0],
    );
  });

  test('leaves the others when the same key logs in again', async () => {
    await service.reload(most(2, 'end_oldest'));
    const [first, second] = [await open(), await open()];
    await open({}, second.holder);
    assert.deepEqual([endsOf(first), endsOf(second)], [[], ['replaced']]);
  });

  test('ends nothing for a login that is refused: an ID token that was used before', async () => {
    await service.reload(most(2, 'end_oldest'));
    service.advance(1);
    const holder = service.holder();
    const token = service.issuer.sign(service.claims(holder, { ...who, jti: 'used' }));
    assert.equal((await holder.exchange(token)).status, 200);
    const [second, third] = [await open(), await open()];
    service.advance(61);
    assert.equal((await holder.exchange(token)).refused.reason, 'id_token_used');
    assert.deepEqual([endsOf(second), endsOf(third)], [[], []]);
  });
});
