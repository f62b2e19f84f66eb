// The broker's configuration: what is taken, what is refused, and in which words.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import { inspect } from 'node:util';
import { clusterLimits } from '../../broker/config/clusters.ts';
import { loadConfig } from '../../broker/config/load.ts';
import { readTlsPair } from '../../serving/config/tls.ts';
import { readRegularFile, textOf } from '../../serving/files/regular_file.ts';
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

describe('a whole configuration', () => {
  test('is loaded with its certificates, paths, durations and defaults', async () => {
    const loaded = await config.load();
    assert.equal(loaded.file, `${FOLDER}/config.yaml`);
    assert.equal(loaded.issuer_ca, config.files['ca.crt']);
    assert.equal(loaded.identity_provider.ca, config.files['ca.crt']);
    assert.equal(loaded.clusters[1]?.ca, config.files['ca.crt']);
    assert.deepEqual(loaded.listen.tls, { cert_file: `${FOLDER}/tls.crt`, key_file: `${FOLDER}/tls.key` });
    assert.equal(loaded.store.sqlite?.file, `${FOLDER}/curfew.db`);
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

describe('a setting without a feature yet', () => {
  const FUTURE: readonly (readonly [string, Settings])[] = [['log', { log: {} }]];
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
  test('P11 that is not there, a folder, a FIFO, a device or too large is refused by name and reason', async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'curfew-files-'));
    try {
      const [large, open] = [path.join(folder, 'large'), path.join(folder, 'open')];
      await writeFile(large, Buffer.alloc(1024 * 1024 + 1));
      await writeFile(open, 'text');
      await chmod(open, 0o644);
      const { text, mode } = await readRegularFile(open);
      assert.deepEqual({ text, mode }, { text: 'text', mode: 0o644 });
      await assert.rejects(readRegularFile(large), /larger than 1 MiB/);
      await assert.rejects(readRegularFile(folder), /no regular file/);
      await assert.rejects(readRegularFile('/dev/zero'), /no regular file/);
      // P11 also what is read again while the broker runs: certificates, tokens for API servers and transmitters.
      const fifo = path.join(path.dirname(open), 'fifo');
      execFileSync('mkfifo', [fifo]);
      for (const name of [fifo, '/dev/zero', folder, large]) {
        assert.equal(await textOf(name), '');
        await assert.rejects(readTlsPair({ cert_file: name, key_file: open }), { code: 'configuration' });
      }
      assert.equal(await textOf(open), 'text');
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

function isFault(message: RegExp) {
  return (error: unknown) =>
    error instanceof CurfewError && error.code === 'configuration' && message.test(error.message);
}
