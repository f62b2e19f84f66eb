// A database that is there and does not do what it should: it takes no writes or no connections, stands still, or gave up waiting for its
// standby. Nothing is acknowledged that is not so, who asks is told when to come again, and it heals by itself.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { until } from '../support/patience.ts';
import { type Postgres, processesIn, startPostgres } from '../support/postgres.ts';
import { startTestService, type TestService } from '../support/service.ts';

const NAME = 'unwilling';

describe('R4 a database', () => {
  let server: Postgres;
  let service: TestService;
  const folder = mkdtempSync(path.join(tmpdir(), 'curfew-unwilling-'));
  before(async () => {
    server = await startPostgres();
    const url_file = path.join(folder, 'url');
    writeFileSync(url_file, await server.createDatabase(NAME), { mode: 0o600 });
    service = await startTestService({ store: { postgres: { url_file, connections: 2 } } });
  });
  after(async () => {
    signal('SIGCONT');
    await service?.stop().catch(() => undefined);
    await server?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const signal = (name: 'SIGSTOP' | 'SIGCONT') => {
    for (const pid of processesIn(server.data)) process.kill(pid, name);
  };
  /** Those that are there keep what they had when they began. */
  const reconnect = () =>
    server.query(`select pg_terminate_backend(pid) from pg_stat_activity where datname = '${NAME}'`);
  const set = async (text: string) => {
    await server.query(`alter database ${NAME} ${text}`);
    await reconnect();
  };
  const setStandbys = async (names: string) => {
    await server.query(`alter system set synchronous_standby_names = '${names}'`);
    await server.query('select pg_reload_conf()');
  };
  const ready = async () => (await fetch(`${service.url}/readyz`)).status;

  const faults: Readonly<Record<string, { hurt(): Promise<unknown>; heal(): Promise<unknown> }>> = {
    'that takes no writes': {
      hurt: () => set('set default_transaction_read_only = on'),
      heal: () => set('reset default_transaction_read_only'),
    },
    'that takes no connections': {
      hurt: () => set('allow_connections false'),
      heal: () => set('allow_connections true'),
    },
    'that stands still': {
      hurt: async () => signal('SIGSTOP'),
      heal: async () => signal('SIGCONT'),
    },
  };
  for (const [name, { hurt, heal }] of Object.entries(faults))
    test(`${name}: 503 with Retry-After, not ready; an end that was not acknowledged can be had again, and all heals by itself`, async () => {
      const holder = service.holder();
      const who = { sub: name, email: `${name.replaceAll(' ', '-')}@example.com` };
      const { refresh_token: handle = '' } = (await service.login(holder, who)).granted;
      await hurt();
      for (const answer of [await holder.renew(handle, 'dev'), await holder.revoke(handle)]) {
        assert.deepEqual([answer.status, answer.refused.reason], [503, 'store']);
        assert.ok(answer.headers.has('retry-after'));
      }
      await until(async () => (await ready()) === 503, 'it stays ready');
      await heal();
      await until(async () => (await holder.revoke(handle)).status === 200, 'it does not heal');
      // Another connection may not have healed yet.
      await until(async () => (await holder.renew(handle, 'dev')).status !== 503, 'it does not heal');
      await until(async () => (await ready()) === 200, 'it does not get ready');
      assert.equal((await holder.renew(handle, 'dev')).refused.end_reason, 'logout');
    });

  test('that gave up waiting for its standby: what it committed alone is not acknowledged', async () => {
    const holder = service.holder();
    const { refresh_token: handle = '' } = (await service.login(holder, { sub: 'alone', email: 'a@example.com' }))
      .granted;
    await setStandbys('nobody');
    const waiting = `pg_stat_activity where wait_event = 'SyncRep' and datname = '${NAME}'`;
    const asked = holder.revoke(handle);
    let answered = false;
    void asked.finally(() => {
      answered = true;
    });
    await until(async () => {
      await server.query(`select pg_cancel_backend(pid) from ${waiting}`);
      return answered;
    }, 'it is not answered');
    const { status, refused } = await asked;
    assert.deepEqual([status, refused.reason], [503, 'store']);
    await setStandbys('');
    await until(async () => (await holder.revoke(handle)).status === 200, 'it does not heal');
    await until(async () => (await ready()) === 200, 'it does not get ready');
  });
});
