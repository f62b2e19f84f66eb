// Two brokers on one database: what one of them was told holds at the other, from the answer on.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { verifyAuditLog } from '../../broker/commands/audit_verify.ts';
import { loadConfig } from '../../broker/config/load.ts';
import { Holder } from '../support/holder.ts';
import { until } from '../support/patience.ts';
import { askAuthentication, askAuthorization, jtiOf } from '../support/review.ts';
import { startTestService, TEST_POLICY, type TestService } from '../support/service.ts';
import { logoutToken, sendLogout } from '../support/signals.ts';
import { openStoreDatabase } from '../support/store_database.ts';

const SESSIONS = 40;

describe('two brokers on one database', () => {
  let service: TestService;
  let second: { readonly issuer: string; readonly url: string };
  before(async () => {
    const policy = { ...TEST_POLICY, max_sessions: { count: 3, when_exceeded: 'refuse' } };
    const webhook = { token_file: 'dev-hook', on_failure: 'deny', authentication: true };
    const dev = { name: 'dev', server: 'https://127.0.0.1:1', audience: 'dev', allowed_groups: ['*'], webhook };
    service = await startTestService({ policy, clusters: [dev] }, { postgres: true });
    second = await service.replica();
  });
  after(() => service?.stop());

  /** A holder, and the broker that it asks at the moment. */
  const somebody = () => {
    const place = { issuer: second.issuer, url: service.url };
    return { place, holder: new Holder(place, () => service.now) };
  };
  const stored = (text: string, ...values: readonly string[]) => {
    using database = openStoreDatabase(service.storeFile);
    return database.prepare(text).all(...values);
  };
  /** On a slow machine a broker may say that it has more to do than it can. */
  const insist = async <T extends { readonly status: number }>(ask: () => Promise<T>): Promise<T> => {
    for (;;) {
      const answer = await ask();
      if (answer.status !== 503) return answer;
    }
  };

  test('R1 I1 nothing is granted at one for a request that came after the answer to an end at the other', async () => {
    let refused = 0;
    const one = async (n: number) => {
      const { place, holder } = somebody();
      const who = { sub: `r2-${n}`, email: `r2-${n}@example.com` };
      const { granted } = await insist(() => service.login(holder, who));
      const handle = granted.refresh_token ?? '';
      let ended = false;
      const renewing = Array.from({ length: 3 }, async () => {
        for (let after = 0; after < 3; ) {
          const too_late = ended;
          const { status } = await insist(() => {
            place.url = second.url;
            return holder.renew(handle, 'dev');
          });
          if (!too_late) continue;
          after += 1;
          refused += 1;
          assert.notEqual(status, 200, 'a token after the end');
        }
      });
      await insist(() => {
        place.url = service.url;
        return holder.revoke(handle);
      });
      ended = true;
      await Promise.all(renewing);
    };
    for (let n = 0; n < SESSIONS; n += 4) await Promise.all([n, n + 1, n + 2, n + 3].map(one));
    assert.equal(refused, SESSIONS * 9);
    assert.equal(stored(`select sid from session where ended_at is null and sub like 'r2-%'`).length, 0);
    assert.equal(stored(`select seq from feed where kind = 'end'`).length, SESSIONS);
  });

  test('R1 after the answer to an end at one, webhook, TokenReview and introspection of the other deny, and at no time before', async () => {
    const hook = service.webhook_tokens.dev ?? '';
    for (let n = 0; n < 10; n++) {
      const { place, holder } = somebody();
      const email = `r1w-${n}@example.com`;
      const { granted } = await insist(() => service.login(holder, { sub: `r1w-${n}`, email }, { audience: 'dev' }));
      const { access_token: token = '', refresh_token: handle = '', session } = granted;
      const asked = { user: `curfew:${email}`, sid: session.sid, jti: jtiOf(token) };
      const passes = async () => [
        !(await askAuthorization(second.url, hook, asked)).denied,
        (await askAuthentication(second.url, hook, token)).authenticated === true,
        ((await holder.introspect(token)).body as { active?: boolean }).active,
      ];
      place.url = second.url;
      assert.deepEqual(await passes(), [true, true, true]);
      place.url = service.url;
      assert.equal((await insist(() => holder.revoke(handle))).status, 200);
      place.url = second.url;
      assert.deepEqual(await passes(), [false, false, false]);
    }
  });

  test('R3 an ID token, and a proof, are taken by one of them alone', async () => {
    const { place, holder } = somebody();
    const token = service.issuer.sign(service.claims(holder, { sub: 'r1', email: 'r1@example.com' }));
    const [thief, proof] = [somebody(), holder.proof()];
    const first = await insist(() => holder.exchange(token));
    const handle = first.granted.refresh_token ?? '';
    place.url = second.url;
    assert.notEqual((await insist(() => thief.holder.exchange(token))).status, 200);
    const answers = await Promise.all(
      [service.url, second.url].map((url) => {
        place.url = url;
        return holder.renew(handle, 'dev', {}, proof);
      }),
    );
    const granted = answers.filter(({ status }) => status === 200);
    assert.equal(granted.length, 1, answers.map(({ status }) => status).join());
  });

  test('R3 a name that two people come with at once, one at each, is one of theirs', async () => {
    for (let n = 0; n < 10; n++) {
      const answers = await Promise.all(
        [service.url, second.url].map((url, who) => {
          const { place, holder } = somebody();
          return insist(() => {
            place.url = url;
            return service.login(holder, { sub: `name-${n}-${who}`, email: `name-${n}@example.com` });
          });
        }),
      );
      assert.deepEqual(answers.map((one) => (one.status === 200 ? 'granted' : one.refused.reason)).sort(), [
        'granted',
        'username_taken',
      ]);
    }
  });

  test('R3 logins of one person at both at once open no more sessions than the policy allows', async () => {
    const logins = Array.from({ length: 12 }, (_, n) => {
      const { place, holder } = somebody();
      const who = { sub: 'many', email: 'many@example.com' };
      return insist(() => {
        place.url = n % 2 === 0 ? service.url : second.url;
        return service.login(holder, who);
      });
    });
    const answers = await Promise.all(logins);
    assert.equal(answers.filter(({ status }) => status === 200).length, 3);
    assert.equal(stored(`select sid from session where ended_at is null and sub = 'many'`).length, 3);
  });

  test('R3 of a login at one and a logout by the identity provider at the other the logout wins, whichever was first', async () => {
    let opened = 0;
    const race = async (n: number) => {
      const sub = `race-${n}`;
      const { place, holder } = somebody();
      place.url = second.url;
      const claims = service.claims(holder, { sub, email: `${sub}@example.com` });
      const [login, logout] = await Promise.all([
        insist(() => holder.exchange(service.issuer.sign(claims))),
        insist(() => sendLogout(service, logoutToken(service, { sub, sid: undefined }))),
      ]);
      assert.equal(logout.status, 200);
      if (login.status === 200) opened += 1;
      else assert.equal(login.refused.reason, 'login_after');
    };
    for (let n = 0; n < 60; n += 6) await Promise.all(Array.from({ length: 6 }, (_, i) => race(n + i)));
    assert.deepEqual(
      stored(`select sub from session where ended_at is null and sub like 'race-%'`),
      [],
      `${opened} opened`,
    );
  });

  test('R3 failed logins at both count together', async () => {
    const answers: (string | undefined)[] = [];
    for (let n = 0; n < 6; n++) {
      const { place, holder } = somebody();
      place.url = n % 2 === 0 ? service.url : second.url;
      const old = { sub: 'old', email: 'old@example.com', auth_time: service.now - 7_200 };
      answers.push((await insist(() => service.login(holder, old))).refused.reason);
    }
    assert.equal(answers.at(-1), 'too_many_failures', answers.join());
  });

  test('F6 whose connections are all cut refuse at most for a moment, with a time to come again, and work again by themselves', async () => {
    const { place, holder } = somebody();
    const { granted } = await insist(() => service.login(holder, { sub: 'r3', email: 'r3@example.com' }));
    const handle = granted.refresh_token ?? '';
    stored(
      'select count(pg_terminate_backend(pid)) from pg_stat_activity where pid <> pg_backend_pid() and datname = current_database()',
    );
    for (const url of [service.url, second.url]) {
      await until(async () => {
        place.url = url;
        const { status, headers } = await holder.renew(handle, 'dev');
        if (status === 503) assert.ok(headers.has('retry-after'));
        return status === 200;
      }, `${url} does not work again`);
    }
  });

  test('S1 one second before max_age both renew, at max_age itself neither does, whichever opened the session', async () => {
    for (const opened_at of [service.url, second.url]) {
      const { place, holder } = somebody();
      place.url = opened_at;
      const sub = `s1-${opened_at === second.url}`;
      const { granted } = await insist(() => service.login(holder, { sub, email: `${sub}@example.com` }));
      const handle = granted.refresh_token ?? '';
      const both = async () => {
        const answers: (number | string | undefined)[] = [];
        for (const url of [service.url, second.url]) {
          const answer = await insist(() => {
            place.url = url;
            return holder.renew(handle, 'dev');
          });
          answers.push(answer.status === 200 ? 200 : answer.refused.reason);
        }
        return answers;
      };
      for (const seconds of [1_500, 1_500, 599]) {
        service.advance(seconds);
        assert.deepEqual(await both(), [200, 200]);
      }
      service.advance(1);
      const [first, then] = await both();
      assert.equal(first, 'login_too_old');
      assert.ok(then === 'login_too_old' || then === 'session_ended', String(then));
    }
  });

  test('I2 the audit log of both is whole, lane by lane', async () => {
    const { lines, exit } = await verifyAuditLog(await loadConfig(service.configFile, { env: process.env }));
    assert.equal(exit, 0, lines.join('\n'));
  });
});
