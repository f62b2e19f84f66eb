// The broker's configuration: what is taken, what is refused, and in which words.

import assert from 'node:assert/strict';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import { inspect } from 'node:util';
import fc from 'fast-check';
import { readRegularFile } from '../../broker/config/files.ts';
import { clusterLimits, loadConfig } from '../../broker/config.ts';
import { CurfewError } from '../../shared/errors.ts';
import { seconds } from '../../shared/time.ts';
import { type ConfigFiles, FOLDER, makeConfigFiles, SETTINGS, type Settings } from './config_files.ts';

let config: ConfigFiles;
before(async () => {
  config = await makeConfigFiles();
});

const idp = (changes: Settings) => ({ identity_provider: { ...SETTINGS.identity_provider, ...changes } });
const [prod, dev] = SETTINGS.clusters;
const cluster = (changes: Settings) => ({ clusters: [{ ...prod, ...changes }, dev] });
const policy = (changes: Settings) => ({ policy: { ...SETTINGS.policy, ...changes } });

describe('a whole configuration', () => {
  test('is loaded with its certificates, paths, durations and defaults', async () => {
    const loaded = await config.load();
    assert.equal(loaded.file, `${FOLDER}/config.yaml`);
    assert.equal(loaded.issuer_ca, config.files['ca.crt']);
    assert.equal(loaded.identity_provider.ca, config.files['ca.crt']);
    assert.equal(loaded.clusters[1]?.ca, config.files['ca.crt']);
    assert.deepEqual(loaded.listen.tls, { cert_file: `${FOLDER}/tls.crt`, key_file: `${FOLDER}/tls.key` });
    assert.equal(loaded.store.sqlite.file, `${FOLDER}/curfew.db`);
    assert.equal(loaded.policy.limits.max_age, 43_200);
    const { clock_skew, device_grant, redirect_host, redirect_ports, id_token_signing_algs } = loaded.identity_provider;
    assert.deepEqual(
      { clock_skew, device_grant, redirect_host, redirect_ports, id_token_signing_algs },
      {
        clock_skew: 5,
        device_grant: false,
        redirect_host: '127.0.0.1',
        redirect_ports: [],
        id_token_signing_algs: ['RS256', 'PS256', 'ES256'],
      },
    );
  });

  test('is frozen all the way down, and shows no key when printed', async () => {
    const loaded = await config.load();
    assert.ok(Object.isFrozen(loaded.policy.segments[0]?.limits.acr));
    assert.ok(Object.isFrozen(loaded.clusters[0]?.ceiling));
    assert.equal(loaded.encryption_key.symmetricKeySize, 32);
    const key = Buffer.alloc(32, 7);
    for (const shown of [JSON.stringify(loaded), inspect(loaded, { depth: 9, showHidden: true })]) {
      assert.ok(!shown.includes(key.toString('base64')) && !shown.includes(key.toString('hex')));
    }
  });

  test('gives each cluster the minimum of policy, segment, ceiling and what the caller asks for', async () => {
    const loaded = await config.load();
    const [first, second] = loaded.clusters;
    assert.ok(first && second);
    assert.equal(clusterLimits(loaded, first).target.max_age, 900);
    assert.equal(clusterLimits(loaded, first).segment, 'prod');
    assert.equal(clusterLimits(loaded, first, seconds(60)).target.max_age, 60);
    assert.equal(clusterLimits(loaded, first, seconds(9999)).target.max_age, 900);
    assert.equal(clusterLimits(loaded, second).target.max_age, 43_200);
    assert.equal(clusterLimits(loaded, second).session.max_age, 43_200);
  });
});

/** Settings replaced, and the beginning of the one fault that they must bring. */
const FAULTS: readonly (readonly [string, () => Settings, RegExp])[] = [
  ['an http issuer', () => ({ issuer: 'http://127.0.0.1:1' }), /^issuer: expected an https URL/],
  ['an issuer with a query', () => ({ issuer: 'https://a.example/?x' }), /^issuer: expected an https URL/],
  ['an issuer with a fragment', () => ({ issuer: 'https://a.example/#' }), /^issuer: expected an https URL/],
  ['an issuer with a final slash', () => ({ issuer: 'https://a.example/' }), /^issuer: expected an https URL/],
  ['an issuer that is the IdP', () => ({ issuer: 'https://idp.example.com' }), /^issuer: must differ/],
  ['no policy', () => ({ policy: undefined }), /^policy: required/],
  ['no store', () => ({ store: undefined }), /^store: required/],
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
  ['a cluster name twice', () => cluster({ name: 'dev' }), /^clusters\[1\]\.name: stands there twice/],
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
    /^policy\.segments\[1\]\.name: stands there twice/,
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
      const faults = await config.faults(changes());
      assert.equal(faults.length, 1, faults.join('\n'));
      assert.match(faults[0] ?? '', fault);
    });
  }
});

describe('a setting without a feature yet', () => {
  const match = { clusters: ['*'], namespaces: ['a'] };
  const FUTURE: readonly (readonly [string, Settings])[] = [
    ...['metrics', 'admins', 'ssf', 'hooks', 'log'].map((key) => [key, { [key]: {} }] as const),
    ...['webhook', 'api_servers', 'credential', 'service_accounts'].map(
      (key) => [`clusters[0].${key}`, cluster({ [key]: {} })] as const,
    ),
    ['policy.rules', policy({ rules: [] })],
    ['store.postgres', { store: { sqlite: { file: 'a' }, postgres: {} } }],
    ['policy.segments[0].match.namespaces', policy({ segments: [{ name: 'a', match, limits: { max_age: '1m' } }] })],
  ];
  for (const [path, changes] of FUTURE) {
    test(`is refused with its path: ${path}`, async () => {
      assert.deepEqual(await config.faults(changes), [`${path}: not available in this version`]);
    });
  }

  test('is told from one that nobody knows', async () => {
    assert.deepEqual(await config.faults({ isuer: 'x' }), ['isuer: unknown setting']);
    assert.deepEqual(await config.faults(idp({ 'client id': 'x' })), [
      'identity_provider."client id": unknown setting',
    ]);
  });
});

describe('the parts of a configuration', () => {
  test('are all looked at: each fault is listed, with the file named once', async () => {
    const changes = {
      issuer: 1,
      foo: 1,
      keys: {},
      ...idp({ client_id: '', ca_file: 7 }),
      ...cluster({ name: '', x: 1 }),
    };
    const faults = await config.faults(changes);
    assert.deepEqual(
      faults.map((line) => line.split(': ')[0]),
      [
        'foo',
        'issuer',
        'identity_provider.client_id',
        'identity_provider.ca_file',
        'clusters[0].name',
        'clusters[0].x',
        'keys',
      ],
    );
    await assert.rejects(config.load(changes), (error: Error) =>
      error.message.startsWith(`${FOLDER}/config.yaml: 7 faults\n`),
    );
  });

  test('may leave out TLS on a loopback address, CA files and prefixes', async () => {
    const plain = { address: '127.0.0.1', port: 0 };
    assert.deepEqual(await config.faults({ listen: plain }), []);
    assert.deepEqual(await config.faults({ listen: { ...plain, address: '::1' } }), []);
    assert.deepEqual(await config.faults({ issuer_ca_file: undefined, ...cluster({ ca_file: undefined }) }), []);
    assert.deepEqual(await config.faults(idp({ username_prefix: '', groups_prefix: '' })), []);
    assert.deepEqual(await config.faults(idp({ issuer: 'http://127.0.0.1:4000', ca_file: undefined })), []);
  });
});

describe('the encryption key', () => {
  const fromEnv = { keys: { encryption_key_env: 'KEY' } };

  test('is taken as base64 or hex, from a file or the environment', async () => {
    const bytes = Buffer.alloc(32, 9);
    for (const text of [bytes.toString('hex'), bytes.toString('base64'), `${bytes.toString('base64')}\n`]) {
      const fromFile = await config.load({}, { key: text });
      const fromVariable = await config.load(fromEnv, {}, { KEY: text });
      assert.ok(fromFile.encryption_key.export().equals(bytes) && fromVariable.encryption_key.export().equals(bytes));
    }
  });

  test('of another length is refused, and does not stand in the error', async () => {
    for (const text of ['', 'c2hvcnQ=', Buffer.alloc(31, 9).toString('hex'), Buffer.alloc(33, 9).toString('base64')]) {
      const faults = [
        ...(await config.faults({}, { key: text })),
        ...(await config.faults(fromEnv, {}, { KEY: text })),
      ];
      assert.equal(faults.length, 2);
      assert.ok(text === '' || !faults.join().includes(text));
    }
  });

  test('written where its file belongs is refused, and does not stand in the error', async () => {
    const key = Buffer.alloc(32, 9).toString('base64');
    const faults = await config.faults({ keys: { encryption_key_file: key } });
    assert.equal(faults.length, 1);
    assert.ok(!faults.join().includes(key));
  });

  test('in a file that others can read is refused, with the way out', async () => {
    const text = Buffer.alloc(32, 9).toString('hex');
    for (const mode of [0o640, 0o604, 0o644, 0o660]) {
      assert.match(
        (await config.faults({}, { key: { text, mode } }))[0] ?? '',
        /^keys\.encryption_key_file: .*chmod 600/,
      );
    }
    for (const mode of [0o400, 0o600]) assert.deepEqual(await config.faults({}, { key: { text, mode } }), []);
  });
});

describe('a file', () => {
  test('that is not there, a folder, or too large is refused by name and reason', async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'curfew-files-'));
    try {
      const [large, open] = [path.join(folder, 'large'), path.join(folder, 'open')];
      await writeFile(large, Buffer.alloc(1024 * 1024 + 1));
      await writeFile(open, 'text');
      await chmod(open, 0o644);
      assert.deepEqual(await readRegularFile(open), { text: 'text', mode: 0o644 });
      await assert.rejects(readRegularFile(large), /larger than 1 MiB/);
      await assert.rejects(readRegularFile(folder), /no regular file/);
      await assert.rejects(readRegularFile('/dev/zero'), /no regular file/);
      await assert.rejects(
        loadConfig(path.join(folder, 'gone.yaml'), { env: {} }),
        isFault(/gone\.yaml: no such file/),
      );
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describe('YAML', () => {
  test('with duplicate keys, tags, several documents or broken syntax is refused with line and column', async () => {
    for (const text of ['a: 1\na: 2', 'a: !foo 1', 'a: 1\n---\nb: 2', 'a: [', '\ta: 1', '? [a]\n: 1']) {
      const faults = await config.faultsOfText(text);
      assert.ok(
        faults.length > 0 && faults.some((fault) => /^line \d+, column \d+: /.test(fault)),
        `${text}: ${faults}`,
      );
    }
  });

  test('that is no mapping, or a bomb of aliases, is refused', async () => {
    for (const text of ['', 'a', '[]', '1', 'null']) {
      assert.match((await config.faultsOfText(text))[0] ?? '', /expected a mapping of settings/);
    }
    assert.match((await config.faultsOfText('a: *b'))[0] ?? '', /Unresolved alias/);
    const bomb = ['a0: &a0 [x, x]', ...Array.from({ length: 30 }, (_, i) => `a${i + 1}: &a${i + 1} [*a${i}, *a${i}]`)];
    assert.equal((await config.faultsOfText(bomb.join('\n'))).length, 1);
  });
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

function isFault(message: RegExp) {
  return (error: unknown) =>
    error instanceof CurfewError && error.code === 'configuration' && message.test(error.message);
}
