// The threat model: the disk of the store is full, fails, or does not keep up (F5, F6): strace lets the broker's own calls meet it.

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { buildBundles } from '../../scripts/bundle.ts';
import { run } from '../../scripts/run.ts';
import { type LoneBroker, makeLoneBroker } from '../support/lone_broker.ts';
import { assertKept, until } from '../support/patience.ts';

describe('the disk of the store', () => {
  let lone: LoneBroker;
  before(async () => {
    lone = await makeLoneBroker({
      name: 'disk',
      limits: { max_age: '12h', inactivity_timeout: '12h', token_ttl: '5m' },
    });
    await lone.start();
  });
  after(() => lone.remove());

  /** @returns what ends it */
  async function inject(...rules: readonly string[]): Promise<() => Promise<void>> {
    const tracer: ChildProcess = spawn(
      'strace',
      ['-f', '-qq', '-o', '/dev/null', ...rules, '-p', String(lone.process.pid)],
      {
        stdio: 'ignore',
      },
    );
    await once(tracer, 'spawn');
    await sleep(500);
    return async () => {
      const exit = once(tracer, 'exit');
      tracer.kill('SIGINT');
      await exit;
    };
  }

  const faults: Readonly<Record<string, { readonly rules: readonly string[]; readonly said: RegExp }>> = {
    'F5 no space is left': {
      rules: ['-e', 'trace=pwrite64', '-e', 'inject=pwrite64:error=ENOSPC'],
      said: /no space is left on the store's disk/,
    },
    'F5 each sync fails': {
      rules: ['-e', 'trace=fsync,fdatasync', '-e', 'inject=fsync,fdatasync:error=EIO'],
      said: /I\/O error/,
    },
  };
  for (const [name, { rules, said }] of Object.entries(faults)) {
    test(`${name}: 503 and not ready, said by its name, and it heals without a restart`, async () => {
      const { holder, handle } = await lone.login(name.replaceAll(' ', '-'));
      const before = lone.process.log().length;
      const heal = await inject(...rules);
      const { status, refused } = await holder.renew(handle, 'dev');
      assert.deepEqual([status, refused.reason], [503, 'store']);
      assert.equal(await lone.ready(), 503);
      await until(() => said.test(lone.process.log().slice(before)), 'the log does not name it');
      await heal();
      await until(async () => (await lone.ready()) === 200, 'it does not heal');
      assert.equal((await holder.renew(handle, 'dev')).status, 200);
    });
  }

  test('F6 syncs of a second: not ready, renewals are sent away with Retry-After, ends are taken, and it heals', async () => {
    const opened = await Promise.all(Array.from({ length: 8 }, (_, i) => lone.login(`slow-${i}`)));
    const heal = await inject('-e', 'trace=fsync,fdatasync', '-e', 'inject=fsync,fdatasync:delay_enter=1000000');
    const seen = new Set<number>();
    await until(async () => {
      const answers = await Promise.all(opened.slice(1).map(({ holder, handle }) => holder.renew(handle, 'dev')));
      for (const { status, headers } of answers) {
        seen.add(status);
        if (status === 503) assert.equal(headers.get('retry-after'), '2');
      }
      return seen.has(503);
    }, 'nothing is sent away');
    assert.equal(await lone.ready(), 503);
    const begin = performance.now();
    assert.equal((await opened[0]?.holder.revoke(opened[0].handle))?.status, 200);
    assertKept(performance.now() - begin, 10_000);
    await heal();
    await until(async () => (await lone.ready()) === 200, 'it does not heal');
    const [, one] = opened;
    assert.equal((await one?.holder.renew(one.handle, 'dev'))?.status, 200);
  });

  test('F5 a start on a full disk says so', async () => {
    await lone.process.stop();
    const { broker: bundle } = await buildBundles();
    const full = ['-f', '-qq', '-o', '/dev/null', '-e', 'trace=pwrite64', '-e', 'inject=pwrite64:error=ENOSPC'];
    const { code, stderr } = await run('strace', [
      ...full,
      process.execPath,
      bundle,
      'serve',
      '--config',
      lone.configFile,
    ]);
    assert.notEqual(code, 0);
    assert.match(stderr, /no space is left on the store's disk/);
    assert.doesNotMatch(stderr, /network/);
    await lone.start();
  });
});
