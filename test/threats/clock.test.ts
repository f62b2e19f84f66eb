// The threat model: the broker's own clock, set back and ahead (S20): over real HTTP and SQLite in this process, and by
// libfaketime in the broker's own.

import assert from 'node:assert/strict';
import { globSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Holder } from '../support/holder.ts';
import { type LoneBroker, makeLoneBroker } from '../support/lone_broker.ts';
import { until } from '../support/patience.ts';
import { askAuthorization, jtiOf } from '../support/review.ts';
import { scrape } from '../support/scrape.ts';
import { startTestService, T0, type TestService } from '../support/service.ts';
import { openStoreDatabase } from '../support/store_database.ts';
import { newestOf } from '../support/store_row.ts';

const CLUSTERS = [
  {
    ...{ name: 'dev', server: 'https://127.0.0.1:1', audience: 'dev', allowed_groups: ['*'] },
    webhook: { token_file: 'dev-hook', on_failure: 'no_opinion', authentication: true },
  },
];

function stored<T>(file: string, question: string, ...given: readonly string[]): T | undefined {
  const database = openStoreDatabase(file);
  try {
    return database.prepare(question).get(...given) as T | undefined;
  } finally {
    database.close();
  }
}

describe('S20 the clock, in this process', () => {
  let service: TestService;
  before(async () => {
    service = await startTestService({ clusters: CLUSTERS, metrics: { address: '127.0.0.1', port: 0 } });
  });
  after(() => service.stop());

  async function ready(): Promise<string> {
    const response = await fetch(`${service.url}/readyz`);
    const { status } = (await response.json()) as { status: string };
    assert.equal(response.status, status === 'ok' ? 200 : 503);
    return status;
  }
  let people = 0;
  async function open(): Promise<{ holder: Holder; handle: string; sid: string; user: string; token: string }> {
    const email = `clock-${++people}@example.com`;
    const holder = service.holder();
    const { granted } = await service.login(holder, { sub: email, email }, { audience: 'dev' });
    const { access_token: token, refresh_token: handle = '', session } = granted;
    return { holder, handle, sid: session.sid, user: `curfew:${email}`, token };
  }
  const ask = (user: string, sid: string, token: string) =>
    askAuthorization(service.url, service.webhook_tokens.dev ?? '', { user, sid, jti: jtiOf(token) });
  const authenticate = async (token: string) => {
    const response = await fetch(`${service.url}/webhooks/authenticate`, {
      method: 'POST',
      headers: { authorization: `Bearer ${service.webhook_tokens.dev}`, 'content-type': 'application/json' },
      body: JSON.stringify({ apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec: { token } }),
    });
    return ((await response.json()) as { status: { authenticated: boolean } }).status.authenticated;
  };

  test('S20 up to 5 s back: time stands still, all goes on, and a use does not move last_used back', async () => {
    const { holder, handle, sid } = await open();
    service.advance(100);
    assert.equal((await holder.renew(handle, 'dev')).status, 200);
    const before = stored<{ last_used: number }>(service.storeFile, 'select last_used from session where sid = ?', sid);
    service.setClock(-5);
    assert.equal(await ready(), 'ok');
    const { granted } = await holder.renew(handle, 'dev');
    assert.equal(granted.session.broker_time, service.now);
    const after = stored<{ last_used: number }>(service.storeFile, 'select last_used from session where sid = ?', sid);
    assert.deepEqual(after, before);
    service.setClock(5);
  });

  for (const [length, fault] of [
    [-6, 'behind'],
    [-59 * 60, 'behind'],
    [-86_400 * 30, 'behind'],
    [306, 'ahead'],
    [14 * 3_600, 'ahead'],
    [86_400 * 365 * 70, 'ahead'],
  ] as const) {
    test(`S20 ${length} s: no exchange, no renewal, no webhook that passes, no sessions API; not ready; all heals`, async () => {
      const { holder, handle, sid, user, token } = await open();
      service.advance(10);
      assert.equal((await holder.renew(handle, 'dev')).status, 200);
      const rows = () =>
        stored<{ n: number }>(service.storeFile, "select count(*) as n from audit where event = 'mint'")?.n;
      const [minted, logged] = [rows(), service.log.length];
      service.setClock(length);
      try {
        const other = service.holder();
        const refused = [
          await service.login(
            other,
            { sub: `late-${length}`, email: `late-${length}@example.com` },
            { audience: 'dev' },
          ),
          await holder.renew(handle, 'dev'),
          await holder.api(handle, { method: 'GET' }),
          await holder.api(handle, { method: 'DELETE', path: `/${sid}` }),
        ];
        for (const { status, headers, refused: body } of refused) {
          assert.deepEqual([status, body.error, body.reason], [503, 'temporarily_unavailable', 'clock']);
          assert.ok(headers.has('retry-after'));
        }
        const { status, denied, reason } = await ask(user, sid, token);
        assert.deepEqual([status, denied], [200, true], 'not no opinion: the API server would go on without us');
        assert.match(reason, /clock/);
        assert.equal(await authenticate(token), false);
        assert.equal(await ready(), 'clock');
        assert.equal(rows(), minted);
        const seen = await scrape(service.metrics_url);
        assert.equal(seen.value('curfew_clock_believed'), 0);
        const said = (line: string) => line.includes(`"fault":"${fault}"`) && line.includes('"code":"clock"');
        await until(() => service.log.slice(logged).some(said), 'the log does not say so');
      } finally {
        service.setClock(-length);
      }
      assert.equal((await holder.renew(handle, 'dev')).status, 200, 'it heals by itself');
      assert.equal(await ready(), 'ok');
      assert.deepEqual((await ask(user, sid, token)).denied, false);
      assert.equal(await authenticate(token), true);
      assert.equal((await scrape(service.metrics_url)).value('curfew_clock_believed'), 1);
    });
  }

  test('S20 set ahead, or back, while an ID token is verified: 503 and clock, and nobody is told that it is over', async () => {
    for (const by of [3_600, -3_600]) {
      // Its keys are read again for it, and the clock moves as they are asked for.
      service.advance(700);
      const { date } = service.issuer;
      let bent = false;
      service.issuer.date = () => {
        if (!bent) service.setClock(by);
        bent = true;
        return date();
      };
      const email = `clock-${++people}@example.com`;
      const { status, refused } = await service.login(service.holder(), { sub: email, email });
      service.issuer.date = date;
      assert.ok(bent, 'the keys are not read');
      assert.deepEqual([status, refused.reason], [503, 'clock'], `${by} s`);
      service.setClock(-by);
      await until(async () => (await ready()) === 'ok', 'it does not heal');
      assert.equal((await service.login(service.holder(), { sub: email, email })).status, 200);
    }
  });

  test('S20 set back within max_age: nothing is granted after its end, though 59 min were taken off the clock', async () => {
    const { holder, handle } = await open();
    service.advance(1_200);
    assert.equal((await holder.renew(handle, 'dev')).status, 200);
    service.setClock(-59 * 60);
    for (let passed = 0; passed < 4_800; passed += 600) {
      service.advance(600);
      assert.notEqual((await holder.renew(handle, 'dev')).status, 200);
    }
    service.setClock(59 * 60);
    assert.equal((await holder.renew(handle, 'dev')).refused.error, 'login_required');
  });

  test('S20 an end is taken while the clock is behind, and at the right time', async () => {
    const { holder, handle, sid } = await open();
    service.advance(300);
    service.setClock(-3_000);
    service.advance(30);
    assert.equal((await holder.revoke(handle)).status, 200);
    const row = stored<{ ended_at: number }>(service.storeFile, 'select ended_at from session where sid = ?', sid);
    assert.equal(row?.ended_at, service.now);
    service.setClock(3_000);
    assert.notEqual((await holder.renew(handle, 'dev')).status, 200);
  });

  test('S20 proofs and ID tokens that were used are known after the clock was set back', async () => {
    const holder = service.holder();
    const claims = service.claims(holder, { sub: 'once', email: 'once@example.com' });
    const id_token = service.issuer.sign(claims);
    const { refresh_token: handle = '' } = (await holder.exchange(id_token)).granted;
    const proof = holder.proof();
    assert.equal((await holder.renew(handle, 'dev', {}, proof)).status, 200);
    service.setClock(86_400);
    await service.sweep();
    service.setClock(-86_400);
    assert.equal((await holder.renew(handle, 'dev', {}, proof)).refused.reason, 'proof_replayed');
    service.advance(61);
    assert.equal((await holder.exchange(id_token)).refused.reason, 'id_token_used');
  });

  test('S20 a machine that slept: the identity provider agrees, and all goes on', async () => {
    const { holder, handle } = await open();
    // The clock that only measures stood still meanwhile, the world's went on.
    service.sleep(600);
    assert.equal((await holder.renew(handle, 'dev')).refused.reason, 'clock');
    await until(async () => (await ready()) === 'ok', 'the clock is not believed again');
    assert.equal((await holder.renew(handle, 'dev')).status, 200);
  });

  test('S20 between starts: behind is not ready and heals, a start in 2099 leaves nothing behind', async () => {
    const { holder, handle } = await open();
    service.setClock(-3_600);
    await service.restart();
    assert.equal(await ready(), 'clock');
    assert.equal((await holder.renew(handle, 'dev')).refused.reason, 'clock');
    service.setClock(3_600);
    assert.equal((await holder.renew(handle, 'dev')).status, 200);
    service.setClock(86_400 * 365 * 70);
    await service.restart();
    assert.equal(await ready(), 'clock');
    await service.sweep();
    assert.equal((await holder.renew(handle, 'dev')).refused.reason, 'clock');
    service.setClock(-86_400 * 365 * 70);
    await service.restart();
    assert.equal(await ready(), 'ok');
    assert.equal((await holder.renew(handle, 'dev')).status, 200, 'its session lives');
    const mark = newestOf(service.storeFile);
    assert.ok(mark <= service.now && mark >= T0);
  });

  test('S20 the identity provider away at a restart: renewals go on where the clock is plausible, else once it answers', async () => {
    const { holder, handle } = await open();
    service.issuer.fault = 'refuse';
    await service.halt();
    service.advance(600);
    await service.restart();
    assert.equal((await holder.renew(handle, 'dev')).status, 200);
    await service.halt();
    service.advance(1_000);
    await service.restart();
    assert.equal((await holder.renew(handle, 'dev')).refused.reason, 'clock');
    service.issuer.fault = undefined;
    await until(async () => (await ready()) === 'ok', 'the clock is not believed again');
    assert.equal((await holder.renew(handle, 'dev')).status, 200);
  });

  test('S20 the newest instant is written with commits alone, and is never from outside', async () => {
    const before = newestOf(service.storeFile);
    service.advance(3);
    assert.equal(await ready(), 'ok');
    service.issuer.date = () => (service.now + 200) * 1_000;
    assert.equal((await service.login(service.holder(), { sub: 'd', email: 'd@example.com' })).status, 200);
    assert.equal(newestOf(service.storeFile), service.now);
    assert.ok(before <= service.now);
  });
});

const [LIBRARY] = globSync('/usr/lib/*/faketime/libfaketime.so.1');

describe('S20 the clock of the broker as a process', () => {
  let lone: LoneBroker;
  const clock = () => path.join(lone.folder, 'time');
  const bend = (by: string) => writeFile(clock(), `${by}\n`);
  const start = () =>
    lone.start({
      env: {
        LD_PRELOAD: LIBRARY ?? '',
        FAKETIME_TIMESTAMP_FILE: clock(),
        FAKETIME_NO_CACHE: '1',
        FAKETIME_DONT_FAKE_MONOTONIC: '1',
      },
    });
  before(async () => {
    assert.ok(LIBRARY, 'libfaketime is missing (Debian: libfaketime)');
    lone = await makeLoneBroker({
      name: 'clock',
      limits: { max_age: '12h', inactivity_timeout: '12h', token_ttl: '5m' },
    });
    await bend('+0');
    await start();
  });
  after(() => lone.remove());

  test('S20 set back, ahead, and between starts: refused, said, and healed', async () => {
    const { holder, handle } = await lone.login('a');
    const renew = async () => {
      const { status, body } = await holder.renew(handle, 'dev');
      return status === 200 ? 'ok' : (body as { reason?: string }).reason;
    };
    assert.equal(await renew(), 'ok');
    for (const by of ['-3540', '-7200', '+7200', '+600000000']) {
      await bend(by);
      assert.equal(await renew(), 'clock', by);
      assert.equal(await lone.ready(), 503);
      await sleep(1_500);
      assert.equal(await renew(), 'clock', `${by}, a moment later`);
      await bend('+0');
      assert.equal(await renew(), 'ok', `after ${by}`);
    }
    const said = lone.process
      .log()
      .split('\n')
      .filter((line) => line.includes('"code":"clock"'));
    assert.equal(said.length, 4, lone.process.log());
    for (const by of ['-3540', '+600000000']) {
      await lone.process.kill();
      await bend(by);
      // Kept until the clock is right again: it must be ready only then.
      const starting = start();
      await until(async () => (await lone.ready()) !== 0, 'the broker does not listen');
      assert.equal(await lone.ready(), 503);
      assert.equal(await renew(), 'clock', `started at ${by}`);
      await bend('+0');
      await starting;
      assert.equal(await renew(), 'ok', `after a start at ${by}`);
    }
  });
});
