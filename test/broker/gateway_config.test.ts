// What is printed for a gateway, and what is public of it.

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { parse } from 'yaml';
import { entranceOf } from '../../broker/config/clusters.ts';
import { printGatewayConfig, printTargetGatewayConfig } from '../../broker/layers/gateway_config.ts';
import { CurfewError } from '../../shared/errors.ts';
import { type ConfigFiles, makeConfigFiles, SETTINGS, type Settings } from './config_files.ts';

const [prod, dev] = SETTINGS.clusters;
const TOKEN = Buffer.alloc(32, 3);
let config: ConfigFiles;
before(async () => {
  config = await makeConfigFiles();
});
const load = (gateway: Settings, changes: Settings = {}) =>
  config.load(
    { ...changes, clusters: [{ ...prod, gateway: { token_file: 'gateway', ...gateway } }, dev] },
    { gateway: TOKEN.toString('base64') },
  );

describe('the gateway-config', () => {
  test('says where broker and API server are, and for which cluster; it holds no secret', async () => {
    const text = printGatewayConfig(await load({ url: 'https://gw.example.com:6443' }), 'prod-eu');
    assert.deepEqual(parse(text), {
      broker: { url: 'https://curfew.example.com', ca_file: 'broker.crt', token_file: 'gateway-token' },
      cluster: 'prod-eu',
      listen: { address: '0.0.0.0', port: 6443, tls: { cert_file: 'tls.crt', key_file: 'tls.key' } },
      api_server: { url: 'https://10.0.0.1:6443', ca_file: 'api-server.crt' },
      other_credentials: 'refuse',
      on_lost_broker: { cut_after: '10s' },
      warn: '60s',
    });
    for (const form of ['base64', 'base64url', 'hex'] as const) assert.ok(!text.includes(TOKEN.toString(form)));
    for (const file of ['broker.crt', 'gateway-token', 'api-server.crt', 'tls.key'])
      assert.match(text, new RegExp(`^# .*${file}`, 'm'), `${file} is explained`);
  });

  test('names the keys of a cluster whose own tokens people have', async () => {
    const service_accounts = [{ group: 'sre', namespace: 'people', name: 'editors' }];
    const gateway = { url: 'https://gw.example.com', token_file: 'gateway' };
    const credential = { credential: 'service-account', service_accounts, broker_token_file: 'broker-token' };
    const clusters = [{ ...dev, ...credential, gateway }];
    const loaded = await config.load(
      { clusters, policy: { ...SETTINGS.policy, segments: [] } },
      { gateway: TOKEN.toString('base64'), 'broker-token': 'token' },
    );
    const text = printGatewayConfig(loaded, 'dev');
    assert.deepEqual(parse(text).api_server, {
      ...{ url: 'https://10.0.1.1:6443', ca_file: 'api-server.crt' },
      service_account_keys_file: 'service-account-keys.json',
    });
    assert.match(text, /^# service-account-keys\.json: .*kubectl get --raw \/openid\/v1\/jwks/m);
  });

  test("listens where its address says, and trusts the system's roots where no authority is named", async () => {
    const clusters = [
      { ...prod, ca_file: undefined, gateway: { url: 'https://gw.example.com', token_file: 'gateway' } },
    ];
    const loaded = await config.load({ clusters, issuer_ca_file: undefined }, { gateway: TOKEN.toString('hex') });
    const { broker, listen, api_server } = parse(printGatewayConfig(loaded, 'prod-eu'));
    assert.deepEqual(broker, { url: 'https://curfew.example.com', token_file: 'gateway-token' });
    assert.equal(listen.port, 443);
    assert.deepEqual(api_server, { url: 'https://10.0.0.1:6443' });
  });

  test('is refused for a cluster that has none, or that there is not', async () => {
    const loaded = await load({ url: 'https://gw.example.com' });
    const code = (name: string) => (error: unknown) => error instanceof CurfewError && error.code === name;
    assert.throws(() => printGatewayConfig(loaded, 'dev'), code('configuration'));
    assert.throws(() => printGatewayConfig(loaded, 'nowhere'), code('usage'));
  });
});

test('the gateway-config of targets says how people reach it, which its proofs must speak of', async () => {
  const target_gateway = {
    public_url: 'wss://gw.example.com:8444',
    token_file: 'targets',
    source_addresses: ['10.0.9.4'],
  };
  const targets = [{ name: 'cache', kind: 'tcp', address: '10.0.0.11:6379', allowed_groups: ['sre'] }];
  const loaded = await config.load({ target_gateway, targets }, { targets: TOKEN.toString('base64') });
  const text = printTargetGatewayConfig(loaded);
  assert.deepEqual(parse(text), {
    broker: { url: 'https://curfew.example.com', ca_file: 'broker.crt', token_file: 'gateway-token' },
    ...{ targets: true, public_url: 'wss://gw.example.com:8444' },
    listen: { address: '0.0.0.0', port: 8444, tls: { cert_file: 'tls.crt', key_file: 'tls.key' } },
    on_lost_broker: { cut_after: '10s' },
    warn: '60s',
  });
  for (const form of ['base64', 'base64url', 'hex'] as const) assert.ok(!text.includes(TOKEN.toString(form)));
  assert.match(text, /^# gateway-token: .* target_gateway\.token_file; mode 0600$/m);
  const none = await config.load({});
  assert.throws(
    () => printTargetGatewayConfig(none),
    (error) => error instanceof CurfewError && error.code === 'configuration',
  );
});

test('people are sent to the gateway, and believe its authority alone', async () => {
  const loaded = await load({ url: 'https://gw.example.com', ca_file: 'ca.crt' });
  assert.deepEqual(loaded.clusters.map(entranceOf), [
    { server: 'https://gw.example.com', ca: config.files['ca.crt'] },
    { server: 'https://10.0.1.1:6443', ca: config.files['ca.crt'] },
  ]);
  const [own] = (await load({ url: 'https://gw.example.com' })).clusters;
  assert.deepEqual(own && entranceOf(own), { server: 'https://gw.example.com', ca: undefined });
});
