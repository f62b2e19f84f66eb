// The broker as a process reads its configuration again: when the file changes, when a volume of Kubernetes is replaced, when it is told.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, rename, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { stringify } from 'yaml';
import { type LoneBroker, makeLoneBroker } from '../support/lone_broker.ts';
import { until } from '../support/patience.ts';

const LIMITS = { max_age: '1h', inactivity_timeout: '30m', token_ttl: '5m' };

describe('the broker as a process', () => {
  let lone: LoneBroker;
  before(async () => {
    lone = await makeLoneBroker({ name: 'reload', limits: LIMITS });
    await lone.start();
  });
  after(() => lone.remove());

  const rows = () => lone.process.audit().filter(({ event }) => event === 'policy');

  async function untilRow(count: number): Promise<Readonly<Record<string, unknown>>> {
    await until(() => rows().length >= count, 'no policy was recorded');
    assert.equal(rows().length, count, lone.process.output());
    return rows().at(-1) ?? {};
  }

  test('F9 takes over a changed file by itself, keeps the old one for a broken file, and does as it is told by SIGHUP', async () => {
    assert.equal((await untilRow(1)).outcome, 'loaded');
    const { configFile, settings } = lone;
    const { holder, handle } = await lone.login('alice');
    const maxAge = async () => (await holder.renew(handle, 'dev')).granted.session.limits.session.max_age;
    assert.equal(await maxAge(), 3600);

    await writeFile(configFile, stringify({ ...settings, policy: { limits: { ...LIMITS, max_age: '50m' } } }));
    assert.equal((await untilRow(2)).outcome, 'reloaded');
    assert.equal(await maxAge(), 3000);

    // As tools replace files: written beside, renamed.
    await writeFile(`${configFile}.new`, 'policy: [');
    await rename(`${configFile}.new`, configFile);
    const refused = await untilRow(3);
    assert.equal(refused.outcome, 'refused');
    assert.match(String(refused.faults), /line 1, column \d+/);
    // Said after the row is written.
    await until(() => /configuration not reloaded, the old one stays/.test(lone.process.log()), 'nothing is said');
    assert.equal(await maxAge(), 3000);

    process.kill(lone.process.pid, 'SIGHUP');
    assert.equal((await untilRow(4)).outcome, 'refused');

    await writeFile(configFile, stringify({ ...settings, policy: { limits: { ...LIMITS, max_age: '40m' } } }));
    assert.equal((await untilRow(5)).outcome, 'reloaded');
    assert.equal(await maxAge(), 2400);
  });

  test('SIGHUP reads again what the file names, though the file itself is as it was', async () => {
    const { folder, configFile, settings } = lone;
    const before = rows().length;
    const hook = { token_file: 'hook', on_failure: 'deny' };
    await writeFile(path.join(folder, 'hook'), randomBytes(32).toString('hex'), { mode: 0o600 });
    const clusters = [{ ...(settings.clusters as object[])[0], webhook: hook }];
    await writeFile(configFile, stringify({ ...settings, clusters }));
    assert.equal((await untilRow(before + 1)).outcome, 'reloaded');
    await writeFile(path.join(folder, 'hook'), randomBytes(32).toString('hex'), { mode: 0o600 });
    process.kill(lone.process.pid, 'SIGHUP');
    assert.equal((await untilRow(before + 2)).outcome, 'reloaded');
  });

  test('a Secret volume that the kubelet replaces is read again by itself, also one that the file named only later', async () => {
    const { folder, configFile, settings } = lone;
    const before = rows().length;
    const volume = path.join(folder, 'volume');
    await mkdir(volume);
    const show = async (version: string) => {
      await mkdir(path.join(volume, version));
      const token = path.join(volume, version, 'token');
      await writeFile(token, randomBytes(32).toString('hex'), { mode: 0o600 });
      await symlink(version, path.join(volume, '..data_tmp'));
      await rename(path.join(volume, '..data_tmp'), path.join(volume, '..data'));
    };
    await show('..1');
    await symlink('..data/token', path.join(volume, 'token'));
    const clusters = [
      { ...(settings.clusters as object[])[0], webhook: { token_file: 'volume/token', on_failure: 'deny' } },
    ];
    await writeFile(configFile, stringify({ ...settings, clusters }));
    assert.equal((await untilRow(before + 1)).outcome, 'reloaded');
    for (const [i, version] of ['..2', '..3'].entries()) {
      await show(version);
      assert.equal((await untilRow(before + 2 + i)).outcome, 'reloaded');
    }
  });
});
