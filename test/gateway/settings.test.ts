// The gateway's configuration: one value, or every fault with its path; nothing of a secret comes back in an error.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { stringify } from 'yaml';
import { loadSettings } from '../../gateway/config/load.ts';
import type { CurfewError } from '../../shared/errors.ts';
import { createCertificateAuthority } from '../support/certificates.ts';

let dir: string;
let good: Readonly<Record<string, unknown>>;
const secret = randomBytes(32).toString('base64');

before(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'curfew-gateway-settings-'));
  const authority = await createCertificateAuthority(dir);
  const { certFile: cert_file, keyFile: key_file } = await authority.issue({ name: 'tls', hosts: ['127.0.0.1'] });
  await writeFile(path.join(dir, 'token'), secret, { mode: 0o600 });
  await writeFile(path.join(dir, 'open'), secret, { mode: 0o644 });
  await writeFile(path.join(dir, 'keys.json'), '{"keys":[]}');
  good = {
    broker: { url: 'https://curfew.example.com', ca_file: authority.caFile, token_file: 'token' },
    cluster: 'prod-eu',
    listen: { address: '0.0.0.0', port: 6443, tls: { cert_file, key_file } },
    api_server: { url: 'https://10.0.0.1:6443' },
    other_credentials: 'refuse',
    on_lost_broker: { cut_after: '10s' },
  };
});
after(() => rm(dir, { recursive: true, force: true }));

async function load(changes: Readonly<Record<string, unknown>>) {
  const file = path.join(dir, 'config.yaml');
  await writeFile(file, stringify({ ...good, ...changes }));
  return loadSettings(file);
}

test('a configuration as it is printed loads; what may be left out has its usual value', async () => {
  const settings = await load({});
  assert.equal(settings.warn, 60);
  assert.equal(settings.drain, 30);
  assert.equal(settings.on_lost_broker.cut_after, 10);
  assert.equal(settings.broker.token.export().toString('base64'), secret);
  assert.doesNotMatch(JSON.stringify(settings), new RegExp(secret.slice(0, 20).replaceAll('+', '\\+')));
  assert.equal((await load({ warn: 'off' })).warn, 'off');
});

test('what is wrong is named by its path', async () => {
  const cases: readonly (readonly [Readonly<Record<string, unknown>>, RegExp])[] = [
    [{ clusters: [] }, /: clusters: unknown setting$/],
    [{ listen: { port: 1, extra: 2 } }, /listen\.extra: unknown setting/],
    [{ other_credentials: undefined }, /other_credentials: required: "refuse" or "pass"$/],
    [
      { on_lost_broker: { cut_after: '31s' } },
      /on_lost_broker\.cut_after: expected a duration of at most "30s", got "31s"$/,
    ],
    [{ on_lost_broker: undefined }, /on_lost_broker: required: a mapping$/],
    [{ api_server: { url: 'http://10.0.0.1' } }, /api_server\.url: expected an https URL/],
    [{ broker: { url: 'http://curfew.example.com', token_file: 'token' } }, /broker\.url: expected an https URL/],
    [{ broker: { url: 'https://curfew.example.com', token_file: 'none' } }, /broker\.token_file: none: no such file$/],
    [
      { broker: { url: 'https://curfew.example.com', token_file: 'open' } },
      /broker\.token_file: open can be read by others/,
    ],
    [
      { api_server: { url: 'https://10.0.0.1', service_account_keys_file: 'keys.json' } },
      /service_account_keys_file: keys\.json: expected keys/,
    ],
    [{ warn: '5 min' }, /warn: expected a duration such as "60s", or "off", got "5 min"$/],
  ];
  for (const [changes, message] of cases) {
    await assert.rejects(load(changes), (error: CurfewError) => {
      assert.equal(error.code, 'configuration');
      assert.match(error.message, message);
      return true;
    });
  }
});

describe('a configuration before targets', () => {
  const beforeTargets = (changes: Readonly<Record<string, unknown>> = {}) => ({
    ...{ cluster: undefined, api_server: undefined, other_credentials: undefined },
    ...{ targets: true, public_url: 'wss://gw.example.com:8444', ...changes },
  });

  test('as it is printed loads; proofs speak of the https form of its URL', async () => {
    const settings = await load(beforeTargets());
    assert.ok(settings.targets);
    assert.equal(settings.public_url, 'https://gw.example.com:8444');
    assert.equal(settings.cluster, undefined);
    assert.equal(settings.warn, 60);
    assert.ok((await load(beforeTargets({ public_url: 'wss://gw.example.com/' }))).targets);
  });

  test('has nothing of a cluster, and a URL that is one', async () => {
    const url = /public_url: expected a wss URL without user, path, query and fragment, got /;
    const cases: readonly (readonly [Readonly<Record<string, unknown>>, RegExp])[] = [
      [beforeTargets({ cluster: 'prod-eu' }), /: cluster: unknown setting$/],
      [beforeTargets({ api_server: { url: 'https://10.0.0.1' } }), /: api_server: unknown setting$/],
      [beforeTargets({ other_credentials: 'pass' }), /: other_credentials: unknown setting$/],
      [beforeTargets({ targets: false }), /: targets: expected true, got false$/],
      [beforeTargets({ public_url: undefined }), /: public_url: required: a wss URL/],
      ...[
        'https://gw.example.com',
        'wss://gw.example.com/x',
        'wss://a@gw.example.com',
        'wss://gw.example.com?x',
        'gw',
      ].map((public_url) => [beforeTargets({ public_url }), url] as const),
      [{ targets: undefined, public_url: 'wss://gw.example.com' }, /: public_url: unknown setting$/],
    ];
    for (const [changes, message] of cases) await assert.rejects(load(changes), message, JSON.stringify(changes));
  });
});

test('H5 a token that stands where its file belongs does not come back in the error', async () => {
  await assert.rejects(
    load({ broker: { url: 'https://curfew.example.com', token_file: secret } }),
    (error: CurfewError) => !error.message.includes(secret) && /not the key itself/.test(error.message),
  );
});
