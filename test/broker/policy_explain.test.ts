// `policy explain`: what it says is what is decided by, and it says where each limit comes from.

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import fc from 'fast-check';
import { explainLimits, explainPolicy } from '../../broker/commands/policy_explain.ts';
import { answerTo, parseQuestion, type TypedQuestion } from '../../broker/commands/policy_question.ts';
import { CurfewError } from '../../shared/errors.ts';
import { resolveLimits, withYields } from '../../shared/policy.ts';
import { seconds } from '../../shared/time.ts';
import { limits, policy, target, yields } from '../shared/arbitraries.ts';
import { type ConfigFiles, makeConfigFiles, SETTINGS, type Settings } from './config_files.ts';

const NOW = seconds(1_800_000_000);
const HOOKS = { hook: Buffer.alloc(32, 1).toString('base64') };
const [prod, dev] = SETTINGS.clusters;
const SETTING = {
  clusters: [{ ...prod, labels: { env: 'prod' }, webhook: { token_file: 'hook', on_failure: 'deny' } }, dev],
  policy: {
    limits: { max_age: '12h', inactivity_timeout: '30m', token_ttl: '5m' },
    segments: [
      {
        name: 'prod',
        match: { clusters: ['prod-*'] },
        limits: { max_age: '15m', token_ttl: '2m', acr: ['mfa', 'hwk'] },
      },
      {
        name: 'payments',
        match: { clusters: ['prod-*'], namespaces: ['payments'] },
        limits: { max_age: '5m', acr: ['mfa'] },
      },
    ],
    rules: [
      { name: 'contractors', when: '"contractors" in user.groups', limits: { max_age: '1h' } },
      {
        name: 'office',
        when: '!inNetwork(request.address, "10.0.0.0/8")',
        match: { clusters: ['prod-*'] },
        limits: { inactivity_timeout: '4m' },
      },
      { name: 'lab', when: 'cluster.labels.tier == "gold"', match: { clusters: ['lab'] }, limits: { max_age: '10m' } },
    ],
  },
};

let config: ConfigFiles;
before(async () => {
  config = await makeConfigFiles();
});

const ALICE = { user: 'alice', groups: 'sre,contractors', cluster: 'prod-eu' };

async function explain(typed: Partial<TypedQuestion> = {}, changes: Settings = {}): Promise<string[]> {
  const loaded = await config.load({ ...SETTING, ...changes }, HOOKS);
  return explainPolicy(loaded, parseQuestion({ ...ALICE, ...typed }, NOW));
}

/** The lines of one kind, as words. */
const words = (lines: readonly string[], first: string) =>
  lines
    .filter((line) => line.trim().startsWith(first))
    .map((line) =>
      line
        .trim()
        .split(/\s{2,}/)
        .slice(1),
    );

test('what is explained is what resolveLimits and withYields give, for every policy, target, ceiling and yield', () => {
  let named = 0;
  fc.assert(
    fc.property(policy, target, limits, yields, (policy, target, ceiling, yields) => {
      const explained = explainLimits(policy, target, ceiling, yields);
      const decided = withYields(resolveLimits(policy, target, ceiling), target, yields);
      assert.deepEqual(explained.session.limits, decided.session);
      assert.deepEqual(explained.target.limits, decided.target);
      for (const { limits, from } of [explained.session, explained.target]) {
        for (const key of ['max_age', 'inactivity_timeout', 'token_ttl'] as const) assert.ok(from[key]?.length, key);
        assert.equal(limits.acr === undefined, from.acr?.length === 0);
        if (from.max_age?.some((name) => name.startsWith('segment '))) named++;
      }
    }),
    { numRuns: 3000 },
  );
  assert.ok(named > 100, `a segment was named only ${named} times`);
});

test('what is explained for a person is what a login, a renewal and the webhook are judged by', async () => {
  const loaded = await config.load(SETTING, HOOKS);
  for (const within of [{}, { namespace: 'payments' }, { namespace: '*', resource: 'pods/exec' }]) {
    for (const address of ['10.0.0.7', '192.0.2.1']) {
      const question = parseQuestion({ ...ALICE, ...within, address }, NOW);
      const answer = answerTo(loaded, question);
      assert.ok('limits' in answer);
      const lines = explainPolicy(loaded, question);
      const { session, target } = answer.limits;
      const shown = words(lines, 'max_age').map(([length]) => length);
      const say = (length: number) => (length % 3600 === 0 ? `${length / 3600}h` : `${length / 60}m`);
      assert.deepEqual(shown, [say(session.max_age), say(target.max_age)]);
      assert.deepEqual(words(lines, 'acr ').at(-1)?.[0], target.acr?.join(' or '));
    }
  }
});

describe('policy explain says', () => {
  test('each limit with where it comes from: policy, segment, rule, ceiling', async () => {
    const lines = await explain({ namespace: 'payments', address: '192.0.2.1', acr: 'mfa' });
    assert.deepEqual(words(lines, 'max_age'), [
      ['1h', 'rule contractors'],
      ['5m', 'segment payments'],
    ]);
    assert.deepEqual(words(lines, 'inactivity_timeout'), [
      ['30m', 'policy.limits'],
      ['4m', 'rule office'],
    ]);
    assert.deepEqual(words(lines, 'token_ttl'), [
      ['5m', 'policy.limits'],
      ['2m', 'segment prod, ceiling of prod-eu'],
    ]);
    assert.deepEqual(words(lines, 'acr  '), [['any'], ['mfa', 'segment prod, segment payments']]);
    assert.ok(!lines.some((line) => line.startsWith('denied')), lines.join('\n'));
  });

  test('which segments apply, and which of them names the reason', async () => {
    assert.deepEqual(words(await explain({ namespace: 'payments' }), 'segment '), [
      ['prod: applies to clusters prod-*'],
      ['payments: applies to clusters prod-* and namespaces payments; names the reason'],
    ]);
    assert.deepEqual(words(await explain(), 'segment '), [['prod: applies to clusters prod-*; names the reason']]);
    assert.deepEqual(words(await explain({ cluster: 'dev' }), 'segments'), [['none applies']]);
  });

  test('which rules hold, which do not, and which are not for this target or not evaluated', async () => {
    assert.deepEqual(words(await explain({ cluster: 'dev', groups: 'sre', address: '192.0.2.1' }), 'rule '), [
      ['contractors: does not hold'],
      ['office: holds, for clusters prod-*: not for this target'],
      ['lab: not evaluated: it looks at the cluster, and is for other clusters'],
    ]);
    assert.deepEqual(words(await explain({ address: '10.0.0.7' }), 'rule ').slice(0, 2), [
      ['contractors: holds, for the whole session'],
      ['office: does not hold'],
    ]);
    assert.deepEqual(words(await explain({}, { policy: { ...SETTING.policy, rules: [] } }), 'rules'), [['none']]);
  });

  test('that a rule which cannot be evaluated denies, in its own words and whatever the limits', async () => {
    const rules = [{ name: 'gold', when: 'cluster.labels.tier == "gold"', limits: { max_age: '10m' } }];
    const lines = await explain({ acr: 'mfa' }, { policy: { ...SETTING.policy, rules } });
    assert.deepEqual(words(lines, 'rule '), [['gold: denies: it cannot be evaluated: No such key: tier']]);
    assert.match(lines.at(-1) ?? '', /^denied: rule_error/);
  });

  test('that the groups do not admit, to log in or to the cluster, with the code', async () => {
    assert.deepEqual(words(await explain({ groups: 'dev', acr: 'mfa' }), 'denied'), [
      ['invalid_target: in none of cluster prod-eu.allowed_groups: sre'],
    ]);
    const idp = { identity_provider: { ...SETTINGS.identity_provider, allowed_groups: ['sre', 'platform'] } };
    assert.deepEqual(words(await explain({ groups: 'dev', cluster: 'dev' }, idp), 'denied'), [
      ['not_admitted: in none of identity_provider.allowed_groups: sre, platform'],
    ]);
    assert.deepEqual(words(await explain({}, idp), 'admitted').length, 2);
    assert.match(words(await explain({ groups: '', cluster: 'dev' }), 'denied').join(), /^groups: there is none/);
  });

  test('that the login is too weak', async () => {
    assert.match((await explain()).at(-1) ?? '', /^denied: acr_too_low, as the login has no acr$/);
    assert.match((await explain({ acr: 'pwd' })).at(-1) ?? '', /^denied: acr_too_low, as the login has acr pwd$/);
  });

  test('it in lines that are aligned, without spaces at their ends', async () => {
    const lines = await explain({
      namespace: 'payments',
      resource: 'pods/exec',
      amr: 'otp,pwd',
      time: '2027-03-28T01:00:00+01:00',
    });
    assert.ok(lines.includes('target    cluster prod-eu, namespace payments, resource pods/exec'), lines.join('\n'));
    assert.ok(lines.includes('acr, amr  none, otp pwd') && lines.includes('groups    sre, contractors'));
    assert.ok(lines.includes('request   from 127.0.0.1 at 2027-03-28T00:00:00Z'));
    assert.ok(lines.includes('  inactivity_timeout  30m  policy.limits'));
    assert.ok(lines.every((line) => line === line.trimEnd()));
  });
});

describe('a question is refused', () => {
  for (const [what, typed, message] of [
    ['about a cluster that there is not', { cluster: 'prod' }, /there is no cluster "prod" in .*, only prod-eu, dev/],
    ['with a time that is none', { time: '2027-02-29T08:00:00Z' }, /^--time: expected a time/],
    ['with an address that is none', { address: '10.0.0.0/8' }, /^--address: expected an IP address/],
  ] as const) {
    test(what, async () => {
      await assert.rejects(explain(typed), (error) => {
        assert.ok(error instanceof CurfewError && error.code === 'usage');
        assert.match(error.message, message);
        return true;
      });
    });
  }
});
