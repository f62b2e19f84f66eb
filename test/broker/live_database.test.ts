// `check --live` where the store is a database: whether somebody follows it, and whose clock is off.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { loadConfig } from '../../broker/config/load.ts';
import type { Config } from '../../broker/config/settings.ts';
import { lookAtStore } from '../../broker/live/store.ts';
import { fromMilliseconds } from '../../shared/time.ts';
import { startTestService, type TestService } from '../support/service.ts';

let service: TestService;
let config: Config;

before(async () => {
  service = await startTestService({}, { postgres: true });
  config = await loadConfig(service.configFile, { env: {} });
});
after(() => service?.stop());

async function look(changed: Config, ahead = 0) {
  const exact = () => Date.now() / 1000 + ahead;
  const opened = await lookAtStore(changed, () => fromMilliseconds(exact() * 1000), exact);
  await opened.close();
  return opened;
}

/** The same database, with another host beside it that nobody is at. */
function withSecondHost(): Config {
  const { postgres } = config.store;
  assert.ok(postgres);
  const hosts = [...postgres.address.hosts, { host: '127.0.0.1', port: 1 }];
  return { ...config, store: { ...config.store, postgres: { ...postgres, address: { ...postgres.address, hosts } } } };
}

test('a database that nobody follows: not known where one host is named, wrong where there are two', async () => {
  const standby = async (of: Config) => (await look(of)).seen.find(({ name }) => name === 'standby');
  assert.equal((await standby(config))?.state, 'not_known');
  const wrong = await standby(withSecondHost());
  assert.equal(wrong?.state, 'fault');
  assert.match(wrong.says, /none follows it, and 2 hosts are named/);
});

test('a clock that is off by more than the answer took is told, and which way', async () => {
  const off = async (ahead: number) => (await look(config, ahead)).ahead ?? Number.NaN;
  // Of the same machine, but read in milliseconds here.
  assert.ok(Math.abs(await off(0)) < 1);
  assert.ok(Math.abs((await off(600)) - 600) < 60);
  assert.ok(Math.abs((await off(-600)) + 600) < 60);
});

test('a database that cannot be reached is blamed as it is, without its password', async () => {
  const { postgres } = config.store;
  assert.ok(postgres);
  const address = { ...postgres.address, hosts: [{ host: '127.0.0.1', port: 1 }] };
  const { seen, ahead } = await look({ ...config, store: { ...config.store, postgres: { ...postgres, address } } });
  assert.deepEqual(
    seen.map(({ name, state }) => [name, state]),
    [['store', 'fault']],
  );
  assert.equal(ahead, undefined);
});
