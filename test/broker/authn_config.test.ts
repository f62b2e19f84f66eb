// The printed AuthenticationConfiguration: what it says, for which cluster. That a real API server obeys it is tested there.

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { parse } from 'yaml';
import { printAuthnConfig } from '../../broker/layers/authn_config.ts';
import { printAuthzConfig } from '../../broker/layers/authz_config.ts';
import { type ConfigFiles, makeConfigFiles, SETTINGS } from './config_files.ts';

let config: ConfigFiles;
before(async () => {
  config = await makeConfigFiles();
});

interface Rule {
  readonly expression: string;
  readonly message: string;
}

interface Printed {
  readonly apiVersion: string;
  readonly kind: string;
  readonly jwt: readonly [
    {
      readonly issuer: Readonly<Record<string, unknown>>;
      readonly claimValidationRules: readonly Rule[];
      readonly claimMappings: Readonly<Record<string, unknown>>;
      readonly userValidationRules: readonly Rule[];
    },
  ];
}

async function print(cluster: string, changes = {}): Promise<Printed['jwt'][0]> {
  const { apiVersion, kind, jwt }: Printed = parse(printAuthnConfig(await config.load(changes), cluster));
  assert.deepEqual([apiVersion, kind, jwt.length], ['apiserver.config.k8s.io/v1', 'AuthenticationConfiguration', 1]);
  return jwt[0];
}

describe('the authn-config', () => {
  test('trusts the issuer by its CA, for the audience of one cluster', async () => {
    const { issuer } = await print('prod-eu');
    const certificateAuthority = config.files['ca.crt'];
    assert.deepEqual(issuer, { url: 'https://curfew.example.com', audiences: ['prod-eu'], certificateAuthority });
    const { issuer: public_issuer } = await print('dev', { issuer_ca_file: undefined });
    assert.deepEqual(public_issuer, { url: 'https://curfew.example.com', audiences: ['dev'] });
  });

  test('takes names as they are, and the session id as extra', async () => {
    const { claimMappings } = await print('dev');
    assert.deepEqual(claimMappings, {
      username: { claim: 'username', prefix: '' },
      groups: { claim: 'groups', prefix: '' },
      uid: { claim: 'sub' },
      extra: [{ key: 'curfew.internal/session-id', valueExpression: 'claims.sid' }],
    });
  });

  test('caps token_ttl and max_age by the ceiling, else by the limits of the cluster', async () => {
    const caps = async (cluster: string, changes = {}) => {
      const expressions = (await print(cluster, changes)).claimValidationRules.map(({ expression }) => expression);
      return expressions.flatMap((expression) => /<= (\d+)$/.exec(expression)?.[1] ?? []).map(Number);
    };
    assert.deepEqual(await caps('prod-eu'), [120, 900]);
    assert.deepEqual(await caps('dev'), [300, 43_200]);
    const ceiling = (value: object) => ({ clusters: [{ ...SETTINGS.clusters[0], ceiling: value }] });
    assert.deepEqual(await caps('prod-eu', ceiling({ max_age: '1h', token_ttl: '10m' })), [600, 3600]);
    assert.deepEqual(await caps('prod-eu', ceiling({ token_ttl: '1m' })), [60, 900]);
  });

  test('has a message of its own for each rule', async () => {
    const { claimValidationRules, userValidationRules } = await print('dev');
    const messages = [...claimValidationRules, ...userValidationRules].map(({ message }) => message);
    assert.equal(new Set(messages).size, 6);
    for (const message of messages) assert.match(message, /^curfew: [a-z]/);
  });

  test('for a cluster that there is not is refused, with those there are', async () => {
    await assert.rejects(print('prod'), { code: 'usage', message: /"prod".*prod-eu, dev/ });
  });
});

describe('for an older API server', () => {
  const HOOKED = { clusters: [{ ...SETTINGS.clusters[0], webhook: { token_file: 'hook', on_failure: 'deny' } }] };
  const load = () => config.load(HOOKED, { hook: 'ab'.repeat(32) });
  const authn = async (version?: string): Promise<Printed> => parse(printAuthnConfig(await load(), 'prod-eu', version));
  const authz = async (version?: string) => {
    const { apiVersion, authorizers } = parse(printAuthzConfig(await load(), 'prod-eu', '/k', version));
    return { apiVersion, webhook: authorizers[0].webhook as Readonly<Record<string, unknown>> };
  };
  const keys = ({ jwt: [{ claimMappings }] }: Printed) =>
    (claimMappings.extra as { key: string; valueExpression: string }[]).map(({ key }) => key);

  for (const version of ['1.30', 'v1.30', '1.31.14', '1.32', '1.33', '1.33.13', 'v1.33.4-gke.1200', '1.33.1+k3s1']) {
    test(`${version}: v1beta1, nothing kept in caches by length alone, and the token's id where it is not passed on`, async () => {
      const { apiVersion, webhook } = await authz(version);
      const printed = await authn(version);
      assert.deepEqual(new Set([apiVersion, printed.apiVersion]), new Set(['apiserver.config.k8s.io/v1beta1']));
      assert.equal('cacheAuthorizedRequests' in webhook || 'cacheUnauthorizedRequests' in webhook, false);
      assert.deepEqual([webhook.authorizedTTL, webhook.unauthorizedTTL], ['1ns', '1ns']);
      const own = /^v?1\.3[01]/.test(version) ? ['curfew.internal/token-id'] : [];
      assert.deepEqual(keys(printed), ['curfew.internal/session-id', ...own]);
    });
  }

  for (const version of [undefined, '1.34', 'v1.34.0', '1.37.2', '1.100']) {
    test(`${version ?? 'none said'}: v1, and no cache`, async () => {
      const { apiVersion, webhook } = await authz(version);
      assert.deepEqual(
        [apiVersion, (await authn(version)).apiVersion].map((one) => one.split('/')[1]),
        ['v1', 'v1'],
      );
      assert.deepEqual([webhook.cacheAuthorizedRequests, webhook.cacheUnauthorizedRequests], [false, false]);
      assert.deepEqual(keys(await authn(version)), ['curfew.internal/session-id']);
    });
  }

  for (const version of [
    '1.29',
    'v1.20.15',
    '1.0',
    '2.0',
    '',
    '1',
    '1.',
    '1.x',
    '1.033',
    ' 1.33',
    '1.33\n',
    '-1.33',
    'latest',
  ]) {
    test(`${JSON.stringify(version)} is refused by name`, async () => {
      const refused = { code: 'usage', message: /^--kubernetes: / };
      await assert.rejects(authn(version), refused);
      await assert.rejects(authz(version), refused);
    });
  }
});
