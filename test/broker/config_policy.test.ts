// The policy's settings: what each becomes when it is loaded, and what is refused, with its path.

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { type ConfigFiles, makeConfigFiles, SETTINGS, type Settings } from './config_files.ts';

let config: ConfigFiles;
before(async () => {
  config = await makeConfigFiles();
});

const [prod, dev] = SETTINGS.clusters;
const deny = { token_file: 'prod-hook', on_failure: 'deny' };
const HOOKS = { 'prod-hook': Buffer.alloc(32, 1).toString('base64'), 'dev-hook': Buffer.alloc(32, 2).toString('hex') };
const LIMITS = { max_age: '12h', inactivity_timeout: '30m', token_ttl: '5m' };

/** One cluster with a webhook that denies, and one without. */
const policy = (changes: Settings, clusters: readonly object[] = [{ ...prod, webhook: deny }, dev]): Settings => ({
  clusters,
  policy: { limits: LIMITS, ...changes },
});
const both = [
  { ...prod, webhook: deny },
  { ...dev, webhook: { ...deny, token_file: 'dev-hook' } },
];
const load = (settings: Settings) => config.load(settings, HOOKS);
const faults = (settings: Settings) => config.faults(settings, HOOKS);
const rule = (changes: Settings) =>
  policy({ rules: [{ name: 'r', when: 'true', limits: { max_age: '1h' }, ...changes }] });
const segments = (...matches: object[]) =>
  matches.map((match, i) => ({ name: `s${i}`, match, limits: { max_age: '5m' } }));
const acrs = (...list: (readonly [object, ...string[]])[]) =>
  list.map(([match, ...acr], i) => ({ name: `s${i}`, match, limits: { acr } }));

describe('what is left out', () => {
  test('is no segment, no rule, no limit of sessions, and five failed logins in 15 minutes', async () => {
    const loaded = await load(policy({}));
    assert.deepEqual(loaded.policy, {
      ...{ limits: { max_age: 43_200, inactivity_timeout: 1800, token_ttl: 300 }, segments: [], rules: [] },
      failed_logins: { count: 5, window: 900 },
      signals: {
        'session-revoked': 'end',
        'credential-change': 'login',
        'assurance-level-change': 'login',
        'device-compliance-change': 'end',
        'risk-level-change': 'login',
        'token-claims-change': 'ignore',
        'account-disabled': 'end',
        'account-purged': 'end',
        'account-credential-change-required': 'login',
        'credential-compromise': 'end',
        'identifier-changed': 'ignore',
        'identifier-recycled': 'end',
        'recovery-activated': 'ignore',
        'recovery-information-changed': 'ignore',
        'sessions-revoked': 'end',
        'tokens-revoked': 'end',
      },
    });
    assert.deepEqual([loaded.hooks, loaded.admins, loaded.metrics], [[], undefined, undefined]);
    assert.deepEqual(loaded.clusters[1]?.labels, {});
    assert.equal(loaded.clusters[0]?.webhook?.authentication, false);
  });
});

describe('a whole policy', () => {
  test('is loaded with its rules, matches and numbers', async () => {
    const loaded = await load({
      ...policy({
        max_sessions: { count: 3, when_exceeded: 'end_oldest' },
        failed_logins: { count: 4, window: '10m' },
        segments: segments({ clusters: ['prod-*'], namespaces: ['pay*'], resources: ['pods/exec', 'secrets'] }),
        rules: [{ name: 'contractors', when: '"contractors" in user.groups', limits: { max_age: '1h' } }],
      }),
      admins: { groups: ['platform'], limits: { max_age: '15m', inactivity_timeout: '5m', acr: ['mfa'] } },
      metrics: { address: '127.0.0.1', port: 9090 },
      hooks: [{ url: 'https://hooks.example.com/a', secret_file: 'dev-hook', ca_file: 'ca.crt' }],
    });
    const { max_sessions, failed_logins, segments: [segment] = [], rules: [first] = [] } = loaded.policy;
    assert.deepEqual(max_sessions, { count: 3, when_exceeded: 'end_oldest' });
    assert.deepEqual(failed_logins, { count: 4, window: 600 });
    assert.deepEqual(segment?.match, {
      clusters: ['prod-*'],
      namespaces: ['pay*'],
      resources: ['pods/exec', 'secrets'],
    });
    assert.deepEqual(
      [first?.name, first?.when.text, first?.limits],
      ['contractors', '"contractors" in user.groups', { max_age: 3600 }],
    );
    assert.deepEqual(loaded.admins, {
      groups: ['platform'],
      limits: { max_age: 900, inactivity_timeout: 300, acr: ['mfa'] },
    });
    assert.deepEqual(loaded.metrics, { address: '127.0.0.1', port: 9090 });
    const [hook] = loaded.hooks;
    assert.equal(hook?.url, 'https://hooks.example.com/a');
    assert.equal(hook?.ca, config.files['ca.crt']);
    assert.ok(hook?.secret.export().equals(Buffer.alloc(32, 2)));
    assert.ok(loaded.clusters[0]?.webhook?.token.export().equals(Buffer.alloc(32, 1)));
  });

  test('shows no webhook token and no secret of a hook when printed', async () => {
    const hooks = [{ url: 'https://hooks.example.com/a', secret_file: 'dev-hook' }];
    const shown = JSON.stringify(await load({ ...policy({}), hooks }));
    for (const secret of [1, 2].map((byte) => Buffer.alloc(32, byte))) {
      for (const form of ['base64', 'base64url', 'hex'] as const) assert.ok(!shown.includes(secret.toString(form)));
    }
  });
});

const FAULTS: readonly (readonly [string, Settings, RegExp])[] = [
  [
    'a match of nothing',
    policy({ segments: segments({}) }),
    /^policy\.segments\[0\]\.match: expected clusters, namespaces, resources, targets or accounts/,
  ],
  [
    'no match',
    policy({ segments: [{ name: 'a', limits: { max_age: '1m' } }] }),
    /^policy\.segments\[0\]\.match: required/,
  ],
  [
    'an empty list of clusters',
    policy({ segments: segments({ clusters: [] }) }),
    /^policy\.segments\[0\]\.match\.clusters: .*an empty list/,
  ],
  [
    'a namespace in capitals',
    policy({ segments: segments({ namespaces: ['Pay'] }) }),
    /^policy\.segments\[0\]\.match\.namespaces: .*"Pay" in it/,
  ],
  [
    'a resource with two slashes',
    policy({ segments: segments({ resources: ['a/b/c'] }) }),
    /^policy\.segments\[0\]\.match\.resources: .*"a\/b\/c" in it/,
  ],
  [
    'a resource with a group',
    policy({ segments: segments({ resources: ['apps:pods'] }) }),
    /^policy\.segments\[0\]\.match\.resources: expected/,
  ],
  [
    'a namespace twice',
    policy({ segments: segments({ namespaces: ['a', 'a'] }) }),
    /^policy\.segments\[0\]\.match\.namespaces: .*"a" twice/,
  ],
  [
    'a verb in a match',
    policy({ segments: segments({ clusters: ['*'], verbs: ['get'] }) }),
    /^policy\.segments\[0\]\.match\.verbs: unknown setting/,
  ],
  ['a rule without a name', rule({ name: undefined }), /^policy\.rules\[0\]\.name: required/],
  ['a rule without a condition', rule({ when: undefined }), /^policy\.rules\[0\]\.when: required: an expression/],
  [
    'a condition that is true itself',
    rule({ when: true }),
    /^policy\.rules\[0\]\.when: expected an expression, got true/,
  ],
  [
    'a condition of a variable that is none',
    rule({ when: 'usr.name == "a"' }),
    /^policy\.rules\[0\]\.when: unknown variable: usr /,
  ],
  [
    'a condition of a field that is none',
    rule({ when: 'user.nme == "a"' }),
    /^policy\.rules\[0\]\.when: unknown field: user\.nme$/,
  ],
  ['a condition that gives a text', rule({ when: 'user.name' }), /^policy\.rules\[0\]\.when: it gives string/],
  [
    'a condition with a backtracking expression',
    rule({ when: 'user.name.matches("a+")' }),
    /^policy\.rules\[0\]\.when: matches\(\) is not available/,
  ],
  ['a rule without limits', rule({ limits: {} }), /^policy\.rules\[0\]\.limits: expected at least one limit/],
  [
    'a rule with a limit by another name',
    rule({ limits: { max_age: '1h', ttl: '1m' } }),
    /^policy\.rules\[0\]\.limits\.ttl: unknown setting/,
  ],
  ['a rule with an effect', rule({ effect: 'allow' }), /^policy\.rules\[0\]\.effect: unknown setting/],
  [
    'two rules of one name',
    policy({ rules: ['true', 'false'].map((when) => ({ name: 'r', when, limits: { max_age: '1h' } })) }),
    /^policy\.rules\[1\]\.name: is there twice/,
  ],
  [
    'no sessions at all',
    policy({ max_sessions: { count: 0, when_exceeded: 'refuse' } }),
    /^policy\.max_sessions\.count: expected a whole number from 1 to 1000, got 0/,
  ],
  [
    'half a session',
    policy({ max_sessions: { count: 1.5, when_exceeded: 'refuse' } }),
    /^policy\.max_sessions\.count: expected/,
  ],
  [
    'a number of sessions alone',
    policy({ max_sessions: { count: 3 } }),
    /^policy\.max_sessions\.when_exceeded: required: "refuse" or "end_oldest"/,
  ],
  [
    'sessions that end otherwise',
    policy({ max_sessions: { count: 3, when_exceeded: 'end_newest' } }),
    /^policy\.max_sessions\.when_exceeded: expected/,
  ],
  [
    'failed logins without a window',
    policy({ failed_logins: { count: 3 } }),
    /^policy\.failed_logins\.window: required/,
  ],
  [
    'failed logins for ever',
    policy({ failed_logins: { count: 3, window: '0s' } }),
    /^policy\.failed_logins\.window: expected a duration/,
  ],
  [
    'failed logins without a count',
    policy({ failed_logins: { window: '15m' } }),
    /^policy\.failed_logins\.count: required/,
  ],
  // what only a webhook sees
  [
    'a namespace on a cluster without a webhook',
    policy({ segments: segments({ namespaces: ['payments'] }) }),
    /^policy\.segments\[0\]\.match: namespaces and resources need webhook\.on_failure: deny or gateway\.required: true, and dev has neither/,
  ],
  [
    'a resource on a cluster whose webhook has no opinion when it fails',
    policy({ segments: segments({ clusters: ['prod-*'], resources: ['pods/exec'] }) }, [
      { ...prod, webhook: { ...deny, on_failure: 'no_opinion' } },
    ]),
    /^policy\.segments\[0\]\.match: .* and prod-eu has neither/,
  ],
  [
    'a namespace of a rule on a cluster without a webhook',
    rule({ match: { clusters: ['d*'], namespaces: ['payments'] } }),
    /^policy\.rules\[0\]\.match: .* and dev has neither/,
  ],
  // acr that nothing satisfies
  [
    'acr sets that exclude each other in one namespace',
    policy(
      { segments: acrs([{ namespaces: ['pay'] }, 'mfa'], [{ namespaces: ['pay', 'ops'] }, 'hwk']) },
      both.slice(0, 1),
    ),
    /^clusters\[0\]: in namespace pay: the segments that match leave no acr/,
  ],
  [
    'acr sets that exclude each other where two globs meet',
    policy(
      { segments: acrs([{ namespaces: ['team-*'] }, 'mfa'], [{ namespaces: ['*-prod'] }, 'hwk']) },
      both.slice(0, 1),
    ),
    /^clusters\[0\]: in namespace team-prod: /,
  ],
  [
    'acr sets that exclude each other for a resource in a namespace',
    policy({ segments: acrs([{ namespaces: ['pay'] }, 'mfa'], [{ resources: ['pods/*'] }, 'hwk']) }, both.slice(0, 1)),
    /^clusters\[0\]: for pods\/ in namespace pay: /,
  ],
  [
    'a rule whose acr the policy excludes',
    policy({ limits: { ...LIMITS, acr: ['mfa'] }, rules: [{ name: 'r', when: 'true', limits: { acr: ['hwk'] } }] }, [
      dev,
    ]),
    /^policy\.rules\[0\]\.limits\.acr: none of these would satisfy cluster dev as well/,
  ],
  [
    'a rule whose acr a segment excludes in a namespace',
    policy(
      {
        segments: acrs([{ namespaces: ['pay'] }, 'mfa']),
        rules: [{ name: 'r', when: 'true', match: { namespaces: ['p*'] }, limits: { acr: ['hwk'] } }],
      },
      both.slice(0, 1),
    ),
    /^policy\.rules\[0\]\.limits\.acr: none of these would satisfy cluster prod-eu in namespace pay as well/,
  ],
  // idleness that a token would hide
  [
    'a rule whose inactivity_timeout a token would hide',
    policy({ rules: [{ name: 'r', when: 'true', limits: { inactivity_timeout: '9m' } }] }),
    /^policy\.rules\[0\]\.limits: inactivity_timeout must be at least twice the token_ttl, .* for dev$/,
  ],
];

describe('a policy is refused for', () => {
  for (const [what, settings, fault] of FAULTS) {
    test(what, async () => {
      const found = await faults(settings);
      assert.equal(found.length, 1, found.join('\n'));
      assert.match(found[0] ?? '', fault);
    });
  }
});

describe('a policy is taken with', () => {
  for (const [what, settings] of [
    [
      'namespaces where every cluster that is meant has a webhook that denies',
      policy({ segments: segments({ clusters: ['prod-*'], namespaces: ['pay'] }) }),
    ],
    ['namespaces of all clusters where all have one', policy({ segments: segments({ namespaces: ['pay'] }) }, both)],
    [
      'namespaces of no cluster that there is',
      policy({ segments: segments({ clusters: ['lab'], namespaces: ['pay'] }) }),
    ],
    [
      'acr sets that exclude each other in namespaces apart',
      policy({ segments: acrs([{ namespaces: ['pay'] }, 'mfa'], [{ namespaces: ['ops'] }, 'hwk']) }, both.slice(0, 1)),
    ],
    [
      'acr sets that exclude each other in clusters apart',
      policy({ segments: acrs([{ clusters: ['prod-*'] }, 'mfa'], [{ clusters: ['dev'] }, 'hwk']) }),
    ],
    [
      'a rule whose acr another cluster excludes',
      policy({
        segments: acrs([{ clusters: ['prod-*'] }, 'mfa']),
        rules: [{ name: 'r', when: 'true', match: { clusters: ['dev'] }, limits: { acr: ['hwk'] } }],
      }),
    ],
    [
      'a short inactivity_timeout of a rule that brings its own token_ttl',
      policy({ rules: [{ name: 'r', when: 'true', limits: { inactivity_timeout: '9m', token_ttl: '4m' } }] }),
    ],
    [
      'a short inactivity_timeout of a rule for clusters with a webhook',
      policy({
        rules: [{ name: 'r', when: 'true', match: { clusters: ['prod-*'] }, limits: { inactivity_timeout: '3m' } }],
      }),
    ],
    [
      'a segment with a short inactivity_timeout on a cluster with a webhook',
      policy({ segments: [{ name: 'a', match: { clusters: ['prod-*'] }, limits: { inactivity_timeout: '2m' } }] }),
    ],
  ] as const) {
    test(what, async () => assert.deepEqual(await faults(settings), []));
  }
});
