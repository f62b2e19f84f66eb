// What a configuration is refused for, setting by setting, and that nothing in it can do more than be refused.

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import fc from 'fast-check';
import { CurfewError } from '../../shared/errors.ts';
import { type ConfigFiles, makeConfigFiles, SETTINGS, type Settings } from './config_files.ts';

let config: ConfigFiles;
before(async () => {
  config = await makeConfigFiles();
});

const idp = (changes: Settings) => ({ identity_provider: { ...SETTINGS.identity_provider, ...changes } });
const [prod, dev] = SETTINGS.clusters;
const cluster = (changes: Settings) => ({ clusters: [{ ...prod, ...changes }, dev] });
const policy = (changes: Settings) => ({ policy: { ...SETTINGS.policy, ...changes } });

/** A secret in a file that others can read. */
const OPEN = { open: { text: Buffer.alloc(32, 9).toString('hex'), mode: 0o644 } };

/** Settings replaced, and the beginning of the one fault that they must bring. */
const FAULTS: readonly (readonly [string, () => Settings, RegExp])[] = [
  ['an http issuer', () => ({ issuer: 'http://127.0.0.1:1' }), /^issuer: expected an https URL/],
  ['an issuer with a query', () => ({ issuer: 'https://a.example/?x' }), /^issuer: expected an https URL/],
  ['an issuer with a fragment', () => ({ issuer: 'https://a.example/#' }), /^issuer: expected an https URL/],
  ['an issuer with a final slash', () => ({ issuer: 'https://a.example/' }), /^issuer: expected an https URL/],
  ['an issuer that is the IdP', () => ({ issuer: 'https://idp.example.com' }), /^issuer: must differ/],
  ['no policy', () => ({ policy: undefined }), /^policy: required/],
  ['no store', () => ({ store: undefined }), /^store: required/],
  ['a store in nothing', () => ({ store: {} }), /^store: expected sqlite or postgres, and not both/],
  [
    'a store in both',
    () => ({ store: { sqlite: { file: 'a' }, postgres: { url_env: 'URL' } } }),
    /^store: expected sqlite or postgres, and not both/,
  ],
  ['a database without its URL', () => ({ store: { postgres: {} } }), /^store\.postgres: expected url_env or url_file/],
  [
    'a variable that is not set',
    () => ({ store: { postgres: { url_env: 'NO_SUCH' } } }),
    /^store\.postgres\.url_env: the environment variable NO_SUCH is not set/,
  ],
  [
    'the URL of a database where its file belongs',
    () => ({ store: { postgres: { url_file: 'postgres://u:secret@h/d' } } }),
    /^store\.postgres\.url_file: expected the path of a file, not the URL itself$/,
  ],
  ['a variable that holds no URL', () => ({ store: { postgres: { url_env: 'HOME' } } }), /^store\.postgres\.url_env: /],
  ['no clusters', () => ({ clusters: [] }), /^clusters: expected at least one/],
  ['a port above 65535', () => ({ listen: { ...SETTINGS.listen, port: 65_536 } }), /^listen\.port: expected a port/],
  [
    'a host name to listen at',
    () => ({ listen: { ...SETTINGS.listen, address: 'a.b' } }),
    /^listen\.address: expected/,
  ],
  ['plain HTTP on all addresses', () => ({ listen: { address: '::', port: 1 } }), /^listen\.tls: required/],
  [
    'a key of another certificate',
    () => ({ listen: { ...SETTINGS.listen, tls: { cert_file: 'tls.crt', key_file: 'other.key' } } }),
    /^listen\.tls: the certificate .* do not belong together/,
  ],
  ['a proxy that is everyone', () => ({ trusted_proxies: ['0.0.0.0/0'] }), /^trusted_proxies: .*"0\.0\.0\.0\/0" in it/],
  ['a proxy by name', () => ({ trusted_proxies: ['proxy'] }), /^trusted_proxies: expected/],
  ['a block too narrow', () => ({ trusted_proxies: ['10.0.0.0/33'] }), /^trusted_proxies: expected/],
  ['no encryption key', () => ({ keys: {} }), /^keys: expected either/],
  [
    'two encryption keys',
    () => ({ keys: { encryption_key_file: 'key', encryption_key_env: 'KEY' } }),
    /^keys: expected either/,
  ],
  [
    'a variable that is not set',
    () => ({ keys: { encryption_key_env: 'KEY' } }),
    /^keys\.encryption_key_env: .*KEY is not set/,
  ],
  ['an http IdP elsewhere', () => idp({ issuer: 'http://idp.example.com' }), /^identity_provider\.issuer: expected/],
  ['no openid scope', () => idp({ scopes: ['email'] }), /^identity_provider\.scopes: .*"openid"/],
  ['a scope with a space', () => idp({ scopes: ['openid', 'a b'] }), /^identity_provider\.scopes: .*"a b" in it/],
  ['no allowed_groups', () => idp({ allowed_groups: undefined }), /^identity_provider\.allowed_groups: required/],
  ['empty allowed_groups', () => idp({ allowed_groups: [] }), /^identity_provider\.allowed_groups: .*an empty list/],
  ['no username_prefix', () => idp({ username_prefix: undefined }), /^identity_provider\.username_prefix: required/],
  ['a reserved prefix', () => idp({ groups_prefix: 'System:x' }), /^identity_provider\.groups_prefix: must not begin/],
  [
    'a symmetric algorithm',
    () => idp({ id_token_signing_algs: ['HS256'] }),
    /^identity_provider\.id_token_signing_algs: expected/,
  ],
  ['alg none', () => idp({ id_token_signing_algs: ['none'] }), /^identity_provider\.id_token_signing_algs: expected/],
  ['a wide clock_skew', () => idp({ clock_skew: '5m' }), /^identity_provider\.clock_skew: expected/],
  [
    'a public redirect_host',
    () => idp({ redirect_host: '0.0.0.0' }),
    /^identity_provider\.redirect_host: expected "127/,
  ],
  ['a port twice', () => idp({ redirect_ports: [1, 1] }), /^identity_provider\.redirect_ports: .* 1 twice/],
  [
    'device_grant as text',
    () => idp({ device_grant: 'no' }),
    /^identity_provider\.device_grant: expected true or false/,
  ],
  ['a key as CA', () => idp({ ca_file: 'tls.key' }), /^identity_provider\.ca_file: tls\.key: holds a private key/],
  ['anything as CA', () => idp({ ca_file: 'key' }), /^identity_provider\.ca_file: key: holds no certificate/],
  ['a CA that is not there', () => idp({ ca_file: 'gone' }), /^identity_provider\.ca_file: gone: no such file/],
  ['a cluster name in capitals', () => cluster({ name: 'Prod' }), /^clusters\[0\]\.name: expected/],
  ['a cluster name of 64', () => cluster({ name: 'a'.repeat(64) }), /^clusters\[0\]\.name: expected/],
  ['a cluster name twice', () => cluster({ name: 'dev' }), /^clusters\[1\]\.name: is there twice/],
  ['an audience twice', () => cluster({ audience: 'dev' }), /^clusters\[1\]\.audience: belongs to another/],
  [
    'the issuer as audience',
    () => cluster({ audience: SETTINGS.issuer }),
    /^clusters\[0\]\.audience: must differ from issuer/,
  ],
  [
    'the client as audience',
    () => cluster({ audience: 'curfew' }),
    /^clusters\[0\]\.audience: must differ from identity_provider/,
  ],
  ['an http API server', () => cluster({ server: 'http://127.0.0.1:1' }), /^clusters\[0\]\.server: expected an https/],
  ['an empty ceiling', () => cluster({ ceiling: {} }), /^clusters\[0\]\.ceiling: expected/],
  [
    'no allowed_groups of a cluster',
    () => cluster({ allowed_groups: undefined }),
    /^clusters\[0\]\.allowed_groups: required/,
  ],
  ['labels as a list', () => cluster({ labels: ['env'] }), /^clusters\[0\]\.labels: expected labels such as/],
  ['a label that is a number', () => cluster({ labels: { tier: 1 } }), /^clusters\[0\]\.labels: expected labels/],
  ['a label without a name', () => cluster({ labels: { '': 'a' } }), /^clusters\[0\]\.labels: expected labels/],
  [
    'a webhook that says nothing of failure',
    () => cluster({ webhook: { token_file: 'key' } }),
    /^clusters\[0\]\.webhook\.on_failure: required: "deny" or "no_opinion"/,
  ],
  [
    'a webhook that fails open by another word',
    () => cluster({ webhook: { token_file: 'key', on_failure: 'allow' } }),
    /^clusters\[0\]\.webhook\.on_failure: expected "deny" or "no_opinion", got "allow"/,
  ],
  [
    'a webhook without a token',
    () => cluster({ webhook: { on_failure: 'deny' } }),
    /^clusters\[0\]\.webhook\.token_file: required/,
  ],
  [
    'a webhook whose token is not there',
    () => cluster({ webhook: { token_file: 'gone', on_failure: 'deny' } }),
    /^clusters\[0\]\.webhook\.token_file: gone: no such file/,
  ],
  [
    'a webhook with a token that is a word',
    () => cluster({ webhook: { token_file: 'ca.crt', on_failure: 'deny' } }),
    /^clusters\[0\]\.webhook\.token_file: expected 32 random bytes/,
  ],
  [
    'two webhooks with one token',
    () => ({
      clusters: [prod, dev].map((one) => ({ ...one, webhook: { token_file: 'key', on_failure: 'deny' } })),
    }),
    /^clusters\[1\]\.webhook\.token_file: holds the token of another cluster$/,
  ],
  [
    'a webhook that authenticates maybe',
    () => cluster({ webhook: { token_file: 'key', on_failure: 'deny', authentication: 'yes' } }),
    /^clusters\[0\]\.webhook\.authentication: expected true or false/,
  ],
  ['admins without groups', () => ({ admins: { limits: { max_age: '15m' } } }), /^admins\.groups: required/],
  [
    'admins without a fresh login',
    () => ({ admins: { groups: ['a'], limits: {} } }),
    /^admins\.limits\.max_age: required/,
  ],
  [
    'admins with a token_ttl',
    () => ({ admins: { groups: ['a'], limits: { max_age: '15m', token_ttl: '1m' } } }),
    /^admins\.limits\.token_ttl: unknown setting/,
  ],
  [
    'admins that nobody can be',
    () => ({
      admins: { groups: ['a'], limits: { max_age: '15m', acr: ['hwk'] } },
      ...policy({ limits: { ...SETTINGS.policy.limits, acr: ['mfa'] } }),
    }),
    /^admins\.limits\.acr: none of these would satisfy policy\.limits as well/,
  ],
  ['metrics by name', () => ({ metrics: { address: 'a.b', port: 9090 } }), /^metrics\.address: expected an IP address/],
  ['metrics without a port', () => ({ metrics: { address: '127.0.0.1' } }), /^metrics\.port: required/],
  ['one hook', () => ({ hooks: { url: 'https://a.example' } }), /^hooks: expected a list, got a mapping/],
  [
    'a hook over plain HTTP',
    () => ({ hooks: [{ url: 'http://hooks.example.com/a', secret_file: 'key' }] }),
    /^hooks\[0\]\.url: expected an https URL/,
  ],
  [
    'a hook without a secret',
    () => ({ hooks: [{ url: 'https://hooks.example.com/a' }] }),
    /^hooks\[0\]\.secret_file: required/,
  ],
  [
    'a hook whose secret others can read',
    () => ({ hooks: [{ url: 'https://hooks.example.com/a', secret_file: 'open' }] }),
    /^hooks\[0\]\.secret_file: open can be read by others/,
  ],
  [
    'a hook with a key as CA',
    () => ({ hooks: [{ url: 'https://hooks.example.com/a', secret_file: 'key', ca_file: 'tls.key' }] }),
    /^hooks\[0\]\.ca_file: tls\.key: holds a private key/,
  ],
  [
    'limits that are not whole',
    () => policy({ limits: { max_age: '1h', token_ttl: '1m' } }),
    /^policy\.limits\.inactivity_timeout: required/,
  ],
  [
    'a duration in words',
    () => policy({ limits: { ...SETTINGS.policy.limits, max_age: '15 min' } }),
    /^policy\.limits\.max_age: expected a duration such as "15m", got "15 min"$/,
  ],
  [
    'a duration as number',
    () => policy({ limits: { ...SETTINGS.policy.limits, max_age: 900 } }),
    /^policy\.limits\.max_age: expected a duration such as "15m", got 900$/,
  ],
  [
    'a segment without limits',
    () => policy({ segments: [{ name: 'a', match: { clusters: ['*'] }, limits: {} }] }),
    /^policy\.segments\[0\]\.limits: expected at least one/,
  ],
  [
    'an empty acr',
    () => policy({ segments: [{ name: 'a', match: { clusters: ['*'] }, limits: { acr: [] } }] }),
    /^policy\.segments\[0\]\.limits\.acr: .*an empty list/,
  ],
  [
    'a segment twice',
    () => policy({ segments: [...SETTINGS.policy.segments, ...SETTINGS.policy.segments] }),
    /^policy\.segments\[1\]\.name: is there twice/,
  ],
  [
    'acr sets that exclude each other',
    () =>
      policy({
        segments: [...SETTINGS.policy.segments, { name: 'b', match: { clusters: ['*'] }, limits: { acr: ['pwd'] } }],
      }),
    /^clusters\[0\]: the segments that match leave no acr/,
  ],
  [
    'a token_ttl that hides idleness',
    () => policy({ segments: [{ name: 'a', match: { clusters: ['dev'] }, limits: { inactivity_timeout: '9m' } }] }),
    /^clusters\[1\]: token_ttl \(5m\) must be at most half of inactivity_timeout \(9m\)/,
  ],
];

describe('a configuration is refused for', () => {
  for (const [what, changes, fault] of FAULTS) {
    test(what, async () => {
      const faults = await config.faults(changes(), OPEN);
      assert.equal(faults.length, 1, faults.join('\n'));
      assert.match(faults[0] ?? '', fault);
    });
  }
});

describe('whatever stands in the file', () => {
  const refusedOrLoaded = async (loading: Promise<unknown>) => {
    await loading.catch((error: unknown) => {
      assert.ok(error instanceof CurfewError && error.code === 'configuration', String(error));
    });
  };

  test('any text is loaded or refused as a configuration', async () => {
    await fc.assert(fc.asyncProperty(fc.string({ unit: 'binary' }), (text) => refusedOrLoaded(config.loadText(text))));
  });

  test('any data in any place is loaded or refused as a configuration', async () => {
    const places = pathsOf(SETTINGS);
    assert.ok(places.length > 50);
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...places), fc.jsonValue(), (place, value) =>
        refusedOrLoaded(config.load(replaced(SETTINGS, place, value) as Settings)),
      ),
    );
  });

  test('a value that is refused is refused by its own path', async () => {
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...pathsOf(SETTINGS.policy.limits)), fc.jsonValue(), async (place, value) => {
        const faults = await config.faults(policy({ limits: replaced(SETTINGS.policy.limits, place, value) }));
        for (const fault of faults) assert.match(fault, /^policy\.limits\.|^clusters\[\d\]: token_ttl/);
      }),
    );
  });
});

function pathsOf(value: unknown, at: readonly string[] = []): string[][] {
  if (typeof value !== 'object' || value === null) return [[...at]];
  const inner = Object.entries(value).flatMap(([key, child]) => pathsOf(child, [...at, key]));
  return at.length > 0 ? [[...at], ...inner] : inner;
}

function replaced(tree: unknown, [step, ...rest]: readonly string[], value: unknown): unknown {
  if (step === undefined) return value;
  if (Array.isArray(tree)) return tree.map((child, i) => (String(i) === step ? replaced(child, rest, value) : child));
  const mapping = tree as Record<string, unknown>;
  return { ...mapping, [step]: replaced(mapping[step], rest, value) };
}
