// Commands of an administrator that change the store: one more process that writes, and rows in the audit log like any other.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { administer } from '../../broker/commands/administration.ts';
import { verifyAuditLog } from '../../broker/commands/audit_commands.ts';
import { loadConfig } from '../../broker/config/load.ts';
import type { Config } from '../../broker/config/settings.ts';
import { startTestService, T0, type TestService } from '../support/service.ts';

describe('administration', () => {
  let service: TestService;
  let config: Config;
  before(async () => {
    service = await startTestService();
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

  test('where there is no store, none is made', async () => {
    const elsewhere = { ...config, store: { sqlite: { file: `${service.storeFile}-nowhere` } } };
    await assert.rejects(
      administer(elsewhere, async () => undefined),
      { code: 'configuration' },
    );
    assert.ok(!existsSync(elsewhere.store.sqlite.file));
  });
});
