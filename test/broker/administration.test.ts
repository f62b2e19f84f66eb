// Commands of an administrator that change the store: one more process that writes, and rows in the audit log like any other.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { administer } from '../../broker/commands/administration.ts';
import { verifyAuditLog } from '../../broker/commands/audit_verify.ts';
import { loadConfig } from '../../broker/config/load.ts';
import type { Config } from '../../broker/config/settings.ts';
import { endSession } from '../../broker/sessions/ending.ts';
import { findBySid } from '../../broker/sessions/find.ts';
import { until } from '../support/patience.ts';
import { scrape } from '../support/scrape.ts';
import { startTestService, T0, type TestService } from '../support/service.ts';

describe('administration', () => {
  let service: TestService;
  let config: Config;
  before(async () => {
    service = await startTestService({ metrics: { address: '127.0.0.1', port: 0 } });
    config = await loadConfig(service.configFile, { env: process.env });
  });
  after(() => service.stop());

  const note = () =>
    administer(config, (store) =>
      store.transaction((transaction) =>
        transaction.audit({ event: 'administration', at: T0, command: 'store accept', by: 'root' }),
      ),
    );

  test('beside a running broker: both write on, and the audit log stays whole', async () => {
    const holder = service.holder();
    const { refresh_token = '' } = (await service.login(holder)).granted;
    for (let i = 0; i < 5; i++) {
      const [answer] = await Promise.all([holder.renew(refresh_token, 'dev'), note()]);
      assert.equal(answer.status, 200);
    }
    const { lines, exit } = await verifyAuditLog(config);
    assert.equal(exit, 0, lines.join('\n'));
    assert.ok(!service.log.some((line) => line.includes('changed from outside')));
  });

  test('a running broker hears of what a command ended, published and declared beside it', async () => {
    const { sid } = (await service.login(service.holder(), { sub: 'bob-sub', email: 'bob@example.com' })).granted
      .session;
    const look = () => scrape(service.metrics_url);
    const before = await look();
    await administer(config, (store) =>
      store.transaction(async (transaction) => {
        const session = await findBySid(transaction.db, sid);
        assert.ok(session);
        await endSession(transaction, session, { reason: 'administrator', since: T0, now: T0 });
        transaction.publish({ kind: 'keys', at: T0 });
      }),
    );
    const heard = async (kind: string) => (await look()).since(before, 'curfew_feed_changes_total', { kind });
    await until(
      async () => (await heard('end')) === 1 && (await heard('keys')) === 1,
      'the broker does not hear of it',
    );
    const now = await look();
    assert.deepEqual([now.value('curfew_feed_behind'), now.value('curfew_config_in_step')], [0, 1]);
  });

  test('what is older than a day in the feed is forgotten; a change of a day ago is not', async () => {
    const store = () => administer(config, (open) => open.feed.after(0, 1));
    await service.login(service.holder(), { sub: 'carol-sub', email: 'carol@example.com' });
    const { head } = await store();
    service.advance(86_400);
    // Ends what is over by now.
    await service.sweep();
    assert.equal((await store()).forgotten, 0);
    service.advance(1);
    await service.sweep();
    const { forgotten, head: newest, entries } = await store();
    assert.equal(forgotten, head);
    assert.ok(newest > head);
    assert.equal(entries[0]?.seq, head + 1);
  });

  test('where there is no store, none is made', async () => {
    const elsewhere = { ...config, store: { sqlite: { file: `${service.storeFile}-nowhere` } } };
    await assert.rejects(
      administer(elsewhere, async () => undefined),
      { code: 'configuration' },
    );
    assert.ok(!existsSync(elsewhere.store.sqlite.file));
  });
});
