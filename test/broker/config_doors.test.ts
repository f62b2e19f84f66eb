// Settings of clusters whose API server takes no flags, and of the identity provider's signals: what is taken and refused.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { before, describe, test } from 'node:test';
import { parse } from 'yaml';
import { endWithin } from '../../broker/config/clusters.ts';
import { printRbac, printServiceAccounts } from '../../broker/layers/manifests.ts';
import { type ConfigFiles, FOLDER, makeConfigFiles, SETTINGS, type Settings } from './config_files.ts';

const secret = () => ({ text: randomBytes(32).toString('base64'), mode: 0o600 });
const FILES = {
  'managed-token': { text: 'a.b.c\n', mode: 0o640 },
  hook: secret(),
  push: secret(),
  poll: { text: 'opaque-token', mode: 0o600 },
  bad: { text: 'two words', mode: 0o600 },
};

let config: ConfigFiles;
before(async () => {
  config = await makeConfigFiles();
});
const faults = (changes: Settings) => config.faults(changes, FILES);
const load = (changes: Settings) => config.load(changes, FILES);

const account = (changes: Settings = {}) => ({ group: 'dev', namespace: 'people', name: 'readers', ...changes });
const managed = (changes: Settings = {}) => ({
  clusters: [
    {
      ...{ name: 'managed', server: 'https://10.0.2.1', audience: 'managed', allowed_groups: ['*'] },
      ...{
        credential: 'service-account',
        service_accounts: [account()],
        broker_token_file: 'managed-token',
        ...changes,
      },
    },
  ],
});
const transmitter = (changes: Settings = {}) => ({
  ssf: [
    {
      ...{ issuer: 'https://signals.example.com', audience: 'https://curfew.example.com' },
      ...{ issuers: ['https://idp.example.com'], push: { token_file: 'push' }, ...changes },
    },
  ],
});

describe('a cluster with a gateway', () => {
  const [prod, dev] = SETTINGS.clusters;
  const gateway = (changes: Settings = {}) => ({ url: 'https://gw.example.com', token_file: 'gateway', ...changes });
  const files = { gateway: { text: Buffer.alloc(32, 3).toString('hex') } };

  test('is loaded with its token and authority, and records what somebody does in a pod', async () => {
    const clusters = [{ ...prod, gateway: gateway({ ca_file: 'ca.crt' }) }, dev];
    const loaded = await config.load({ clusters }, files);
    const { token, ...rest } = loaded.clusters[0]?.gateway ?? {};
    assert.deepEqual(token?.export(), Buffer.alloc(32, 3));
    assert.deepEqual(rest, {
      ...{ url: 'https://gw.example.com', ca: config.files['ca.crt'] },
      ...{ required: false, record: ['exec', 'attach', 'portforward'] },
    });
    assert.equal(loaded.clusters[1]?.gateway, undefined);
  });

  for (const [what, changes, fault] of [
    ['no address', { url: undefined }, /^clusters\[0\]\.gateway\.url: required/],
    ['an http address', { url: 'http://127.0.0.1' }, /^clusters\[0\]\.gateway\.url: expected an https URL/],
    ['no token', { token_file: undefined }, /^clusters\[0\]\.gateway\.token_file: required/],
    ['a token that is a word', { token_file: 'ca.crt' }, /^clusters\[0\]\.gateway\.token_file: expected 32 random/],
    [
      'a kind of stream that there is not',
      { record: ['ssh'] },
      /^clusters\[0\]\.gateway\.record: expected .*"ssh" in it/,
    ],
    ['a maybe', { required: 'yes' }, /^clusters\[0\]\.gateway\.required: expected true or false/],
    ['anything else', { cluster: 'prod' }, /^clusters\[0\]\.gateway\.cluster: unknown setting/],
  ] as const) {
    test(`is refused with ${what}`, async () => {
      const found = await config.faults({ clusters: [{ ...prod, gateway: gateway(changes) }, dev] }, files);
      assert.equal(found.length, 1, found.join('\n'));
      assert.match(found[0] ?? '', fault);
    });
  }

  test('G4 has a token of its own: not that of another, nor that of a webhook', async () => {
    const webhook = { token_file: 'gateway', on_failure: 'deny' };
    const faultsOf = (one: object, other: object) =>
      config.faults(
        {
          clusters: [
            { ...prod, ...one },
            { ...dev, ...other },
          ],
        },
        files,
      );
    const setting = 'clusters[1].gateway.token_file';
    assert.deepEqual(await faultsOf({ gateway: gateway() }, { gateway: gateway() }), [
      `${setting}: holds the token of another cluster`,
    ]);
    assert.deepEqual(await faultsOf({ webhook }, { gateway: gateway() }), [`${setting}: holds the token of a webhook`]);
  });

  test('that is required counts each request as a use and sees namespaces, where the API server takes no tokens of its own', async () => {
    const limits = { max_age: '12h', inactivity_timeout: '30m', token_ttl: '20m' };
    const segments = [{ name: 'vault', match: { namespaces: ['vault'] }, limits: { max_age: '5m' } }];
    const faultsOf = (required: boolean) =>
      config.faults({ clusters: [{ ...dev, gateway: gateway({ required }) }], policy: { limits, segments } }, files);
    assert.equal((await faultsOf(false)).length, 2);
    assert.deepEqual(await faultsOf(true), []);
    const own = { ...managed().clusters[0], gateway: gateway({ required: true }) };
    assert.deepEqual(await config.faults({ clusters: [own] }, { ...FILES, ...files }), [
      'clusters[0].gateway.required: not with credential: service-account',
    ]);
  });

  test('is what sees what arrives: output_counts needs one where it is meant to', async () => {
    const segment = (clusters: readonly string[]) => ({
      ...{ name: 'batch', match: { clusters }, limits: { inactivity_timeout: '15m' } },
      inactivity: { output_counts: ['log'] },
    });
    const faultsOf = (names: readonly string[]) => {
      const policy = { ...SETTINGS.policy, segments: [segment(names)] };
      return config.faults({ clusters: [{ ...prod, gateway: gateway() }, dev], policy }, files);
    };
    assert.deepEqual(await faultsOf(['prod-*']), []);
    assert.deepEqual(await faultsOf(['*']), []);
    assert.deepEqual(await faultsOf(['dev']), [
      'policy.segments[0].inactivity: none of the clusters that are meant has a gateway',
    ]);
  });

  test('T3 has an audience that no cluster may take', async () => {
    assert.deepEqual(await config.faults({ clusters: [prod, { ...dev, audience: 'prod-eu/gateway' }] }), [
      'clusters[1].audience: is reserved for the gateway of a cluster',
    ]);
  });
});

describe('a cluster with credential: service-account', () => {
  test('is loaded with its mappings, and an end takes effect there within 11 s', async () => {
    const loaded = await load(managed());
    const [cluster] = loaded.clusters;
    assert.ok(cluster);
    assert.equal(cluster.credential, 'service-account');
    assert.deepEqual(cluster.service_accounts, [account()]);
    assert.equal(cluster.broker_token_file, `${FOLDER}/managed-token`);
    assert.equal(endWithin(loaded, cluster), 11);
  });

  test('is told from the others: at once with the webhook, else as long as a token lives and kube-apiserver believes it', async () => {
    const [prod, dev] = SETTINGS.clusters;
    const hooked = { ...prod, ceiling: undefined, webhook: { token_file: 'hook', on_failure: 'deny' } };
    const loaded = await load({ clusters: [hooked, dev] });
    assert.deepEqual(
      loaded.clusters.map((cluster) => [cluster.credential, endWithin(loaded, cluster)]),
      [
        ['token', 0],
        ['token', 310],
      ],
    );
  });

  for (const [what, changes, fault] of [
    ['no mappings', { service_accounts: undefined }, 'service_accounts: required with credential: service-account'],
    ['an empty list of them', { service_accounts: [] }, 'service_accounts: expected at least one'],
    [
      'no token for the broker',
      { broker_token_file: undefined },
      'broker_token_file: required with credential: service-account',
    ],
    [
      'a token that is none',
      { broker_token_file: 'bad' },
      'broker_token_file: bad: expected one token, as it follows "Bearer"',
    ],
    ['a token file that is not there', { broker_token_file: 'gone' }, 'broker_token_file: gone: no such file'],
    [
      'a webhook',
      { webhook: { token_file: 'hook', on_failure: 'deny' } },
      'webhook: not with credential: service-account, as its API server takes no flags',
    ],
    [
      'a ceiling',
      { ceiling: { max_age: '1h' } },
      'ceiling: not with credential: service-account, as its API server takes no flags',
    ],
    [
      'another credential',
      { credential: 'certificate' },
      'credential: expected "token" or "service-account", got "certificate"',
    ],
    [
      'a namespace that is none',
      { service_accounts: [account({ namespace: '../kube-system' })] },
      'service_accounts[0].namespace: expected the name of a namespace, got "../kube-system"',
    ],
    [
      'a ServiceAccount that is none',
      { service_accounts: [account({ name: 'a/b' })] },
      'service_accounts[0].name: expected the name of a ServiceAccount, got "a/b"',
    ],
  ] as const) {
    test(`is refused with ${what}`, async () => {
      assert.deepEqual(await faults(managed(changes)), [`clusters[0].${fault}`]);
    });
  }

  test('is what its settings belong to: elsewhere they are refused', async () => {
    assert.deepEqual(await faults(managed({ credential: 'token' })), [
      'clusters[0].service_accounts: only with credential: service-account',
      'clusters[0].broker_token_file: only with credential: service-account',
    ]);
  });

  test('is what print rbac and sa-manifests are for', async () => {
    const loaded = await load(managed());
    for (const print of [printRbac, printServiceAccounts]) {
      const documents = print(loaded, 'managed')
        .split('---\n')
        .map((text) => parse(text) as { kind: string });
      assert.ok(documents.every(({ kind }) => /^(Namespace|ServiceAccount|(Cluster)?Role(Binding)?)$/.test(kind)));
      assert.throws(() => print(loaded, 'other'), { code: 'usage' });
    }
    const plain = await load({});
    assert.throws(() => printRbac(plain, 'dev'), {
      code: 'configuration',
      message: /does not have credential: service-account/,
    });
  });
});

describe('a transmitter', () => {
  test('is loaded, pushing or polled', async () => {
    const [pushing] = (await load(transmitter())).ssf;
    assert.equal(pushing?.push?.token.symmetricKeySize, 32);
    const poll = { url: 'https://signals.example.com/poll', token_file: 'poll' };
    const [polled] = (await load(transmitter({ push: undefined, poll }))).ssf;
    assert.deepEqual(polled?.poll, { url: poll.url, token_file: `${FOLDER}/poll` });
  });

  for (const [what, changes, fault] of [
    ['neither push nor poll', { push: undefined }, 'ssf[0]: expected either push or poll'],
    [
      'a poll with neither a token nor a client',
      { push: undefined, poll: { url: 'https://a.example.com' } },
      'ssf[0].poll: expected either token_file or client_id',
    ],
    [
      'a poll with both',
      {
        push: undefined,
        poll: { url: 'https://a.example.com', token_file: 'poll', client_id: 'a', client_secret_file: 'poll' },
      },
      'ssf[0].poll: expected either token_file or client_id',
    ],
    [
      'a client without its secret',
      { push: undefined, poll: { url: 'https://a.example.com', client_id: 'a' } },
      'ssf[0].poll: expected client_id and client_secret_file together',
    ],
    [
      'scopes for a token of a file',
      { push: undefined, poll: { url: 'https://a.example.com', token_file: 'poll', scopes: ['a'] } },
      'ssf[0].poll: token_endpoint and scopes only with client_id',
    ],
    ['both', { poll: { url: 'https://a.example.com', token_file: 'poll' } }, 'ssf[0]: expected either push or poll'],
    [
      'issuers of whom nobody is known',
      { issuers: ['https://other.example.com'] },
      'ssf[0].issuers: expected identity_provider.issuer among them, else it speaks of nobody',
    ],
    [
      'a plain http issuer',
      { issuer: 'http://signals.example.com' },
      'ssf[0].issuer: expected an https URL (http only on loopback) without user, query and fragment, got "http://signals.example.com"',
    ],
    [
      'a push token that is no 32 bytes',
      { push: { token_file: 'poll' } },
      'ssf[0].push.token_file: expected 32 random bytes in base64 or hex, as "openssl rand -base64 32" prints them',
    ],
    ['an unknown setting', { stream: 'x' }, 'ssf[0].stream: unknown setting'],
  ] as const) {
    test(`is refused with ${what}`, async () => {
      assert.deepEqual(await faults(transmitter(changes)), [fault]);
    });
  }

  test('is refused when another has its issuer or its token', async () => {
    const [one] = transmitter().ssf;
    assert.deepEqual(await faults({ ssf: [one, one] }), [
      'ssf[1].issuer: is there twice',
      'ssf[1].push.token_file: holds the token of another',
    ]);
  });
});

describe('policy.signals', () => {
  const signals = (given: Settings) => ({ policy: { ...SETTINGS.policy, signals: given } });

  test('changes what it names, and leaves the others as they are', async () => {
    const { policy } = await load(signals({ 'credential-change': 'end', 'session-revoked': 'ignore' }));
    assert.deepEqual([policy.signals['credential-change'], policy.signals['session-revoked']], ['end', 'ignore']);
    assert.equal(policy.signals['account-disabled'], 'end');
  });

  test('is refused with an action or an event that is none', async () => {
    assert.deepEqual(await faults(signals({ 'session-revoked': 'stop' })), [
      'policy.signals.session-revoked: expected "end" or "login" or "ignore", got "stop"',
    ]);
    assert.deepEqual(await faults(signals({ 'session-ended': 'end' })), [
      'policy.signals.session-ended: unknown setting',
    ]);
  });

  test('revalidate is a limit like the others', async () => {
    const limits = { ...SETTINGS.policy.limits, revalidate: '15m' };
    assert.equal((await load({ policy: { ...SETTINGS.policy, limits } })).policy.limits.revalidate, 900);
    const wrong = { ...SETTINGS.policy, limits: { ...limits, revalidate: '15 min' } };
    assert.deepEqual(await faults({ policy: wrong }), [
      'policy.limits.revalidate: expected a duration such as "15m", got "15 min"',
    ]);
  });
});
