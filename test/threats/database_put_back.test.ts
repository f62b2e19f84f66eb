// A database that was put back to an earlier state: what ended since is active in it, and what was used up can be used again.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createClusterApis } from '../../broker/api_servers/apis.ts';
import { accept } from '../../broker/commands/administration_commands.ts';
import { verifyAuditLog } from '../../broker/commands/audit_verify.ts';
import { loadConfig } from '../../broker/config/load.ts';
import { until } from '../support/patience.ts';
import { type Postgres, startPostgres } from '../support/postgres.ts';
import { startTestService, type TestService } from '../support/service.ts';

describe('R4 a database', () => {
  let server: Postgres;
  let service: TestService;
  const folder = mkdtempSync(path.join(tmpdir(), 'curfew-put-back-'));
  const [url_file, witness, elsewhere] = ['url', 'witness/curfew', 'elsewhere/curfew'].map((file) =>
    path.join(folder, file),
  ) as [string, string, string];
  const place = { postgres: { url_file } };
  const name = 'put_back';
  before(async () => {
    server = await startPostgres();
    writeFileSync(url_file, await server.createDatabase(name), { mode: 0o600 });
    service = await startTestService({ store: { ...place, witness_file: witness } });
  });
  after(async () => {
    await service?.stop().catch(() => undefined);
    await server?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const ready = async () => {
    const response = await fetch(`${service.url}/readyz`);
    return { status: response.status, text: await response.text() };
  };
  const login = async (sub: string) => {
    const holder = service.holder();
    const { granted } = await service.login(holder, { sub, email: `${sub}@example.com` });
    return { holder, handle: granted.refresh_token ?? '' };
  };
  const works = async ({ holder, handle }: Awaited<ReturnType<typeof login>>) =>
    (await holder.renew(handle, 'dev')).status === 200;

  const accepted = async () => {
    const around = { now: () => service.now, by: 'test', apis: createClusterApis(), log: console };
    const config = await loadConfig(service.configFile, { env: process.env });
    const { exit, lines } = await accept('store accept', config, around);
    assert.equal(exit, 0, lines.join('\n'));
    service.advance(2);
  };

  test('that is killed and started again: 503 with Retry-After meanwhile, not ready, and it heals by itself', async () => {
    const one = await login('killed');
    await server.end('SIGKILL');
    const { status, headers, refused } = await one.holder.renew(one.handle, 'dev');
    assert.deepEqual([status, refused.reason], [503, 'store']);
    assert.ok(headers.has('retry-after'));
    await until(async () => (await ready()).status === 503, 'it stays ready');
    await server.start();
    await until(() => works(one), 'it does not heal');
    await until(async () => (await ready()).status === 200, 'it does not get ready');
  });

  test('that was put back is used by nobody, also after a restart, until an administrator says so', async () => {
    const [ended, kept] = [await login('ended'), await login('kept')];
    await server.end('SIGINT');
    const putBack = server.keep();
    await server.start();
    await until(() => works(ended), 'it does not heal');
    service.advance(2);
    assert.equal((await ended.holder.revoke(ended.handle)).status, 200);

    // What is said once is said again only after it was well.
    await until(async () => (await ready()).status === 200, 'it does not get ready');
    const before = service.log.length;
    const says = (what: RegExp) => service.log.slice(before).some((line) => what.test(line));
    await server.end('SIGINT');
    assert.equal(await works(ended), false);
    const away = /"reason":"[^"]*","msg":"the store cannot be used/;
    await until(() => says(away), 'the log does not say that it is away');
    putBack();
    await server.start();
    // Whatever is asked, and however often: its end is not in the database any more.
    for (let n = 0; n < 20; n++) {
      assert.equal(await works(ended), false, 'a token after the end');
      assert.equal(await works(kept), false);
    }
    assert.equal((await ready()).status, 503);
    // That it was away before was said already; this is what a person has to know.
    const said = /"reason":"[^"]*was put back[^"]*","msg":"the store cannot be used/;
    await until(() => says(said), 'the log does not say why');
    await service.halt();
    await assert.rejects(service.restart(), { code: 'store', message: /was put back to an earlier state/ });

    await accepted();
    await service.restart();
    assert.equal((await ready()).status, 200);
    assert.equal(await works(ended), false);
    assert.equal(await works(kept), false, 'everything of before is over');
    assert.ok(await works(await login('kept')));
  });

  test('that was put back to before it was accepted is accepted once, for witnesses elsewhere too', async () => {
    await server.end('SIGINT');
    const putBack = server.keep();
    await server.start();
    await until(async () => (await ready()).status === 200, 'it does not heal');
    for (let n = 0; n < 2; n++) await accepted();
    for (const witness_file of [elsewhere, witness]) await service.restart({ store: { ...place, witness_file } });
    await service.halt();
    await server.end('SIGINT');
    putBack();
    await server.start();
    await assert.rejects(service.restart(), { code: 'store', message: /was put back to an earlier state/ });
    await accepted();
    for (const witness_file of [elsewhere, witness]) {
      await service.restart({ store: { ...place, witness_file } });
      assert.ok(await works(await login('accepted')));
    }
  });

  test('whose witness cannot be read is used by nobody until an administrator says so', async () => {
    const before = await login('unreadable');
    await service.halt();
    writeFileSync(witness, 'x'.repeat(1_024));
    await assert.rejects(service.restart(), { code: 'store', message: /has a witness that cannot be read/ });
    await accepted();
    await service.restart();
    assert.equal(await works(before), false, 'everything of before is over');
    assert.ok(await works(await login('unreadable')));
  });

  test('that is lost is not begun again in an empty one until an administrator says so', async () => {
    const before = await login('lost');
    await service.halt();
    await server.query(`drop database ${name}`);
    await server.createDatabase(name);
    await assert.rejects(service.restart(), { code: 'store', message: /has no store in it/ });
    await accepted();
    await service.restart();
    assert.equal(await works(before), false);
    assert.ok(await works(await login('lost')));
    const { exit, lines } = await verifyAuditLog(await loadConfig(service.configFile, { env: process.env }));
    assert.equal(exit, 0, lines.join('\n'));
  });
});
