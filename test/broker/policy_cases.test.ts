// `policy test`: a table of cases against a policy, what it says of those that come out otherwise, and what it refuses.

import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import fc from 'fast-check';
import { stringify } from 'yaml';
import { loadCases, testCases } from '../../broker/commands/policy_cases.ts';
import type { Config } from '../../broker/config/settings.ts';
import { buildBundles } from '../../scripts/bundle.ts';
import { run } from '../../scripts/run.ts';
import { CurfewError } from '../../shared/errors.ts';
import { identityProvider } from '../support/service.ts';
import { makeConfigFiles, SETTINGS } from './config_files.ts';

const HOOKS = { hook: Buffer.alloc(32, 1).toString('base64') };
const [prod, dev] = SETTINGS.clusters;

let config: Config;
before(async () => {
  const files = await makeConfigFiles();
  config = await files.load(
    {
      identity_provider: { ...SETTINGS.identity_provider, allowed_groups: ['sre', 'dev'] },
      clusters: [{ ...prod, labels: { env: 'prod' }, webhook: { token_file: 'hook', on_failure: 'deny' } }, dev],
      policy: {
        limits: { max_age: '12h', inactivity_timeout: '30m', token_ttl: '5m' },
        segments: [
          {
            name: 'prod',
            match: { clusters: ['prod-*'] },
            limits: { max_age: '15m', inactivity_timeout: '10m', acr: ['mfa'] },
          },
          { name: 'payments', match: { clusters: ['prod-*'], namespaces: ['payments'] }, limits: { max_age: '5m' } },
        ],
        rules: [
          { name: 'contractors', when: '"contractors" in user.groups', limits: { max_age: '1h' } },
          {
            name: 'night',
            when: 'request.time.getHours("Europe/Berlin") >= 20',
            match: { clusters: ['dev'] },
            limits: { max_age: '2h' },
          },
          {
            name: 'moved',
            when: 'session.address != request.address && user.name == "mallory"',
            limits: { inactivity_timeout: '10m' },
          },
          { name: 'broken', when: 'user.name == "eve" && cluster.labels.tier == "gold"', limits: { max_age: '1h' } },
        ],
      },
    },
    HOOKS,
  );
});

const load = (text: string) => loadCases('cases.yaml', async () => ({ text, mode: 0o644 }));

async function tested(...cases: readonly object[]) {
  const named = cases.map((one, i) => ({ name: `case ${i}`, user: 'alice', groups: ['sre'], ...one }));
  return testCases(config, await load(stringify({ cases: named })));
}

async function refusal(text: string): Promise<string[]> {
  try {
    await load(text);
  } catch (error) {
    assert.ok(error instanceof CurfewError && error.code === 'configuration', String(error));
    const [head = '', ...lines] = error.message.split('\n').map((line) => line.trim());
    return lines.length > 0 ? lines : [head.replace(/^cases\.yaml: /, '')];
  }
  return [];
}

const MFA = { cluster: 'prod-eu', acr: 'mfa' };

describe('a case comes out as the engine decides', () => {
  for (const [what, facts] of [
    ['a login of this second, to log in', { expect: 'allow' }],
    ['a login for a cluster', { cluster: 'dev', expect: 'allow' }],
    ['a segment, one second before its end', { ...MFA, auth_age: '899s', expect: 'allow' }],
    [
      'a segment, at its end',
      { ...MFA, auth_age: '15m', expect: { deny: 'login_too_old', segment: 'prod', ends_session: false } },
    ],
    ['the session, one second before its end', { cluster: 'dev', auth_age: '43199s', expect: 'allow' }],
    [
      'the session, at its end',
      { cluster: 'dev', auth_age: '12h', expect: { deny: 'login_too_old', ends_session: true } },
    ],
    ['vouched for a moment ago', { cluster: 'dev', auth_age: '1h', vouched_age: '1s', expect: 'allow' }],
    ['idle, one second before the end', { ...MFA, auth_age: '600s', idle: '599s', expect: 'allow' }],
    [
      'idle, at the end',
      { ...MFA, auth_age: '600s', idle: '10m', expect: { deny: 'idle_too_long', ends_session: false } },
    ],
    [
      'idle everywhere',
      { cluster: 'dev', auth_age: '1h', idle: '30m', expect: { deny: 'idle_too_long', ends_session: true } },
    ],
    ['a weak login', { cluster: 'prod-eu', acr: 'pwd', expect: { deny: 'acr_too_low', limits: { acr: ['mfa'] } } }],
    [
      'a namespace, at its end',
      { ...MFA, namespace: 'payments', auth_age: '5m', expect: { deny: 'login_too_old', segment: 'payments' } },
    ],
    [
      'another namespace',
      { ...MFA, namespace: 'default', resource: 'pods', auth_age: '5m', expect: { allow: true, segment: 'prod' } },
    ],
    ['a cluster that does not admit', { cluster: 'prod-eu', groups: ['dev'], expect: { deny: 'invalid_target' } }],
    ['a cluster that there is not', { cluster: 'lab', expect: { deny: 'invalid_target' } }],
    ['T14 a person without groups, where a rule is tighter for some', { groups: [], expect: { deny: 'groups' } }],
    ['a person who may not log in', { groups: ['guests'], expect: { deny: 'not_admitted' } }],
    [
      'a rule that ends the session',
      {
        cluster: 'dev',
        groups: ['dev', 'contractors'],
        auth_age: '1h',
        expect: { deny: 'login_too_old', ends_session: true },
      },
    ],
    [
      'a rule that denies its target',
      {
        cluster: 'dev',
        auth_age: '2h',
        time: '2027-01-15T19:00:00Z',
        expect: { deny: 'login_too_old', ends_session: false },
      },
    ],
    ['the same an hour before', { cluster: 'dev', auth_age: '2h', time: '2027-01-15T18:59:59Z', expect: 'allow' }],
    ['the same without a time, at noon', { cluster: 'dev', auth_age: '2h', expect: 'allow' }],
    [
      'a rule by address',
      {
        user: 'mallory',
        address: '192.0.2.1',
        login_address: '10.0.0.1',
        auth_age: '20m',
        idle: '10m',
        expect: { deny: 'idle_too_long', ends_session: true },
      },
    ],
    [
      'the address of the login, where only one is given',
      { user: 'mallory', address: '192.0.2.1', auth_age: '20m', idle: '10m', expect: 'allow' },
    ],
    ['a rule that cannot be evaluated', { user: 'eve', cluster: 'dev', expect: { deny: 'rule_error' } }],
    [
      'limits as expected',
      {
        ...MFA,
        expect: {
          allow: true,
          segment: 'prod',
          limits: { max_age: '15m', inactivity_timeout: '10m', token_ttl: '2m', acr: ['mfa'] },
        },
      },
    ],
  ] as const) {
    test(what, async () => assert.deepEqual(await tested(facts), { lines: ['1 case, 1 as expected, 0 not'], exit: 0 }));
  }
});

describe('a case that comes out otherwise', () => {
  test('is one line with what was expected and found, and exit 78', async () => {
    const { lines, exit } = await tested(
      { cluster: 'dev', expect: 'allow' },
      { cluster: 'prod-eu', expect: 'allow' },
      { ...MFA, expect: { deny: 'login_too_old' } },
      {
        ...MFA,
        namespace: 'payments',
        expect: { allow: true, segment: 'prod', limits: { max_age: '15m', acr: ['hwk', 'mfa'] } },
      },
      { cluster: 'dev', expect: { allow: true, segment: 'dev', limits: { acr: ['mfa'] } } },
      { cluster: 'dev', auth_age: '12h', expect: { deny: 'login_too_old', ends_session: false } },
      { user: 'eve', cluster: 'dev', expect: 'allow' },
    );
    assert.deepEqual(lines, [
      'case 1: expected allow, found deny acr_too_low',
      'case 2: expected deny login_too_old, found allow',
      'case 3: expected allow, segment prod, max_age 15m, acr hwk or mfa, found allow, segment payments, max_age 5m, acr mfa',
      'case 4: expected allow, segment dev, acr mfa, found allow, segment none, acr any',
      'case 5: expected deny login_too_old, ends nothing, found deny login_too_old, ends the session',
      'case 6: expected allow, found deny rule_error (rule broken)',
      '7 cases, 1 as expected, 6 not',
    ]);
    assert.equal(exit, 78);
  });
});

describe('a table is refused', () => {
  const one = (more: object) => stringify({ cases: [{ name: 'a', user: 'alice', expect: 'allow', ...more }] });
  for (const [what, text, fault] of [
    ['that is empty', 'cases: []', /^cases: expected at least one case$/],
    ['without cases', '{}', /^cases: required: a list$/],
    ['that is no mapping', '[]', /expected a mapping, got a list/],
    ['that is nothing', '', /expected a mapping, got nothing/],
    ['with broken YAML', 'cases: [', /^line \d+, column \d+: /],
    ['with another key', 'cases: []\npolicy: {}', /^policy: unknown setting$/],
    ['with a fact that nobody knows', one({ grups: ['sre'] }), /^cases\[0\]\.grups: unknown setting$/],
    ['with a case that expects nothing', one({ expect: undefined }), /^cases\[0\]\.expect: required: a mapping$/],
    [
      'with an expectation of another word',
      one({ expect: 'deny' }),
      /^cases\[0\]\.expect: expected a mapping, got "deny"$/,
    ],
    [
      'with both verdicts',
      one({ expect: { allow: true, deny: 'acr_too_low' } }),
      /^cases\[0\]\.expect: expected allow, /,
    ],
    ['with no verdict', one({ expect: { segment: 'prod' } }), /^cases\[0\]\.expect: expected allow, /],
    [
      'with an allowance that is false',
      one({ expect: { allow: false } }),
      /^cases\[0\]\.expect\.allow: expected true, got false$/,
    ],
    [
      'with a reason that no policy gives',
      one({ expect: { deny: 'session_ended' } }),
      /^cases\[0\]\.expect\.deny: expected /,
    ],
    [
      'with a limit that nobody knows',
      one({ expect: { allow: true, limits: { ttl: '1m' } } }),
      /^cases\[0\]\.expect\.limits\.ttl: unknown setting$/,
    ],
    ['with an age in words', one({ auth_age: '14m59s' }), /^cases\[0\]\.auth_age: expected a duration such as "899s"/],
    ['with a time without offset', one({ time: '2027-01-15T08:00:00' }), /^cases\[0\]\.time: expected a time such as/],
    ['with an address that is a block', one({ address: '10.0.0.0/8' }), /^cases\[0\]\.address: expected an IP address/],
    ['with groups as text', one({ groups: 'sre' }), /^cases\[0\]\.groups: expected a list of texts, got "sre"$/],
    ['with more idleness than age', one({ auth_age: '1m', idle: '61s' }), /^cases\[0\]\.idle: longer than auth_age$/],
    ['with idleness of a login of this second', one({ idle: '1s' }), /^cases\[0\]\.idle: longer than auth_age$/],
    ['with a namespace of no cluster', one({ namespace: 'a' }), /^cases\[0\]\.cluster: required where/],
    [
      'with a name twice',
      stringify({ cases: [1, 2].map(() => ({ name: 'a', user: 'b', expect: 'allow' })) }),
      /^cases\[1\]\.name: is there twice$/,
    ],
  ] as const) {
    test(what, async () => {
      const faults = await refusal(text);
      assert.ok(
        faults.some((line) => fault.test(line)),
        faults.join('\n'),
      );
    });
  }

  test('with all its faults at once', async () => {
    assert.equal((await refusal(stringify({ cases: [{ nam: 'a', idle: 1 }, { user: 2 }] }))).length, 8);
  });

  test('or taken, whatever the text', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.string(),
          fc.jsonValue().map((value) => stringify({ cases: [value] })),
        ),
        async (text) => {
          await refusal(text);
        },
      ),
    );
  });

  test('when it is not there', async () => {
    await assert.rejects(loadCases('/nonexistent/cases.yaml'), /cases\.yaml: no such file/);
  });
});

test('the commands end with 0, with 78 for a case or a table, with 64 for wrong use, and print nothing else', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'curfew-policy-'));
  try {
    const [configFile, cases] = [path.join(folder, 'config.yaml'), path.join(folder, 'cases.yaml')];
    await writeFile(path.join(folder, 'key'), Buffer.alloc(32, 7).toString('base64'), { mode: 0o600 });
    const settings = {
      issuer: 'https://curfew.example.com',
      listen: { address: '127.0.0.1', port: 0 },
      keys: { encryption_key_file: 'key' },
      identity_provider: identityProvider('http://127.0.0.1:1'),
      clusters: [{ name: 'dev', server: 'https://127.0.0.1:1', audience: 'dev', allowed_groups: ['*'] }],
      store: { sqlite: { file: 'curfew.db' } },
      policy: { limits: { max_age: '1h', inactivity_timeout: '30m', token_ttl: '5m' } },
    };
    await writeFile(configFile, stringify(settings));
    const { broker } = await buildBundles();
    const policy = (...words: string[]) => run(process.execPath, [broker, 'policy', ...words, '--config', configFile]);
    const write = (age: string) =>
      writeFile(
        cases,
        stringify({ cases: [{ name: 'fresh', user: 'alice', cluster: 'dev', auth_age: age, expect: 'allow' }] }),
      );

    await write('3599s');
    const good = await policy('test', cases);
    assert.deepEqual([good.code, good.stdout, good.stderr], [0, '1 case, 1 as expected, 0 not\n', '']);
    await write('1h');
    const bad = await policy('test', cases);
    assert.equal(bad.code, 78);
    assert.equal(bad.stdout, 'fresh: expected allow, found deny login_too_old\n1 case, 0 as expected, 1 not\n');
    await writeFile(cases, 'cases: []');
    const empty = await policy('test', cases);
    assert.deepEqual([empty.code, empty.stdout], [78, '']);
    assert.match(empty.stderr, /^curfew: error: .*cases\.yaml: cases: expected at least one case\ncurfew: hint: .*\n$/);
    assert.equal((await policy('test')).code, 64);
    const explained = await policy('explain', '--user', 'alice', '--groups', 'sre', '--cluster', 'dev');
    assert.deepEqual([explained.code, explained.stderr], [0, '']);
    assert.match(explained.stdout, /^ {2}max_age {13}1h {3}policy\.limits$/m);
    assert.equal((await policy('explain', '--user', 'alice', '--groups', 'sre', '--cluster', 'lab')).code, 64);
    assert.equal((await policy('explain', '--user', 'alice')).code, 64);
  } finally {
    await rm(folder, { recursive: true });
  }
});
