// The clocks of a broker and of its database (F7): asked each second, warned of beyond 1 s, and beyond 5 s nothing is written.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Holder } from '../support/holder.ts';
import { until } from '../support/patience.ts';
import { scrape } from '../support/scrape.ts';
import { startTestService, type TestService } from '../support/service.ts';
import { openStoreDatabase } from '../support/store_database.ts';

describe('F7 a broker with a store in PostgreSQL, whose clock is not that of the database', () => {
  let service: TestService;
  let holder: Holder;
  let handle: string;
  before(async () => {
    service = await startTestService({ metrics: { address: '127.0.0.1', port: 0 } }, { postgres: true });
    holder = service.holder();
    const { granted } = await service.login(holder);
    handle = granted.refresh_token ?? '';
  });
  after(() => service?.stop());

  const ready = async () => ((await (await fetch(`${service.url}/readyz`)).json()) as { status: string }).status;
  const ahead = async () =>
    (await scrape(service.metrics_url)).value('curfew_clock_ahead_of_database_seconds') ?? Number.NaN;
  const untilAhead = (seconds: number) =>
    until(async () => Math.abs((await ahead()) - seconds) < 0.5, `the metric does not show ${seconds}`);
  const said = (text: RegExp) => service.log.filter((line) => text.test(line)).length;
  const written = () => {
    using database = openStoreDatabase(service.storeFile);
    return database.prepare('select lane, seq, hash, newest from audit_lane order by lane').all();
  };

  test('F7 while they agree nothing is said', async () => {
    await untilAhead(0);
    assert.deepEqual([await ready(), said(/that of the database/)], ['ok', 0]);
  });

  for (const [side, sign] of [
    ['ahead of', 1],
    ['behind', -1],
  ] as const) {
    test(`F7 more than 1 s ${side} it: a warning, once, and all goes on; it says when they agree again`, async () => {
      const [warned, agreed] = [said(/"level":40.*that of the database/), said(/agree again/)];
      service.aheadOfDatabase = sign * 3;
      await untilAhead(sign * 3);
      assert.equal((await holder.renew(handle, 'dev')).status, 200);
      assert.equal(await ready(), 'ok');
      assert.equal(said(new RegExp(`"level":40.*3\\.0s ${side} that of the database`)), 1);
      service.aheadOfDatabase = 0;
      await untilAhead(0);
      assert.deepEqual([said(/"level":40.*that of the database/), said(/agree again/)], [warned + 1, agreed + 1]);
    });

    test(`F7 I6 more than 5 s ${side} it: not ready, nothing is granted, ended or written; it heals by itself`, async () => {
      service.aheadOfDatabase = sign * 6;
      await until(async () => (await ready()) === 'clock', 'it stays ready');
      const before = written();
      for (const answer of [
        await holder.renew(handle, 'dev'),
        await service.login(service.holder(), { sub: 'other', email: 'other@example.com' }),
        await holder.revoke(handle),
      ]) {
        assert.deepEqual([answer.status, answer.refused.reason], [503, 'clock']);
      }
      await service.sweep().catch(() => undefined);
      assert.deepEqual(written(), before);
      service.aheadOfDatabase = 0;
      await until(async () => (await ready()) === 'ok', 'it does not heal');
      assert.equal((await holder.renew(handle, 'dev')).status, 200);
    });
  }

  test('F7 it does not start so', async () => {
    await service.halt();
    service.aheadOfDatabase = 6;
    await assert.rejects(service.restart(), { code: 'clock' });
    service.aheadOfDatabase = 0;
    await service.restart();
    assert.equal(await ready(), 'ok');
  });
});
