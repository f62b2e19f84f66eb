// The limits of a segment as a whole: the engine's, never looser than what anything in it meets by what covers all of it.

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { segmentLimits, segmentLimitsIn } from '../../broker/config/segments.ts';
import type { Config } from '../../broker/config/settings.ts';
import type { TargetSettings } from '../../broker/config/target_settings.ts';
import { CurfewError } from '../../shared/errors.ts';
import { resolveLimits } from '../../shared/policy.ts';
import { type ConfigFiles, makeConfigFiles, SETTINGS } from './config_files.ts';

const [first, second] = SETTINGS.clusters;
const webhook = { token_file: 'hook', on_failure: 'deny' };
const prod = { ...first, ceiling: undefined, webhook };
const dev = { ...second, webhook: { ...webhook, token_file: 'hook2' } };
const secret = (byte: number) => Buffer.alloc(32, byte).toString('base64');
const segment = (name: string, match: object, limits: object) => ({ name, match, limits });

let files: ConfigFiles;
before(async () => {
  files = await makeConfigFiles();
});

function load(segments: readonly object[], clusters: readonly object[] = [prod, dev]): Promise<Config> {
  const limits = { max_age: '12h', inactivity_timeout: '30m', token_ttl: '5m' };
  return files.load({ clusters, policy: { limits, segments } }, { hook: secret(1), hook2: secret(2) });
}

const tcpTarget = (name: string): TargetSettings => ({
  name,
  kind: 'tcp',
  audience: name,
  address: { host: '10.0.0.9', port: 5432 },
  allowed_groups: ['*'],
});

const usage = (text: string) => (error: unknown) =>
  error instanceof CurfewError && error.code === 'usage' && error.message.includes(text);

describe('limits of a segment', () => {
  test('are those of the policy, the segment, and every other segment that covers all of it', async () => {
    const config = await load([
      segment('payments', { clusters: ['prod-*'], namespaces: ['pay*'] }, { inactivity_timeout: '10m' }),
      segment('prod', { clusters: ['prod-*'] }, { max_age: '1h' }),
      segment('part', { clusters: ['prod-*'], namespaces: ['payroll'] }, { max_age: '5m' }),
    ]);
    const { limits, of } = segmentLimits(config, 'payments');
    const expected = resolveLimits(config.policy, { cluster: prod.name, namespace: 'payments' }).target;
    assert.deepEqual([limits.max_age, limits.inactivity_timeout], [3600, 600]);
    assert.deepEqual(limits, expected);
    assert.equal(of, `segment payments, cluster ${prod.name}`);
  });

  test('one of all namespaces does not take the limits of a part of it', async () => {
    const config = await load([
      segment('all', { clusters: ['prod-*'], namespaces: ['*'] }, { max_age: '2h' }),
      segment('part', { clusters: ['prod-*'], namespaces: ['payroll'] }, { max_age: '5m' }),
    ]);
    assert.equal(segmentLimits(config, 'all').limits.max_age, 7200);
    assert.equal(segmentLimits(config, 'part').limits.max_age, 300);
  });

  test('where clusters differ by their ceilings they are the strictest', async () => {
    const ceiling = { max_age: '15m', token_ttl: '2m' };
    const config = await load([segment('all', { clusters: ['*'] }, { max_age: '2h' })], [{ ...prod, ceiling }, dev]);
    const { limits, of } = segmentLimits(config, 'all');
    assert.deepEqual([limits.max_age, limits.token_ttl], [900, 120]);
    assert.equal(of, `segment all, clusters ${prod.name} and ${dev.name}`);
  });

  test('of one namespace there are all that match it', async () => {
    const config = await load([
      segment('payments', { clusters: ['prod-*'], namespaces: ['pay*'] }, { inactivity_timeout: '10m' }),
      segment('part', { clusters: ['prod-*'], namespaces: ['payroll'] }, { max_age: '5m' }),
    ]);
    const inside = { cluster: prod.name, namespace: 'payroll' };
    assert.equal(segmentLimitsIn(config, 'payments', inside).limits.max_age, 300);
    assert.equal(segmentLimitsIn(config, 'payments', { ...inside, namespace: 'payments' }).limits.max_age, 43_200);
    assert.throws(
      () => segmentLimitsIn(config, 'payments', { ...inside, namespace: 'kube-system' }),
      usage('not in segment'),
    );
    assert.throws(() => segmentLimitsIn(config, 'payments', { ...inside, cluster: dev.name }), usage('not in segment'));
  });

  test('one of targets has those of its targets, and no cluster has a part in it', async () => {
    const config = await load([
      segment('databases', { targets: ['*-db'], accounts: ['*_rw'] }, { max_age: '1h' }),
      segment('orders', { targets: ['orders-*'] }, { inactivity_timeout: '5m' }),
      segment('everything', { clusters: ['*'], targets: ['*'] }, { token_ttl: '1m' }),
    ]);
    const both = { ...config, targets: ['orders-db', 'users-db', 'cache'].map(tcpTarget) };
    const { limits, of } = segmentLimits(both, 'databases');
    assert.deepEqual([limits.max_age, limits.inactivity_timeout, limits.token_ttl], [3600, 300, 60]);
    assert.equal(of, 'segment databases, targets orders-db and users-db');
    assert.equal(segmentLimits(both, 'everything').limits.max_age, 43_200);
    assert.match(segmentLimits(both, 'everything').of, /clusters .* targets /);
    assert.throws(() => segmentLimits(config, 'databases'), usage('nothing of'));
    const inside = { cluster: prod.name, namespace: 'payments' };
    assert.throws(() => segmentLimitsIn(both, 'databases', inside), usage('not in segment'));
  });

  test('a segment that is not there, and one without a cluster, are said', async () => {
    const config = await load([segment('lab', { clusters: ['lab-*'] }, { max_age: '2h' })]);
    assert.throws(() => segmentLimits(config, 'lap'), usage('only lab'));
    assert.throws(() => segmentLimits(config, 'lab'), usage('nothing of'));
  });
});
