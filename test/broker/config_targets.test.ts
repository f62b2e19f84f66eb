// Targets and their gateway in the configuration: what they become, what they are refused for, and what `check` and `policy` say of them.

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { idleMatches } from '../../broker/commands/idle_matches.ts';
import { testCases } from '../../broker/commands/policy_cases.ts';
import { explainPolicy } from '../../broker/commands/policy_explain.ts';
import { parseQuestion, type TypedQuestion } from '../../broker/commands/policy_question.ts';
import { checkTargets } from '../../broker/commands/target_check.ts';
import type { Config } from '../../broker/config/settings.ts';
import { outputCounts } from '../../broker/policy/output_counts.ts';
import { seconds } from '../../shared/time.ts';
import { type ConfigFiles, makeConfigFiles, SETTINGS, type Settings } from './config_files.ts';

const HOST_KEY = `ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI${'b'.repeat(43)}`;
const BASTION = {
  ...{ name: 'bastion', kind: 'ssh', address: '10.0.0.7:22', allowed_groups: ['sre'], host_key: HOST_KEY },
  accounts: [{ account: 'deploy', groups: ['sre'] }],
};
const ORDERS = {
  ...{ name: 'orders-db', kind: 'postgres', address: '[2001:DB8::9]:5432', allowed_groups: ['sre', 'dev'] },
  ...{ admin_url_file: 'admin', ca_file: 'ca.crt', databases: ['orders', 'Größe'] },
  accounts: [
    { account: 'orders_rw', groups: ['sre'] },
    { account: 'orders_ro', groups: ['dev'] },
  ],
};
const CACHE = {
  name: 'cache',
  kind: 'tcp',
  audience: 'urn:cache',
  address: 'Cache.internal:6379',
  allowed_groups: ['*'],
};
const GATEWAY = { public_url: 'wss://gw.example.com', token_file: 'gateway', source_addresses: ['10.0.9.4/32'] };
const TARGETS = { target_gateway: GATEWAY, targets: [BASTION, ORDERS, CACHE] };
const ADMIN = 'postgres://curfew_admin:SECRET@10.0.0.9:5432/postgres';
const FILES = { gateway: Buffer.alloc(32, 3).toString('base64'), admin: ADMIN };

let config: ConfigFiles;
before(async () => {
  config = await makeConfigFiles();
});

const load = (changes: Settings = {}): Promise<Config> => config.load({ ...TARGETS, ...changes }, FILES);
const gateway = (changes: Settings) => ({ target_gateway: { ...GATEWAY, ...changes } });
const with_ = (target: Settings, changes: Settings) => ({
  targets: TARGETS.targets.map((one) => (one.name === target.name ? { ...one, ...changes } : one)),
});
const policy = (changes: Settings) => ({ policy: { ...SETTINGS.policy, ...changes } });
const segment = (match: Settings, limits: Settings = { max_age: '5m' }, more: Settings = {}) =>
  policy({ segments: [{ name: 'one', match, limits, ...more }] });
const rule = (when: string, more: Settings = {}) =>
  policy({ rules: [{ name: 'one', when, limits: { max_age: '5m' }, ...more }] });

test('targets become what they are, each of its kind', async () => {
  const { targets, target_gateway } = await load();
  const [bastion, orders, cache] = targets;
  assert.deepEqual(bastion, {
    ...{ name: 'bastion', kind: 'ssh', audience: 'bastion', address: { host: '10.0.0.7', port: 22 } },
    ...{ allowed_groups: ['sre'], host_key: HOST_KEY, accounts: BASTION.accounts, permit: ['pty'] },
  });
  assert.ok(orders?.kind === 'postgres');
  assert.deepEqual(orders.address, { host: '2001:db8::9', port: 5432 });
  assert.deepEqual([orders.admin.user, orders.admin.hosts], ['curfew_admin', [{ host: '10.0.0.9', port: 5432 }]]);
  assert.equal(orders.admin.password?.export().toString(), 'SECRET');
  assert.match(orders.ca ?? '', /BEGIN CERTIFICATE/);
  assert.deepEqual(cache, {
    ...{ name: 'cache', kind: 'tcp', audience: 'urn:cache', address: { host: 'cache.internal', port: 6379 } },
    allowed_groups: ['*'],
  });
  assert.deepEqual([target_gateway?.url, target_gateway?.source_addresses], ['wss://gw.example.com', ['10.0.9.4/32']]);
  assert.ok(Object.isFrozen(bastion));
  assert.doesNotMatch(JSON.stringify(await load()), /SECRET/);
  assert.deepEqual((await config.load()).targets, []);
});

const FAULTS: readonly (readonly [string, () => Settings, RegExp])[] = [
  ['no gateway', () => ({ target_gateway: undefined }), /^target_gateway: required, as there are targets$/],
  ['a gateway without targets', () => ({ targets: undefined }), /^target_gateway: there are no targets behind it$/],
  [
    'an https gateway',
    () => gateway({ public_url: 'https://gw.example.com' }),
    /^target_gateway\.public_url: expected/,
  ],
  ['a gateway in plain text', () => gateway({ public_url: 'ws://gw.example.com' }), /^target_gateway\.public_url: /],
  ['a gateway with a path', () => gateway({ public_url: 'wss://gw.example.com/a' }), /^target_gateway\.public_url: /],
  ['a gateway with a user', () => gateway({ public_url: 'wss://a@gw.example.com' }), /^target_gateway\.public_url: /],
  ['a gateway with a query', () => gateway({ public_url: 'wss://gw.example.com?a' }), /^target_gateway\.public_url: /],
  ['a gateway from nowhere', () => gateway({ source_addresses: [] }), /^target_gateway\.source_addresses: /],
  [
    'a gateway from anywhere',
    () => gateway({ source_addresses: ['0.0.0.0/0'] }),
    /^target_gateway\.source_addresses: /,
  ],
  ['a gateway of another name', () => gateway({ source_addresses: ['gw'] }), /^target_gateway\.source_addresses: /],
  [
    'a gateway without token',
    () => gateway({ token_file: 'none' }),
    /^target_gateway\.token_file: none: no such file$/,
  ],
  [
    'the token of a cluster',
    () => ({
      clusters: [
        { ...SETTINGS.clusters[0], gateway: { url: 'https://g.example.com', token_file: 'gateway' } },
        SETTINGS.clusters[1],
      ],
    }),
    /^target_gateway\.token_file: holds the token of a cluster$/,
  ],
  [
    'an unknown kind',
    () => with_(CACHE, { kind: 'mysql' }),
    /^targets\[2\]\.kind: expected "ssh" or "postgres" or "tcp"/,
  ],
  ['an unknown setting', () => with_(CACHE, { activity: 'both' }), /^targets\[2\]\.activity: unknown setting$/],
  [
    'the name of a cluster',
    () => with_(CACHE, { name: 'dev' }),
    /^targets\[2\]\.name: belongs to a cluster or another/,
  ],
  ['a name twice', () => with_(CACHE, { name: 'bastion' }), /^targets\[2\]\.name: belongs to a cluster or another/],
  [
    'the audience of a cluster',
    () => with_(CACHE, { audience: 'dev' }),
    /^targets\[2\]\.audience: belongs to a cluster/,
  ],
  [
    'the audience of a target',
    () => with_(CACHE, { audience: 'bastion' }),
    /^targets\[2\]\.audience: belongs to a clu/,
  ],
  ['a reserved audience', () => with_(CACHE, { audience: 'dev/gateway' }), /^targets\[2\]\.audience: is reserved/],
  ['the issuer as audience', () => with_(CACHE, { audience: SETTINGS.issuer }), /^targets\[2\]\.audience: must differ/],
  ['the client id as audience', () => with_(CACHE, { audience: 'curfew' }), /^targets\[2\]\.audience: must differ/],
  [
    'tcp to another target',
    () => with_(CACHE, { address: '10.0.0.7:22' }),
    /^targets\[2\]\.address: is that of another/,
  ],
  [
    'tcp, in other letters',
    () => with_(CACHE, { address: '[2001:db8::9]:5432' }),
    /^targets\[2\]\.address: is that of/,
  ],
  ['no port', () => with_(CACHE, { address: '10.0.0.7' }), /^targets\[2\]\.address: expected an address such as/],
  ['port 0', () => with_(CACHE, { address: '10.0.0.7:0' }), /^targets\[2\]\.address: expected/],
  ['a port too high', () => with_(CACHE, { address: '10.0.0.7:65536' }), /^targets\[2\]\.address: expected/],
  ['IPv6 without brackets', () => with_(CACHE, { address: '2001:db8::9:22' }), /^targets\[2\]\.address: expected/],
  ['a host with a slash', () => with_(CACHE, { address: 'a/b:22' }), /^targets\[2\]\.address: expected/],
  [
    'tcp with accounts',
    () => with_(CACHE, { accounts: BASTION.accounts }),
    /^targets\[2\]\.accounts: not with kind: tcp$/,
  ],
  ['tcp with a host key', () => with_(CACHE, { host_key: HOST_KEY }), /^targets\[2\]\.host_key: not with kind: tcp$/],
  [
    'ssh without host key',
    () => with_(BASTION, { host_key: undefined }),
    /^targets\[0\]\.host_key: required with kind/,
  ],
  [
    'ssh without accounts',
    () => with_(BASTION, { accounts: undefined }),
    /^targets\[0\]\.accounts: required with kind/,
  ],
  ['no accounts', () => with_(BASTION, { accounts: [] }), /^targets\[0\]\.accounts: expected at least one$/],
  ['ssh with databases', () => with_(BASTION, { databases: ['a'] }), /^targets\[0\]\.databases: not with kind: ssh$/],
  ['another permit', () => with_(BASTION, { permit: ['permit-pty'] }), /^targets\[0\]\.permit: expected a list of pty/],
  [
    'a host key with a comment',
    () => with_(BASTION, { host_key: `${HOST_KEY} a@b` }),
    /^targets\[0\]\.host_key: expec/,
  ],
  [
    'a host key of another type than it says',
    () => with_(BASTION, { host_key: HOST_KEY.replace('ed25519', 'rsa') }),
    /^targets\[0\]\.host_key: expected/,
  ],
  [
    'an account that ends a line',
    () => with_(BASTION, { accounts: [{ account: 'a\nb', groups: ['sre'] }] }),
    /^targets\[0\]\.accounts\[0\]\.account: expected the name of an account/,
  ],
  [
    'an account for every account',
    () => with_(BASTION, { accounts: [{ account: '*', groups: ['sre'] }] }),
    /^targets\[0\]\.accounts\[0\]\.account: expected/,
  ],
  [
    'an account in two places',
    () => with_(BASTION, { accounts: [...BASTION.accounts, { account: 'deploy', groups: ['dev'] }] }),
    /^targets\[0\]\.accounts\[1\]\.account: is there twice$/,
  ],
  ['no admin', () => with_(ORDERS, { admin_url_file: undefined }), /^targets\[1\]\.admin_url_file: required with kind/],
  [
    'the URL itself where its file belongs',
    () => with_(ORDERS, { admin_url_file: 'postgres://u:SECRET@h/d' }),
    /^targets\[1\]\.admin_url_file: expected the path of a file, not the URL itself$/,
  ],
  [
    'a file that holds no URL',
    () => with_(ORDERS, { admin_url_file: 'gateway' }),
    /^targets\[1\]\.admin_url_file: expected postgres:/,
  ],
  ['no databases', () => with_(ORDERS, { databases: [] }), /^targets\[1\]\.databases: expected a list of names/],
  [
    'a database with too long a name',
    () => with_(ORDERS, { databases: ['ö'.repeat(32)] }),
    /^targets\[1\]\.databases: expected/,
  ],
  ['a segment for nothing', () => segment({}), /^policy\.segments\[0\]\.match: expected clusters, namespaces, resou/],
  [
    'an odd glob of accounts',
    () => segment({ accounts: ['a b'] }),
    /^policy\.segments\[0\]\.match\.accounts: expected/,
  ],
  [
    'output that nobody sees',
    () => ({ ...segment({ clusters: ['dev'] }, undefined, { inactivity: { output_counts: ['ssh'] } }) }),
    /^policy\.segments\[0\]\.inactivity: none of the clusters/,
  ],
  [
    'an acr that no login has at a target',
    () => ({
      ...policy({
        segments: [
          { name: 'a', match: { targets: ['*-db'] }, limits: { acr: ['mfa'] } },
          { name: 'b', match: { accounts: ['*_rw'] }, limits: { acr: ['hwk'] } },
        ],
      }),
    }),
    /^targets\[1\]: as orders_rw: the segments that match leave no acr/,
  ],
  [
    'a rule whose acr no login has at a target',
    () =>
      policy({
        segments: [{ name: 'a', match: { targets: ['*-db'] }, limits: { acr: ['mfa'] } }],
        rules: [{ name: 'one', when: 'target.account == "orders_ro"', limits: { acr: ['hwk'] } }],
      }),
    /^policy\.rules\[0\]\.limits\.acr: none of these would satisfy target orders-db/,
  ],
  [
    'a rule on cluster and target',
    () => rule('cluster.name == target.name'),
    /^policy\.rules\[0\]\.when: it looks at /,
  ],
  ['a field that no target has', () => rule('target.labels.env == "a"'), /^policy\.rules\[0\]\.when: unknown field: /],
];

describe('targets are refused for', () => {
  for (const [what, changes, expected] of FAULTS) {
    test(what, async () => {
      const found = await config.faults({ ...TARGETS, ...changes() }, FILES);
      assert.ok(found.length > 0, 'it loads');
      assert.ok(
        found.some((fault) => expected.test(fault)),
        found.join('\n'),
      );
      assert.doesNotMatch(found.join('\n'), /SECRET/);
    });
  }

  test('an admin URL that others can read', async () => {
    const open = { ...FILES, admin: { text: ADMIN, mode: 0o644 } };
    const [fault = '', ...rest] = await config.faults(TARGETS, open);
    assert.match(fault, /^targets\[1\]\.admin_url_file: admin /);
    assert.deepEqual(rest, []);
  });
});

describe('a part of the policy that names targets', () => {
  test('takes globs, and output of each kind', async () => {
    const { policy } = await load(
      segment({ targets: ['*-db'], accounts: ['*_rw'] }, undefined, {
        inactivity: { output_counts: ['postgres', 'exec'] },
      }),
    );
    assert.deepEqual(policy.segments[0]?.match, { targets: ['*-db'], accounts: ['*_rw'] });
  });

  test('lets output of its own kinds count: none of targets in a cluster, none of clusters at a target', async () => {
    const inactivity = { output_counts: ['postgres', 'ssh', 'exec', 'log'] };
    const { policy } = await load(segment({ clusters: ['dev'], targets: ['*-db'] }, undefined, { inactivity }));
    assert.deepEqual(outputCounts(policy, { cluster: 'dev' }), ['exec', 'log']);
    assert.deepEqual(outputCounts(policy, { target: 'orders-db', account: 'orders_rw' }), ['ssh', 'postgres']);
    assert.deepEqual(outputCounts(policy, { target: 'cache' }), []);
  });

  test('needs nothing of any cluster: neither a webhook, nor a token_ttl that shows its idleness there', async () => {
    await load(segment({ targets: ['*'] }, { inactivity_timeout: '1m' }));
    await load(rule('target.kind == "ssh"', { limits: { inactivity_timeout: '1m' } }));
    await load(rule('target.kind == "ssh"', { limits: { acr: ['other'] } }));
  });

  for (const [match, expected] of [
    [{ targets: ['*-db'] }, []],
    [{ targets: ['oders-db'] }, ['policy.segments: one matches no target']],
    [{ accounts: ['*_rw'] }, []],
    [{ accounts: ['admin'] }, ['policy.segments: one matches no account']],
    [{ targets: ['bastion'], accounts: ['*_rw'] }, ['policy.segments: one matches no account']],
    [{ targets: ['cache'], accounts: ['*'] }, ['policy.segments: one matches no account']],
    [{ clusters: ['prod-*'], targets: ['*-bd'] }, ['policy.segments: one matches no target']],
    [{ clusters: ['porod-*'], targets: ['*-db'] }, ['policy.segments: one matches no cluster']],
  ] as const) {
    test(`${JSON.stringify(match)}: ${expected[0] ?? 'is for something'}`, async () => {
      const said = idleMatches(await load(segment(match))).map(({ text }) => text);
      assert.deepEqual(said, expected);
    });
  }

  test('and looks at what it does not mean is warned of', async () => {
    const said = async (when: string, match: Settings) =>
      idleMatches(await load(rule(when, { match }))).map(({ text }) => text);
    assert.deepEqual(await said('target.kind == "tcp"', { clusters: ['dev'] }), [
      'policy.rules: one looks at the target, and its match means none',
    ]);
    assert.deepEqual(await said('cluster.name == "dev"', { accounts: ['deploy'] }), [
      'policy.rules: one looks at the cluster, and its match means none',
    ]);
    assert.deepEqual(await said('target.kind == "tcp"', { targets: ['cache'] }), []);
  });
});

describe('check', () => {
  const said = async (changes: Settings) =>
    checkTargets(await load(changes)).flatMap(({ level, text }) => (level === 'warning' ? [text] : []));

  test('says the limits of each target, and nothing against good ones', async () => {
    const lines = checkTargets(await load()).map(({ level, text }) => `${level}: ${text}`);
    assert.deepEqual(lines, [
      'ok: target bastion: ssh, max_age 12h, inactivity_timeout 30m',
      'ok: target orders-db: postgres, max_age 12h, inactivity_timeout 30m',
      'ok: target cache: tcp, max_age 12h, inactivity_timeout 30m',
      'note: target cache: kind tcp: what people present there is their own, and outlives their sessions',
    ]);
  });

  test('warns of an account whose groups the target does not admit, and of a group without an account', async () => {
    const accounts = [...BASTION.accounts, { account: 'root', groups: ['admins'] }];
    assert.deepEqual(await said(with_(BASTION, { accounts, allowed_groups: ['sre', 'ops'] })), [
      'target bastion: account root: none of its groups is admitted: nobody may have it',
      'target bastion: ops is admitted, and no account there is for that group',
    ]);
    assert.deepEqual(await said(with_(BASTION, { accounts, allowed_groups: ['*'] })), []);
  });

  test('warns of an account that the login does not let in', async () => {
    const identity_provider = { ...SETTINGS.identity_provider, allowed_groups: ['sre'] };
    assert.deepEqual(await said({ identity_provider }), [
      'target orders-db: account orders_ro: none of its groups is admitted: nobody may have it',
    ]);
  });
});

describe('the policy is asked for a target', () => {
  const RULED = {
    policy: {
      ...SETTINGS.policy,
      segments: [{ name: 'writers', match: { targets: ['*-db'], accounts: ['*_rw'] }, limits: { max_age: '15m' } }],
      rules: [
        { name: 'ro', when: 'target.account == "orders_ro"', limits: { max_age: '1h' } },
        { name: 'dev', when: 'cluster.name == "dev"', limits: { max_age: '1h' } },
        { name: 'ssh', when: 'target.kind == "ssh"', match: { targets: ['bastion'] }, limits: { max_age: '1h' } },
      ],
    },
  };
  const ALICE = { user: 'alice', groups: 'sre,dev', time: '2027-01-15T08:00:00Z' };
  const explain = async (typed: Partial<TypedQuestion>) =>
    explainPolicy(await load(RULED), parseQuestion({ ...ALICE, ...typed }, seconds(0)));

  test('policy explain says as whom, and which parts are for that', async () => {
    const lines = await explain({ target: 'orders-db' });
    for (const line of [
      'target    target orders-db, account orders_rw',
      'admitted  by target orders-db.allowed_groups: sre, dev',
      'account   orders_rw, of theirs: orders_rw, orders_ro',
      'segment   writers: applies to targets *-db and accounts *_rw; names the reason',
      'rule      ro: does not hold',
      'rule      dev: not evaluated: it looks at the cluster, and none was asked for',
      'rule      ssh: not evaluated: it looks at the target, and is for other targets or accounts',
      '  max_age             15m  segment writers',
    ])
      assert.ok(lines.includes(line), `${line}\n${lines.join('\n')}`);
    const reader = await explain({ target: 'orders-db', account: 'orders_ro' });
    assert.ok(reader.includes('rule      ro: holds, for targets orders-db and accounts orders_ro'), reader.join('\n'));
    assert.ok(reader.includes('segments  none applies'), reader.join('\n'));
  });

  test('policy explain says what denies', async () => {
    const stranger = await explain({ target: 'orders-db', groups: 'ops' });
    assert.ok(stranger.includes('denied    invalid_target: in none of target orders-db.allowed_groups: sre, dev'));
    assert.ok(stranger.includes('denied    invalid_target: no account there is theirs'), stranger.join('\n'));
    const asked = await explain({ target: 'bastion', account: 'root' });
    assert.ok(asked.includes('denied    invalid_target: root is none of theirs: deploy'), asked.join('\n'));
    assert.ok(!(await explain({ target: 'cache' })).some((line) => /^(denied|account)/.test(line)));
    await assert.rejects(explain({ target: 'oders-db' }), /^CurfewError: there is no target "oders-db"/);
  });

  test('it is about one cluster or one target, with what belongs to it', async () => {
    for (const typed of [
      {},
      { cluster: 'dev', target: 'cache' },
      { target: 'cache', namespace: 'a' },
      { cluster: 'dev', account: 'deploy' },
    ])
      assert.throws(() => parseQuestion({ ...ALICE, ...typed }, seconds(0)), /^CurfewError: /, JSON.stringify(typed));
  });

  test('policy test decides cases for targets', async () => {
    const whole = { user: 'alice', groups: ['sre', 'dev'] };
    const { lines, exit } = testCases(await load(RULED), [
      { ...whole, name: 'a', target: 'orders-db', auth_age: seconds(899), expect: { allow: true, segment: 'writers' } },
      { ...whole, name: 'b', target: 'orders-db', auth_age: seconds(900), expect: { deny: 'login_too_old' } },
      {
        ...whole,
        name: 'c',
        target: 'orders-db',
        account: 'orders_ro',
        auth_age: seconds(900),
        expect: { allow: true },
      },
      { ...whole, name: 'd', target: 'bastion', account: 'root', expect: { deny: 'invalid_target' } },
      { ...whole, name: 'e', target: 'nothing', expect: { deny: 'invalid_target' } },
      { ...whole, name: 'f', target: 'cache', expect: { deny: 'login_too_old' } },
    ]);
    assert.deepEqual(lines, ['f: expected deny login_too_old, found allow', '6 cases, 5 as expected, 1 not']);
    assert.equal(exit, 78);
  });
});
