// A database that was put back to an earlier state: what ended since is active in it, and what was used up can be used again.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createClusterApis } from '../../broker/api_servers/apis.ts';
import { accept } from '../../broker/commands/administration_commands.ts';
import { loadConfig } from '../../broker/config/load.ts';
import { until } from '../support/patience.ts';
import { type Postgres, startPostgres } from '../support/postgres.ts';
import { startTestService, type TestService } from '../support/service.ts';

describe('R4 a database', () => {
  let server: Postgres;
  let service: TestService;
  const folder = mkdtempSync(path.join(tmpdir(), 'curfew-put-back-'));
  before(async () => {
    server = await startPostgres();
    const url_file = path.join(folder, 'url');
    writeFileSync(url_file, await server.createDatabase(), { mode: 0o600 });
    const store = { postgres: { url_file }, witness_file: path.join(folder, 'witness/curfew') };
    service = await startTestService({ store });
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

    const around = { now: () => service.now, by: 'test', apis: createClusterApis(), log: console };
    const config = await loadConfig(service.configFile, { env: process.env });
    const { exit, lines } = await accept('store accept', config, around);
    assert.equal(exit, 0, lines.join('\n'));
    await service.restart();
    assert.equal((await ready()).status, 200);
    assert.equal(await works(ended), false);
    assert.equal(await works(kept), false, 'everything of before is over');
    service.advance(2);
    assert.ok(await works(await login('kept')));
  });
});
