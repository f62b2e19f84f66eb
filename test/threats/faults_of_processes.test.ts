// The threat model: faults of what is around a broker (F4, F5, F7, F9), which is a process of its own and has its own clock and disk.

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { globSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { run } from '../../scripts/run.ts';
import { freePort } from '../cluster/ports.ts';
import { type BrokerProcess, spawnBroker } from '../support/broker_process.ts';
import { makeBrokers } from '../support/brokers.ts';
import { Holder } from '../support/holder.ts';
import { type LoneBroker, makeLoneBroker } from '../support/lone_broker.ts';
import { assertKept, until } from '../support/patience.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { scrape } from '../support/scrape.ts';
import { ISSUER } from '../support/service.ts';
import type { Fault } from '../support/static_issuer.ts';

const [FAKETIME = ''] = globSync('/usr/lib/*/faketime/libfaketime.so.1');
const LIMITS = { max_age: '12h', inactivity_timeout: '12h', token_ttl: '5m' };

const bent = (file: string) => ({
  ...{ LD_PRELOAD: FAKETIME, FAKETIME_TIMESTAMP_FILE: file, FAKETIME_NO_CACHE: '1' },
  FAKETIME_DONT_FAKE_MONOTONIC: '1',
});
const statusOf = async (url: string): Promise<string> => {
  const response = await fetch(`${url}/readyz`).catch(() => undefined);
  if (!response) return 'away';
  const { status } = (await response.json()) as { readonly status: string };
  assert.equal(response.status, status === 'ok' ? 200 : 503);
  return status;
};

describe('F4 the identity provider of a broker as a process fails', { concurrency: 3 }, () => {
  const FAULTS: readonly Fault[] = ['refuse', 'hang', '500', 'html', 'drip', 'redirect', 'other issuer', 'other keys'];
  for (const fault of FAULTS)
    test(`${fault}: sessions continue, a login fails within 10 s and says why, and it heals by itself`, async (context) => {
      const lone = await makeLoneBroker({ name: 'provider', limits: LIMITS });
      context.after(lone.remove);
      await lone.start();
      const { holder, handle } = await lone.login('before');
      // A broker that has not read the keys yet has none to go on with.
      await lone.process.stop();
      lone.issuer.fault = fault;
      await lone.start();
      const begin = performance.now();
      const reason = fault === 'other keys' ? 'id_token_signature' : 'identity_provider';
      await assert.rejects(lone.login('during'), new RegExp(`not granted: (?:503|400) .*"reason":"${reason}"`));
      assertKept(performance.now() - begin, 10_000, 'the refusal');
      assert.equal((await holder.renew(handle, 'dev')).status, 200);
      lone.issuer.fault = undefined;
      const heals = () =>
        lone.login('after').then(
          () => true,
          () => false,
        );
      await until(heals, 'it does not heal');
    });
});

describe('F5 the file system of a store is read-only', () => {
  let lone: LoneBroker;
  before(async () => {
    lone = await makeLoneBroker({ name: 'read-only', limits: LIMITS });
    await lone.start();
  });
  after(() => lone?.remove());

  test('F5 while it runs: 503 and not ready, no end is acknowledged that is not one, and it heals without a restart', async () => {
    const { holder, handle } = await lone.login('runs');
    const calls = 'pwrite64,ftruncate,fallocate';
    const rules = ['-e', `trace=${calls}`, '-e', `inject=${calls}:error=EROFS`, '-p', `${lone.process.pid}`];
    const tracer: ChildProcess = spawn('strace', ['-f', '-qq', '-o', '/dev/null', ...rules], { stdio: 'ignore' });
    const exit = once(tracer, 'exit');
    await until(async () => (await holder.renew(handle, 'dev')).status === 503, 'it is written to');
    assert.equal((await holder.revoke(handle)).status, 503);
    assert.equal(await lone.ready(), 503);
    tracer.kill('SIGINT');
    await exit;
    await until(async () => (await lone.ready()) === 200, 'it does not heal');
    assert.equal((await holder.renew(handle, 'dev')).status, 200);
    assert.equal((await holder.revoke(handle)).status, 200);
    assert.notEqual((await holder.renew(handle, 'dev')).status, 200);
  });

  test('F5 at a start: it ends, and says so', async () => {
    await lone.process.stop();
    const mount = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"';
    const by = ['unshare', '-Urm', 'sh', '-c', mount, lone.folder];
    const { configFile, url } = lone;
    const started: BrokerProcess = await spawnBroker({ configFile, url, by });
    assert.notEqual(await started.exit, 0);
    assert.match(started.log(), /^curfew: error: .*store.*$/m);
    assert.match(started.log(), /^curfew: hint: /m);
    await lone.start();
    assert.equal(await lone.ready(), 200);
  });
});

describe('F7 the clock of a broker as a process', { concurrency: 2 }, () => {
  const AGAINST_PROVIDER: readonly (readonly [string, string, RegExp | undefined])[] = [
    ['+30', 'ok', undefined],
    ['-30', 'ok', /400 .*by the clock of the broker","reason":"clock"/],
    ['+310', 'clock', /503 .*"reason":"clock"/],
    ['-310', 'clock', /503 .*"reason":"clock"/],
    ['+3600', 'clock', /503 .*"reason":"clock"/],
    ['-3600', 'clock', /503 .*"reason":"clock"/],
  ];
  for (const [by, status, refused] of AGAINST_PROVIDER)
    test(`F7 ${by} s against the identity provider: ${refused ? 'no login, and it says clock' : 'it works'} (I6)`, async (context) => {
      assert.notEqual(FAKETIME, '', 'libfaketime is missing (Debian: libfaketime)');
      const lone = await makeLoneBroker({ name: 'clock', limits: LIMITS });
      context.after(lone.remove);
      const { folder, configFile, url } = lone;
      const file = path.join(folder, 'time');
      await writeFile(file, `${by}\n`);
      const started = await spawnBroker({ configFile, url, env: bent(file) });
      context.after(started.kill);
      await until(async () => (await statusOf(url)) === status, `it is ${await statusOf(url)}`);
      if (refused) await assert.rejects(lone.login('somebody'), refused);
      else assert.equal((await lone.login('somebody')).granted.token_type, 'N_A');
      await writeFile(file, '+0\n');
      const heals = () =>
        lone.login('after').then(
          () => true,
          () => false,
        );
      await until(heals, 'it does not heal');
    });

  test('F7 30 s, 5 min and 1 h against the database, either way: not ready, nothing is granted, it says clock and heals (I6)', async (context) => {
    assert.notEqual(FAKETIME, '', 'libfaketime is missing (Debian: libfaketime)');
    const server = await sharedPostgres();
    const brokers = await makeBrokers({ database: await server.createDatabase('clocks'), count: 1 });
    context.after(brokers.remove);
    const [replica] = brokers.replicas;
    const file = path.join(brokers.folder, 'time');
    const bend = (by: string) => writeFile(file, `${by}\n`);
    await bend('+0');
    await replica?.start({ env: bent(file) });
    const url = replica?.url ?? '';

    const holder = new Holder({ url, issuer: ISSUER });
    const at = holder.now();
    const who = { iss: brokers.issuer.issuer, aud: 'curfew', sub: 'a', email: 'a@example.com', email_verified: true };
    const times = { iat: at, exp: at + 300, auth_time: at, nonce: holder.nonce };
    const { refresh_token: handle = '' } = (await holder.exchange(brokers.issuer.sign({ ...who, ...times }))).granted;
    for (const by of ['+30', '-30', '+300', '-300', '+3600', '-3600']) {
      await bend(by);
      await until(async () => (await statusOf(url)) === 'clock', `${by}: it stays ready`);
      const { status, refused } = await holder.renew(handle, 'dev');
      assert.deepEqual([status, refused.reason], [503, 'clock'], by);
      await bend('+0');
      await until(async () => (await statusOf(url)) === 'ok', `${by}: it does not heal`);
      assert.equal((await holder.renew(handle, 'dev')).status, 200, by);
    }
  });
});

test('F6 the name of the database leads nowhere any more: 503 with Retry-After, not ready, and it heals by itself (I6)', async (context) => {
  const server = await sharedPostgres();
  const url = new URL(await server.createDatabase('by_name'));
  url.hostname = 'localhost';
  const brokers = await makeBrokers({ database: url.href, count: 1 });
  context.after(brokers.remove);
  const [hosts, resolver] = ['hosts', 'resolv.conf'].map((name) => path.join(brokers.folder, name)) as [string, string];
  await writeFile(hosts, '127.0.0.1 localhost\n');
  // Nobody is there to be asked.
  await writeFile(resolver, 'nameserver 127.0.0.1\noptions timeout:1 attempts:1\n');
  const mount = 'mount --bind "$0" /etc/hosts && mount --bind "$1" /etc/resolv.conf && shift && exec "$@"';
  const [replica] = brokers.replicas;
  await replica?.start({ by: ['unshare', '-Urm', 'sh', '-c', mount, hosts, resolver] });
  const at = replica?.url ?? '';
  const holder = new Holder({ url: at, issuer: ISSUER });
  const login = (who: Holder, sub: string) => {
    const now = who.now();
    const claims = {
      iss: brokers.issuer.issuer,
      aud: 'curfew',
      sub,
      email: `${sub}@example.com`,
      email_verified: true,
    };
    const times = { iat: now, exp: now + 300, auth_time: now, nonce: who.nonce };
    return who.exchange(brokers.issuer.sign({ ...claims, ...times }));
  };
  const { refresh_token: handle = '' } = (await login(holder, 'before')).granted;

  await writeFile(hosts, '# nobody\n');
  const cut = `select pg_terminate_backend(pid) from pg_stat_activity where datname = 'by_name' and pid <> pg_backend_pid()`;
  await server.query(cut);
  await until(async () => (await statusOf(at)) !== 'ok', 'it stays ready');
  const asked = ['-t', `${replica?.process?.pid}`, '-U', '-m', 'getent', 'hosts', 'localhost'];
  assert.notEqual((await run('nsenter', asked)).code, 0, 'the name is known');
  for (let n = 0; n < 5; n += 1) {
    const { status, headers } = await holder.renew(handle, 'dev');
    assert.deepEqual([status, headers.has('retry-after')], [503, true]);
  }
  assert.notEqual(await statusOf(at), 'ok');
  await writeFile(hosts, '127.0.0.1 localhost\n');
  await until(async () => (await statusOf(at)) === 'ok', 'it does not heal');
  assert.equal((await holder.renew(handle, 'dev')).status, 200);
  assert.equal((await login(new Holder({ url: at, issuer: ISSUER }), 'after')).status, 200);
});

test('F9 a broker as a process whose configuration becomes unusable keeps the old one, and says so in log and metric', async (context) => {
  const metrics = { address: '127.0.0.1', port: await freePort() };
  const lone = await makeLoneBroker({ name: 'broken', limits: LIMITS, sections: { metrics } });
  context.after(lone.remove);
  await lone.start();
  const { holder, handle } = await lone.login('somebody');
  const good = await readFile(lone.configFile, 'utf8');
  const failed = async () =>
    (await scrape(`http://127.0.0.1:${metrics.port}/metrics`)).value('curfew_config_reloads_total', {
      outcome: 'refused',
    });
  for (const bad of [
    good.replace('policy:', 'policies:'),
    'issuer: [',
    '',
    good.replace(/max_age: \S+/, 'max_age: 12'),
  ]) {
    const said = lone.process.log().length;
    const before = (await failed()) ?? 0;
    await writeFile(lone.configFile, bad);
    await until(() => lone.process.log().slice(said).includes('the old one stays'), `it does not say so: ${bad}`);
    assert.equal((await holder.renew(handle, 'dev')).status, 200);
    assert.equal(await lone.ready(), 200);
    assert.ok(((await failed()) ?? 0) > before, 'the metric does not show it');
  }
  await writeFile(lone.configFile, good.replace('token_ttl: 5m', 'token_ttl: 4m'));
  await until(() => lone.process.log().includes('configuration reloaded'), 'it does not read it again');
  assert.equal((await holder.renew(handle, 'dev')).status, 200);
});
