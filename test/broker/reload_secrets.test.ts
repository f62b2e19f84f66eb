// What a configuration names is part of it: a secret or certificate that is replaced under its old path is in force after a
// reload, or the reload is refused by name. Which settings there are is taken from the schema, so that none is forgotten.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createLiveConfig } from '../../broker/config/live.ts';
import { settingPaths } from '../docs/sources.ts';
import { createCertificateAuthority } from '../support/certificates.ts';
import { askAuthorization, post } from '../support/review.ts';
import { startTestService, type TestService } from '../support/service.ts';
import { listening, person, setOf } from '../support/signals.ts';
import { type ConfigFiles, type Files, makeConfigFiles, SETTINGS } from './config_files.ts';

const urlWith = (password: string) => `postgres://curfew:${password}@db.example.com/curfew`;
const newSecret = () => randomBytes(32).toString('base64');

/** All that names a file, a variable or a secret, except where something is written. */
const READ = settingPaths().filter((name) => /(_file|_env|secret)$/.test(name) && name !== 'store.witness_file');

let config: ConfigFiles;
let otherCa: string;
before(async () => {
  config = await makeConfigFiles();
  const folder = await mkdtemp(path.join(tmpdir(), 'curfew-other-ca-'));
  otherCa = (await createCertificateAuthority(folder)).caPem;
  await rm(folder, { recursive: true });
});

const [PROD, DEV] = SETTINGS.clusters;
/** Each in a file of its own. */
const SECRETS = ['webhook', 'gateway', 'hook', 'push', 'key', 'targets'] as const;
const BEARERS = ['poll', 'broker-token', 'client-secret'] as const;
const files = (): Record<string, string> => ({
  ...(config.files as Record<string, string>),
  ...Object.fromEntries(
    ['issuer', 'idp', 'cluster', 'gateway', 'hook', 'ssf', 'database', 'client', 'targets', 'orders'].map((of) => [
      `${of}.ca`,
      config.files['ca.crt'] as string,
    ]),
  ),
  ...Object.fromEntries(SECRETS.map((name) => [name, newSecret()])),
  url: urlWith('one'),
  ...Object.fromEntries(BEARERS.map((name) => [name, `bearer-${newSecret()}`])),
});
const settings = () => ({
  issuer_ca_file: 'issuer.ca',
  keys: { encryption_key_file: 'key' },
  identity_provider: { ...SETTINGS.identity_provider, ca_file: 'idp.ca', client_secret: 'one' },
  clusters: [
    {
      ...{ ...PROD, ca_file: 'cluster.ca', webhook: { token_file: 'webhook', on_failure: 'deny' } },
      gateway: { url: 'https://gateway.example.com', ca_file: 'gateway.ca', token_file: 'gateway' },
    },
    {
      ...DEV,
      credential: 'service-account',
      service_accounts: [{ group: '*', namespace: 'people', name: 'everybody' }],
      broker_token_file: 'broker-token',
    },
  ],
  target_gateway: {
    ...{ public_url: 'wss://gateway.example.com', ca_file: 'targets.ca', token_file: 'targets' },
    source_addresses: ['10.0.9.4'],
  },
  targets: [
    {
      ...{
        name: 'orders-db',
        kind: 'postgres',
        address: '10.0.0.9:5432',
        allowed_groups: ['*'],
        databases: ['orders'],
      },
      ...{ admin_url_file: 'url', ca_file: 'orders.ca', accounts: [{ account: 'orders', groups: ['*'] }] },
    },
  ],
  hooks: [{ url: 'https://hook.example.com', secret_file: 'hook', ca_file: 'hook.ca' }],
  ssf: [
    {
      issuer: 'https://a.example.com',
      audience: 'a',
      issuers: [SETTINGS.identity_provider.issuer],
      push: { token_file: 'push' },
      ca_file: 'ssf.ca',
    },
    {
      ...{ issuer: 'https://b.example.com', audience: 'b', issuers: [SETTINGS.identity_provider.issuer] },
      poll: { url: 'https://b.example.com/poll', token_file: 'poll' },
    },
  ],
});

const TLS = { cert_file: 'tls.crt', key_file: 'tls.key', client_ca_file: 'client.ca' };
const METRICS = { metrics: { address: '127.0.0.1', port: 9090, tls: TLS } };

/** What is changed for each setting: another content under the same path. */
const CHANGES: Readonly<
  Record<
    string,
    () => {
      readonly files?: Files;
      readonly settings?: object;
      readonly before?: object;
      readonly env?: Record<string, string>;
    }
  >
> = {
  issuer_ca_file: () => ({ files: { 'issuer.ca': otherCa } }),
  'listen.tls.cert_file': () => ({ files: { 'tls.crt': `${config.files['tls.crt']}\n` } }),
  'listen.tls.key_file': () => ({ files: { 'tls.key': `${config.files['tls.key']}\n` } }),
  'listen.tls.client_ca_file': () => ({
    before: { listen: { ...SETTINGS.listen, tls: TLS } },
    files: { 'client.ca': otherCa },
  }),
  'metrics.tls.cert_file': () => ({ before: METRICS, files: { 'tls.crt': `${config.files['tls.crt']}\n` } }),
  'metrics.tls.key_file': () => ({ before: METRICS, files: { 'tls.key': `${config.files['tls.key']}\n` } }),
  'metrics.tls.client_ca_file': () => ({ before: METRICS, files: { 'client.ca': otherCa } }),
  'keys.encryption_key_file': () => ({ files: { key: newSecret() } }),
  'keys.encryption_key_env': () => ({ before: { keys: { encryption_key_env: 'KEY' } }, env: { KEY: newSecret() } }),
  'keys.other_encryption_key_file': () => ({
    before: { keys: { encryption_key_file: 'key', other_encryption_key_file: 'hook' } },
    files: { hook: newSecret() },
  }),
  'keys.other_encryption_key_env': () => ({
    before: { keys: { encryption_key_file: 'key', other_encryption_key_env: 'KEY' } },
    env: { KEY: newSecret() },
  }),
  'identity_provider.ca_file': () => ({ files: { 'idp.ca': otherCa } }),
  'identity_provider.client_secret': () => ({
    settings: { identity_provider: { ...settings().identity_provider, client_secret: 'two' } },
  }),
  'clusters[].ca_file': () => ({ files: { 'cluster.ca': otherCa } }),
  'clusters[].webhook.token_file': () => ({ files: { webhook: newSecret() } }),
  'clusters[].gateway.token_file': () => ({ files: { gateway: newSecret() } }),
  'clusters[].gateway.ca_file': () => ({ files: { 'gateway.ca': otherCa } }),
  'clusters[].broker_token_file': () => ({ files: { 'broker-token': 'another' } }),
  'hooks[].secret_file': () => ({ files: { hook: newSecret() } }),
  'hooks[].ca_file': () => ({ files: { 'hook.ca': otherCa } }),
  'ssf[].ca_file': () => ({ files: { 'ssf.ca': otherCa } }),
  'ssf[].push.token_file': () => ({ files: { push: newSecret() } }),
  'ssf[].poll.token_file': () => ({ files: { poll: 'another' } }),
  'target_gateway.token_file': () => ({ files: { targets: newSecret() } }),
  'target_gateway.ca_file': () => ({ files: { 'targets.ca': otherCa } }),
  'targets[].admin_url_file': () => ({ files: { url: urlWith('another') } }),
  'targets[].ca_file': () => ({ files: { 'orders.ca': otherCa } }),
  'store.postgres.url_env': () => ({
    before: { store: { postgres: { url_env: 'URL' } } },
    env: { URL: urlWith('another') },
  }),
  'store.postgres.url_file': () => ({
    before: { store: { postgres: { url_file: 'url' } } },
    files: { url: urlWith('another') },
  }),
  'store.postgres.ca_file': () => ({
    before: { store: { postgres: { url_env: 'URL', ca_file: 'database.ca' } } },
    files: { 'database.ca': otherCa },
  }),
  'ssf[].poll.client_secret_file': () => ({
    before: {
      ssf: [
        {
          ...{ issuer: 'https://b.example.com', audience: 'b', issuers: [SETTINGS.identity_provider.issuer] },
          poll: { url: 'https://b.example.com/poll', client_id: 'curfew', client_secret_file: 'client-secret' },
        },
      ],
    },
    files: { 'client-secret': 'another' },
  }),
};

/** These take effect at a start only. */
const AT_START: Readonly<Record<string, string>> = {
  issuer_ca_file: 'issuer_ca_file',
  'store.postgres.url_env': 'store',
  'store.postgres.url_file': 'store',
  'store.postgres.ca_file': 'store',
  'keys.encryption_key_file': 'keys',
  'keys.encryption_key_env': 'keys',
  'identity_provider.ca_file': 'identity_provider.ca_file',
  'identity_provider.client_secret': 'identity_provider.client_secret',
};

describe('another content under the same path', () => {
  test('is tried for each setting of the schema that names a file, a variable or a secret', () => {
    assert.ok(READ.length >= 15, READ.join(' '));
    assert.deepEqual(Object.keys(CHANGES).sort(), [...READ].sort());
  });

  for (const setting of READ) {
    test(`${setting}: is taken over, or refused as needing a start`, async () => {
      const change = CHANGES[setting]?.() ?? {};
      const [before, env] = [
        { ...settings(), ...change.before },
        { KEY: newSecret(), URL: urlWith('one') },
      ];
      const all = files();
      const live = createLiveConfig(await config.load(before, all, env));
      assert.equal((await live.judge(() => config.load(before, all, env))).outcome, 'same', 'nothing changed');
      const outcome = await live.judge(() =>
        config.load({ ...before, ...change.settings }, { ...all, ...change.files }, { ...env, ...change.env }),
      );
      const needs = AT_START[setting];
      if (needs === undefined) assert.equal(outcome.outcome, 'reloaded');
      else
        assert.deepEqual(outcome.outcome === 'refused' && outcome.faults, [`${needs}: takes effect at a restart only`]);
    });
  }
});

const CLUSTERS = [
  {
    ...{ name: 'dev', server: 'https://127.0.0.1:1', audience: 'dev', allowed_groups: ['*'] },
    webhook: { token_file: 'dev-hook', on_failure: 'deny' },
  },
];

describe('while the broker runs', () => {
  let service: TestService;
  const at = (name: string) => path.join(path.dirname(service.configFile), name);
  const write = (name: string, text: string) => writeFile(at(name), text, { mode: 0o600 });
  const bearer = (secret: string) => Buffer.from(secret, 'base64').toString('base64url');
  before(async () => {
    service = await startTestService({ clusters: CLUSTERS });
  });
  after(() => service.stop());

  test("a webhook's token that was replaced is no longer good, and the new one is", async () => {
    const [old, next] = [service.webhook_tokens.dev ?? '', newSecret()];
    const ask = (token: string) => post(`${service.url}/webhooks/authorize`, token, {});
    assert.equal((await ask(old)).status, 400);
    await write('dev-hook', next);
    assert.equal((await service.reload({})).outcome, 'reloaded');
    assert.deepEqual([(await ask(old)).status, (await ask(bearer(next))).status], [401, 400]);
    assert.equal((await askAuthorization(service.url, bearer(next), { user: 'x' })).denied, false);
  });

  test("a gateway's token that was replaced is no longer good, and the new one is", async () => {
    const [old, next] = [newSecret(), newSecret()];
    await write('dev-gateway', old);
    const [dev] = CLUSTERS;
    const sections = { clusters: [{ ...dev, gateway: { url: 'https://gw.example.com', token_file: 'dev-gateway' } }] };
    assert.equal((await service.reload(sections)).outcome, 'reloaded');
    const ask = async (secret: string) =>
      (await post(`${service.url}/v1/gateway/sessions`, bearer(secret), { asks: [], uses: [] })).status;
    assert.deepEqual([await ask(old), await ask(next)], [200, 401]);
    await write('dev-gateway', next);
    assert.equal((await service.reload(sections)).outcome, 'reloaded');
    assert.deepEqual([await ask(old), await ask(next)], [401, 200]);
    await service.reload({});
    assert.equal(await ask(next), 401, 'a cluster without a gateway has no token');
  });

  test("a transmitter's push token that was replaced is no longer good, and the new one is", async () => {
    const [old, next] = [newSecret(), newSecret()];
    await write('push', old);
    const { ssf } = listening(service, {}) as { ssf: readonly object[] };
    const sections = { ssf: [{ ...ssf[0], push: { token_file: 'push' } }] };
    assert.equal((await service.reload(sections)).outcome, 'reloaded');
    const push = async (secret: string) => {
      const headers = { 'content-type': 'application/secevent+jwt', authorization: `Bearer ${bearer(secret)}` };
      const body = setOf(service, 'session-revoked', person(service, 'nobody'));
      return (await fetch(`${service.url}/ssf/events`, { method: 'POST', headers, body })).status;
    };
    assert.equal(await push(old), 202);
    await write('push', next);
    assert.equal((await service.reload(sections)).outcome, 'reloaded');
    assert.deepEqual([await push(old), await push(next)], [401, 202]);
  });

  test('nothing that is read, and that did not change, reloads: once more is the same', async () => {
    assert.equal((await service.reload({})).outcome, 'reloaded');
    assert.equal((await service.reload({})).outcome, 'same');
    const digests = service.audit.filter(({ event }) => event === 'policy').map((event) => JSON.stringify(event));
    assert.ok(!digests.some((row) => row.includes('contents')), 'what secrets add up to is in no row');
  });
});
