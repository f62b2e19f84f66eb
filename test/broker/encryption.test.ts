// The encryption key is replaced while a broker runs: one by one it is told of the next, seals by it, and forgets the one of before. Nothing
// that was sealed or marked is lost on the way. On both databases.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { verifyAuditLog } from '../../broker/commands/audit_verify.ts';
import { rotateEncryption } from '../../broker/commands/keys.ts';
import { loadConfig } from '../../broker/config/load.ts';
import { CurfewError } from '../../shared/errors.ts';
import { until } from '../support/patience.ts';
import { startTestService, type TestService } from '../support/service.ts';
import { DATABASES } from '../support/stores.ts';

for (const database of DATABASES) {
  describe(`the encryption key (${database})`, () => {
    let service: TestService;
    before(async () => {
      service = await startTestService({}, { postgres: database === 'postgres' });
      for (const name of ['next', 'stranger']) {
        const file = path.join(path.dirname(service.configFile), name);
        await writeFile(file, randomBytes(32).toString('base64'), { mode: 0o600 });
      }
    });
    after(() => service.stop());

    const config = () => loadConfig(service.configFile, { env: process.env });
    const seal = async () => rotateEncryption(await config(), { now: () => service.now, by: 'root', note: 'drill' });
    const give = (encryption_key_file: string, other_encryption_key_file?: string) =>
      service.reload({
        keys: { encryption_key_file, ...(other_encryption_key_file && { other_encryption_key_file }) },
      });
    const isWhole = async () => (await verifyAuditLog(await config())).exit === 0;

    test('is replaced step by step, with sessions, tokens and nonces of before, and whole chains', async () => {
      const holder = service.holder();
      const { refresh_token: handle = '', access_token } = (await service.login(holder)).granted;
      const goesOn = async () => {
        service.advance(1);
        assert.equal((await holder.renew(handle, 'dev')).status, 200);
        assert.equal(((await holder.introspect(access_token)).body as { active: boolean }).active, true);
      };
      assert.equal((await give('key', 'next')).outcome, 'reloaded');
      await goesOn();
      assert.equal((await give('next', 'key')).outcome, 'reloaded');
      await goesOn();
      // The store still holds what the first has sealed: it cannot be left out yet.
      const early = await give('next');
      assert.equal(early.outcome, 'refused');
      assert.match(
        early.outcome === 'refused' ? early.faults.join() : '',
        /^keys: the signing key \S+ in the store was encrypted with another/,
      );
      await give('next', 'key');
      const [first = '', second = ''] = await seal();
      assert.match(first, /^ok: 1 signing key sealed by the encryption key/);
      assert.match(second, /are over at .*: take it out of the configuration then$/);
      assert.match((await seal())[0] ?? '', /^ok: 0 signing keys sealed/);
      await until(isWhole, 'the audit log is not whole');
      assert.equal((await give('next')).outcome, 'reloaded');
      assert.ok(await isWhole());
      service.advance(1);
      assert.equal((await holder.renew(handle, 'dev')).status, 200);
      assert.equal(service.log.filter((line) => line.includes('was changed from outside')).length, 0);
      await service.restart({ keys: { encryption_key_file: 'next' } });
      service.advance(1);
      assert.equal((await holder.renew(handle, 'dev')).status, 200);
      assert.ok(await isWhole());
    });

    test('cannot be exchanged for one that shares nothing with it while the broker runs', async () => {
      const { outcome, ...rest } = await give('stranger');
      assert.equal(outcome, 'refused');
      assert.deepEqual('faults' in rest && rest.faults, ['keys: takes effect at a restart only']);
      await give('next');
    });

    test('is not replaced by the command where no other one is given', async () => {
      await assert.rejects(seal, (error) => error instanceof CurfewError && error.code === 'usage');
    });
  });
}
