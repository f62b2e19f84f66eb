// `check`: each thing that is wrong or may be is said in one line, and the exit status says the worst.

import assert from 'node:assert/strict';
import { createSecretKey, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createServer } from 'node:tls';
import { check } from '../../broker/commands/check.ts';
import type { Config } from '../../broker/config/settings.ts';
import type { Discovery } from '../../broker/upstream/discovery.ts';
import { CurfewError } from '../../shared/errors.ts';
import { fromMilliseconds, type Seconds, seconds } from '../../shared/time.ts';
import { createCertificateAuthority } from '../support/certificates.ts';
import { type ConfigFiles, makeConfigFiles, SETTINGS, type Settings } from './config_files.ts';

const NOW = fromMilliseconds(Date.now());
const DISCOVERY: Discovery = {
  issuer: 'https://idp.example.com',
  jwks_uri: 'https://idp.example.com/jwks',
  authorization_endpoint: 'https://idp.example.com/auth',
  token_endpoint: 'https://idp.example.com/token',
  claims_supported: ['sub', 'auth_time', 'email', 'email_verified', 'groups'],
  scopes_supported: ['openid', 'email', 'groups'],
  response_types_supported: ['code'],
  code_challenge_methods_supported: ['S256'],
  id_token_signing_alg_values_supported: ['RS256'],
  acr_values_supported: ['pwd', 'mfa'],
};

let folder: string;
let files: ConfigFiles;
let tls: { cert_file: string; key_file: string };
let other: typeof tls;
let ca: string;
before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'curfew-check-'));
  files = await makeConfigFiles();
  const authority = await createCertificateAuthority(folder);
  const issued = await authority.issue({ name: 'tls', hosts: ['curfew.example.com', 'localhost'], days: 20 });
  tls = { cert_file: issued.certFile, key_file: issued.keyFile };
  const strange = await (await createCertificateAuthority(path.join(folder, 'other'))).issue({
    ...{ name: 'tls', hosts: ['localhost'] },
  });
  other = { cert_file: strange.certFile, key_file: strange.keyFile };
  ca = authority.caPem;
});
after(() => rm(folder, { recursive: true }));

interface Case {
  readonly settings?: Settings;
  readonly discovery?: Partial<Discovery> | CurfewError;
  readonly now?: Seconds;
  readonly config?: Partial<Config>;
}

async function checked({ settings, discovery = {}, now = NOW, config = {} }: Case = {}) {
  const loaded = await files.load(settings);
  const refresh = async () => {
    if (discovery instanceof Error) throw discovery;
    return { ...DISCOVERY, ...discovery };
  };
  const { lines, exit } = await check(
    { ...loaded, listen: { ...loaded.listen, tls }, ...config },
    { refresh },
    NO_CLUSTERS,
    now,
  );
  return { exit, lines, trouble: lines.filter((line) => !/^(ok|note): /.test(line)) };
}

const idp = (changes: Settings) => ({ settings: { identity_provider: { ...SETTINGS.identity_provider, ...changes } } });
const [prod, dev] = SETTINGS.clusters;
const policy = (changes: Settings) => ({ settings: { policy: { ...SETTINGS.policy, ...changes } } });
const segments = (...list: Settings[]) => policy({ segments: list });

test('a sound configuration and provider bring ok lines alone, and exit 0', async () => {
  const { exit, lines, trouble } = await checked();
  assert.deepEqual(trouble, []);
  assert.equal(exit, 0);
  assert.ok(
    lines.includes('ok: cluster prod-eu: max_age 15m, inactivity_timeout 10m, token_ttl 2m, acr mfa'),
    lines.join('\n'),
  );
});

test('a provider that lists nothing is asked to be looked at, for auth_time above all', async () => {
  const silent = Object.fromEntries(
    Object.keys(DISCOVERY).flatMap((key) => (/supported$/.test(key) ? [[key, undefined]] : [])),
  );
  const { exit, trouble } = await checked({ discovery: silent });
  assert.equal(exit, 0);
  assert.equal(trouble.length, 2);
  assert.match(trouble[0] ?? '', /auth_time.*require_auth_time/);
  assert.match(trouble[1] ?? '', /S256/);
});

const CASES: readonly (readonly [string, () => Case, RegExp])[] = [
  [
    'no auth_time',
    () => ({ discovery: { claims_supported: ['email', 'email_verified', 'groups'] } }),
    /^warning: .*does not list auth_time.*identity-providers/,
  ],
  [
    'no groups claim',
    () => ({ discovery: { claims_supported: ['auth_time', 'email', 'email_verified'] } }),
    /^warning: .*claim groups/,
  ],
  [
    'no email_verified',
    () => ({ discovery: { claims_supported: ['auth_time', 'email', 'groups'] } }),
    /^warning: .*claim email_verified/,
  ],
  [
    'a scope that is not listed',
    () => ({ discovery: { scopes_supported: ['openid', 'email'] } }),
    /^error: .*scope groups.*invalid_scope.*identity_provider\.scopes/,
  ],
  ['no PKCE', () => ({ discovery: { code_challenge_methods_supported: ['plain'] } }), /^warning: .*S256/],
  ['no code flow', () => ({ discovery: { response_types_supported: ['id_token'] } }), /^error: .*code/],
  ['no token endpoint', () => ({ discovery: { token_endpoint: undefined } }), /^error: .*token_endpoint/],
  [
    'no common algorithm',
    () => ({ discovery: { id_token_signing_alg_values_supported: ['HS256'] } }),
    /^error: .*RS256/,
  ],
  [
    'an algorithm that can be allowed',
    () => ({ discovery: { id_token_signing_alg_values_supported: ['RS512', 'EdDSA'] } }),
    /^error: .*allow RS512 in identity_provider\.id_token_signing_algs$/,
  ],
  [
    'algorithms that cannot',
    () => ({ discovery: { id_token_signing_alg_values_supported: ['EdDSA'] } }),
    /^error: .*EdDSA, are not supported$/,
  ],
  ['an acr that is not listed', () => ({ discovery: { acr_values_supported: ['pwd'] } }), /^warning: .*acr mfa/],
  [
    'a refresh token asked for',
    () => ({ ...idp({ scopes: ['openid', 'offline_access'] }), discovery: { scopes_supported: undefined } }),
    /^warning: .*offline_access/,
  ],
  [
    'revalidation without a refresh token',
    () => ({
      settings: {
        policy: {
          limits: { ...SETTINGS.policy.limits, revalidate: '15m' },
          segments: SETTINGS.policy.segments,
        },
      },
      discovery: { scopes_supported: undefined },
    }),
    /^warning: revalidate without the scope offline_access.*back-channel logout does not end/,
  ],
  ['the device grant', () => idp({ device_grant: true }), /^warning: identity_provider\.device_grant/],
  [
    'an IdP over plain HTTP',
    () => idp({ issuer: 'http://127.0.0.1:1' }),
    /^warning: identity_provider\.issuer: plain HTTP/,
  ],
  [
    'a policy that exceeds the ceiling',
    () => ({ settings: { clusters: [{ ...prod, ceiling: { max_age: '10m', token_ttl: '2m' } }, dev] } }),
    /^warning: cluster prod-eu: the policy's max_age 15m exceeds the ceiling 10m/,
  ],
  [
    'a segment that matches nothing',
    () =>
      segments(...SETTINGS.policy.segments, {
        name: 'typo',
        match: { clusters: ['prd-*'] },
        limits: { max_age: '1m' },
      }),
    /^warning: policy\.segments: typo matches no cluster/,
  ],
  [
    'a rule that matches nothing',
    () =>
      policy({ rules: [{ name: 'typo', when: 'true', match: { clusters: ['prd-*'] }, limits: { max_age: '1m' } }] }),
    /^warning: policy\.rules: typo matches no cluster/,
  ],
  [
    'a preset that wants two factors, without an acr',
    () => policy({ preset: 'aal2' }),
    /^warning: policy: preset aal2 without acr/,
  ],
  [
    'a preset of a segment that wants two factors, without an acr',
    () =>
      segments(...SETTINGS.policy.segments, {
        name: 'vault',
        preset: 'aal3',
        match: { clusters: ['dev'] },
        limits: { inactivity_timeout: '15m' },
      }),
    /^warning: policy\.segments: vault: preset aal3 without acr/,
  ],
  [
    'namespaces whose acr have nothing in common',
    () => ({
      settings: {
        clusters: [{ ...dev, webhook: { token_file: 'key', on_failure: 'deny' } }],
        ...policy({
          segments: ['pwd', 'mfa'].map((acr) => ({ name: acr, match: { namespaces: [acr] }, limits: { acr: [acr] } })),
        }).settings,
      },
    }),
    /^warning: cluster dev: no acr satisfies all its namespaces/,
  ],
  [
    'a token_ttl near the margin of the cache',
    () =>
      segments(...SETTINGS.policy.segments, {
        name: 'short',
        match: { clusters: ['dev'] },
        limits: { token_ttl: '20s' },
      }),
    /^warning: cluster dev: token_ttl 20s is short/,
  ],
  [
    'an issuer that the certificate is not for',
    () => ({ settings: { issuer: 'https://other.example.com' } }),
    /^warning: .*not for other\.example\.com/,
  ],
  ['an expired certificate', () => ({ now: seconds(NOW + 21 * 86_400) }), /^error: .*expired/],
  ['a certificate near its end', () => ({ now: seconds(NOW + 15 * 86_400) }), /^warning: .*expires in/],
  ['plain HTTP', () => ({ config: { listen: { address: '127.0.0.1', port: 0 } } }), /^warning: listen: plain HTTP/],
];

/** None of them is asked anything here: what is, is tested against a real API server. */
test('T13 check says where it cannot see whether sessions can make credentials, and how to look by hand', async () => {
  const { lines } = await checked();
  const notes = lines.filter((line) => line.startsWith('note: '));
  assert.equal(notes.length, 2);
  for (const line of notes) {
    assert.match(
      line,
      /^note: cluster (prod-eu|dev): the broker has no token there .* kubectl get validatingadmissionpolicybinding curfew-no-credentials; kubectl auth can-i impersonate/,
    );
  }
});

const NO_CLUSTERS = {
  of(): never {
    throw new Error('no cluster was to be asked');
  },
};

describe('check says', () => {
  for (const [what, given, line] of CASES) {
    test(what, async () => {
      const { trouble, exit } = await checked(given());
      assert.equal(trouble.length, 1, trouble.join('\n'));
      assert.match(trouble[0] ?? '', line);
      assert.equal(exit, line.source.startsWith('^error') ? 78 : 0);
    });
  }

  test('that the provider is out of reach, with 69, unless a setting is at fault too', async () => {
    const discovery = new CurfewError('identity_provider', 'identity provider idp.example.com refused the connection');
    const away = await checked({ discovery });
    assert.deepEqual(away.trouble, ['error: identity provider idp.example.com refused the connection']);
    assert.equal(away.exit, 69);
    assert.equal((await checked({ discovery, now: seconds(NOW + 21 * 86_400) })).exit, 78);
  });

  test('that a setting is at fault, with 78, where the provider answers and is another, or signs with other keys', async () => {
    const hint = 'write identity_provider.issuer exactly as it is there';
    const discovery = new CurfewError('identity_provider', 'identity provider idp.example.com is another', { hint });
    const { trouble, exit } = await checked({ discovery });
    assert.deepEqual(trouble, [`error: identity provider idp.example.com is another: ${hint}`]);
    assert.equal(exit, 78);
  });

  test('nothing about offline_access where revalidate uses it', async () => {
    const settings = {
      ...idp({ scopes: ['openid', 'email', 'groups', 'offline_access'] }).settings,
      policy: { limits: { ...SETTINGS.policy.limits, revalidate: '15m' }, segments: SETTINGS.policy.segments },
    };
    assert.deepEqual((await checked({ settings, discovery: { scopes_supported: undefined } })).trouble, []);
  });

  test('nothing about a preset that wants one factor, or whose acr is set', async () => {
    const limits = { max_age: '12h', inactivity_timeout: '15m', token_ttl: '5m' };
    assert.deepEqual((await checked(policy({ preset: 'aal1' }))).trouble, []);
    assert.deepEqual((await checked(policy({ preset: 'aal3', limits: { ...limits, acr: ['mfa'] } }))).trouble, []);
    const segment = { name: 'vault', preset: 'aal3', match: { clusters: ['dev'] }, limits: { acr: ['mfa'] } };
    assert.deepEqual((await checked(policy({ limits, segments: [...SETTINGS.policy.segments, segment] }))).trouble, []);
  });

  test('nothing about clusters without a segment', async () => {
    const settings = { ...segments().settings, clusters: [dev] };
    assert.deepEqual((await checked({ settings })).trouble, []);
  });

  test('of a gateway whether it answers, and by a certificate that kubectl believes', async () => {
    const servers = await Promise.all(
      [tls, other].map(async ({ cert_file, key_file }) => {
        const server = createServer({ cert: await readFile(cert_file, 'utf8'), key: await readFile(key_file, 'utf8') });
        await once(server.listen(0, '127.0.0.1'), 'listening');
        return server;
      }),
    );
    const [gateway, stranger] = servers.map((server) => (server.address() as AddressInfo).port);
    const at = async (port: number | undefined, now = NOW) => {
      const token = createSecretKey(randomBytes(32));
      const settings = { url: `https://localhost:${port}`, ca, token, required: false, record: [] };
      const loaded = await files.load();
      const clusters = loaded.clusters.map((cluster, i) => (i === 0 ? { ...cluster, gateway: settings } : cluster));
      return checked({ config: { clusters }, now });
    };
    try {
      const { trouble, lines, exit } = await at(gateway);
      assert.deepEqual([trouble, exit], [[], 0]);
      assert.ok(lines.includes(`ok: cluster prod-eu: the gateway at https://localhost:${gateway} answers`));
      const another = await at(stranger);
      assert.match(another.trouble[0] ?? '', /^error: .* has a certificate that kubectl will not believe \(.+\)$/);
      assert.equal(another.exit, 78);
      const late = await at(gateway, seconds(NOW + 15 * 86_400));
      assert.ok(
        late.trouble.some((line) => line.startsWith('warning: cluster prod-eu: gateway: the certificate expires in')),
      );
    } finally {
      for (const server of servers) server.close();
    }
    const nobody = await at(gateway);
    assert.deepEqual(nobody.trouble, [
      `error: cluster prod-eu: the gateway at https://localhost:${gateway} cannot be reached (ECONNREFUSED)`,
    ]);
    assert.equal(nobody.exit, 69);
  });
});
