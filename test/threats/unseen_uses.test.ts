// Uses that one of several brokers saw and has not written yet: another one denies a session that seems idle by what is stored, and does
// not end it (S1).

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Holder } from '../support/holder.ts';
import { until } from '../support/patience.ts';
import { askAuthorization, jtiOf } from '../support/review.ts';
import { startTestService, TEST_POLICY, type TestService } from '../support/service.ts';
import { openStoreDatabase } from '../support/store_database.ts';

const IDLE = 600;
const CLUSTERS = [
  {
    ...{ name: 'dev', server: 'https://127.0.0.1:1', audience: 'dev', allowed_groups: ['*'] },
    webhook: { token_file: 'dev-hook', on_failure: 'deny' },
  },
];
const POLICY = {
  ...TEST_POLICY,
  limits: { max_age: '8h', inactivity_timeout: `${IDLE}s`, token_ttl: '5m' },
  segments: [],
};

for (const postgres of [true, false]) {
  describe(`S1 a session that seems idle, with a store in ${postgres ? 'PostgreSQL' : 'SQLite'}`, () => {
    let service: TestService;
    before(async () => {
      service = await startTestService({ clusters: CLUSTERS, policy: POLICY }, { postgres });
    });
    after(() => service?.stop());

    let people = 0;
    const open = async () => {
      const email = `unseen-${++people}@example.com`;
      const holder = service.holder();
      const { granted } = await service.login(holder, { sub: email, email }, { audience: 'dev' });
      const { access_token: token, refresh_token: handle = '', session } = granted;
      return { email, holder, handle, sid: session.sid, user: `curfew:${email}`, jti: jtiOf(token) };
    };
    type Opened = Awaited<ReturnType<typeof open>>;
    const stored = ({ sid }: Pick<Opened, 'sid'>) => {
      using database = openStoreDatabase(service.storeFile);
      const text = 'select last_used, ended_at, end_reason from session where sid = ?';
      const { last_used, ended_at, end_reason } = database.prepare(text).get(sid) ?? {};
      return { last_used: Number(last_used), ended_at: ended_at === null ? null : Number(ended_at), end_reason };
    };
    const askAt = (url: string, { user, sid, jti }: Opened) =>
      askAuthorization(url, service.webhook_tokens.dev ?? '', { user, sid, jti });

    if (!postgres) {
      test('S1 is ended at once: one broker knows of all uses', async () => {
        const one = await open();
        service.advance(IDLE);
        assert.equal((await one.holder.renew(one.handle, 'dev')).refused.reason, 'idle_too_long');
        assert.deepEqual([stored(one).ended_at, stored(one).end_reason], [service.now, 'inactivity_timeout']);
      });
      return;
    }

    test('S1 is denied at once by renewal, webhook and sweeper, and ended as of then once that is 5 s ago', async () => {
      const one = await open();
      const end = service.now + IDLE;
      service.advance(IDLE);
      for (const wait of [0, 4]) {
        service.advance(wait);
        assert.equal((await one.holder.renew(one.handle, 'dev')).refused.reason, 'idle_too_long');
        assert.equal((await askAt(service.url, one)).denied, true);
        await service.sweep();
        assert.equal(stored(one).ended_at, null);
      }
      service.advance(1);
      await service.sweep();
      assert.deepEqual([stored(one).ended_at, stored(one).end_reason], [end, 'inactivity_timeout']);
    });

    test('S1 continues where another broker saw a use in time: that is written after the denial', async () => {
      const second = await service.replica();
      const one = await open();
      // Soon enough for the token, whose end is that of the session.
      service.advance(200);
      const last = await one.holder.renew(one.handle, 'dev');
      const renewed = { ...one, jti: jtiOf(last.granted.access_token) };
      const used = service.now;
      service.advance(250);
      assert.equal((await askAt(second.url, renewed)).denied, false);
      await until(() => stored(one).last_used === used + 250, 'the use is not written');
      // What the first broker has not seen of the second.
      using database = openStoreDatabase(service.storeFile);
      database.prepare('update session set last_used = ?, over_at = ? where sid = ?').run(used, used + IDLE, one.sid);
      service.advance(IDLE - 250 + 1);
      assert.equal((await one.holder.renew(one.handle, 'dev')).refused.reason, 'idle_too_long');
      assert.equal(stored(one).ended_at, null);
      database
        .prepare('update session set last_used = ?, over_at = ? where sid = ? and ended_at is null')
        .run(used + 250, used + 250 + IDLE, one.sid);
      assert.equal((await one.holder.renew(one.handle, 'dev')).status, 200);
    });

    test('S13 is ended at once by a login, so that single sign-on does not bring it back', async () => {
      const one = await open();
      const auth_time = service.now;
      service.advance(IDLE + 1);
      const again = new Holder({ issuer: 'https://curfew.example.com', url: service.url }, () => service.now);
      const { refused } = await service.login(again, { sub: one.email, email: one.email, auth_time });
      assert.equal(refused.reason, 'login_after');
      // What the refused login did is undone with nothing but its refusal: the end stays.
      assert.equal(stored(one).end_reason, 'inactivity_timeout');
    });

    test('S1 is ended at once by a limit of age, and by a time without use that is known', async () => {
      const one = await open();
      for (let n = 0; n < 60; n++) {
        service.advance(480);
        const { status } = await one.holder.renew(one.handle, 'dev');
        if (status !== 200) break;
      }
      assert.equal(stored(one).end_reason, 'max_age');
      const other = await open();
      service.advance(400);
      assert.equal((await other.holder.renew(other.handle, 'dev')).status, 200);
      await service.reload({ policy: { ...POLICY, limits: { ...POLICY.limits, inactivity_timeout: '300s' } } });
      assert.equal((await other.holder.renew(other.handle, 'dev')).refused.reason, 'idle_too_long');
      assert.equal(stored(other).end_reason, 'inactivity_timeout');
    });
  });
}
