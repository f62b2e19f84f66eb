// `secret_storage` (P8): where a person wants the secrets, they are, and nowhere else; what cannot be had so is said before
// anybody logs in, and a login that succeeded never fails because it could not be kept.

import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { after, afterEach, before, describe, it } from 'node:test';
import { createKeychain } from '../../cli/secrets/keychain.ts';
import { SecretFault } from '../../cli/secrets/secret.ts';
import { createSecrets } from '../../cli/secrets/secrets.ts';
import { fileName } from '../../cli/warm/paths.ts';
import { generateKey } from '../../cli/wire/dpop.ts';
import { credentialOf, type Desk, openDesk, readJson, refusalOf } from './desk.ts';
import { temporaryFolder, testHost } from './host.ts';
import { type Keyring, startKeyring } from './keyring.ts';

describe('secret_storage', () => {
  let desk: Desk;
  let keyring: Keyring;
  let runtime: string;
  let env: Record<string, string | undefined>;
  before(async () => {
    desk = await openDesk();
    keyring = await startKeyring(`${desk.dir}/keyring`);
    runtime = keyring.env.XDG_RUNTIME_DIR ?? '';
    env = { ...keyring.env };
  });
  afterEach(async () => {
    keyring.resume();
    await desk.curfew(['logout', '--broker', desk.url, '--ca-file', desk.ca_file], env);
  });
  after(async () => {
    keyring.resume();
    await keyring.stop();
    await desk.stop();
  });

  const want = (secret_storage: string | undefined) => {
    mkdirSync(`${desk.dir}/config`, { recursive: true, mode: 0o700 });
    const config = { brokers: {}, default: desk.url, secret_storage };
    writeFileSync(`${desk.dir}/config/config.json`, JSON.stringify(config), { mode: 0o600 });
  };
  const login = () => desk.curfew(['login', '--ca-file', desk.ca_file], env);
  const secrets = async () => JSON.parse((await desk.curfew(['status', '-o', 'json'], env)).stdout).brokers[0].secrets;
  const filesIn = (directory: string) =>
    existsSync(directory)
      ? readdirSync(directory, { recursive: true })
          .map(String)
          .filter((name) => name.endsWith('.json'))
      : [];
  /** But for what came of the last try of the keychain, which is nothing of a login. */
  const keptInConfig = () => filesIn(`${desk.dir}/config`).filter((file) => file !== 'keychain.json');
  const name = () => `${fileName(desk.url)}.json`;

  it('file: the keychain is not touched, though it works', async () => {
    want('file');
    keyring.hang();
    const { code, stderr } = await login();
    assert.equal(code, 0, stderr);
    assert.doesNotMatch(stderr, /keychain|kept/);
    const kept = await secrets();
    assert.deepEqual([kept.kept_in, kept.why], ['file', undefined]);
    credentialOf(await desk.getToken('dev', false, { env }));
  });

  it('keychain: never a file; a login that cannot be kept succeeds, and says so (P8)', async () => {
    want('keychain');
    assert.equal((await login()).code, 0);
    assert.equal((await secrets()).kept_in, 'keychain');
    assert.ok(!filesIn(`${desk.dir}/config/secrets`).length, 'the file of before is gone');
    keyring.hang();
    const { code, stdout, stderr } = await login();
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^logged in as /);
    assert.match(stderr, /^curfew: the login cannot be kept: the keychain did not answer within 3s$/m);
    assert.deepEqual(filesIn(`${desk.dir}/config/secrets`), []);
    keyring.resume();
    assert.deepEqual(filesIn(`${desk.dir}/config/sessions`), []);
    assert.equal(refusalOf(await desk.getToken('dev', false, { env })).error, 'not logged in');
  });

  it('keychain: what a file held before is gone, also when the keychain does not take the login', async () => {
    want('file');
    assert.equal((await login()).code, 0);
    want('keychain');
    keyring.hang();
    assert.equal((await login()).code, 0);
    keyring.resume();
    assert.deepEqual(keptInConfig(), ['config.json']);
  });

  it('a change of it leaves no session behind: a logout ends what was kept elsewhere, a login replaces it', async () => {
    const ends = () =>
      desk.broker
        .audit()
        .filter(({ event }) => event === 'end')
        .map(({ reason }) => reason);
    const memory = { ...keyring.env, CURFEW_CACHE_DIR: undefined };
    want('file');
    env = { ...keyring.env };
    assert.equal((await login()).code, 0);
    want('memory');
    const before = ends().length;
    const { code, stdout } = await desk.curfew(['logout', '--ca-file', desk.ca_file], memory);
    assert.deepEqual([code, stdout], [0, `logged out of ${desk.url}\n`]);
    assert.deepEqual(ends().slice(before), ['logout']);
    assert.deepEqual(keptInConfig(), ['config.json']);
    want('file');
    assert.equal((await login()).code, 0);
    want('memory');
    env = memory;
    assert.equal((await login()).code, 0);
    assert.equal(ends().at(-1), 'replaced');
    assert.deepEqual(keptInConfig(), ['config.json']);
  });

  it('a login here and one elsewhere, neither of which knew of the other, are both ended by a logout', async () => {
    const memory = { ...keyring.env, CURFEW_CACHE_DIR: undefined };
    const ends = () => desk.broker.audit().filter(({ event, reason }) => event === 'end' && reason === 'logout').length;
    want('memory');
    env = memory;
    assert.equal((await login()).code, 0);
    want('file');
    env = { XDG_RUNTIME_DIR: undefined };
    assert.equal((await login()).code, 0);
    want('memory');
    env = memory;
    const before = ends();
    const { code, stdout } = await desk.curfew(['logout', '--ca-file', desk.ca_file], memory);
    assert.deepEqual([code, stdout, ends() - before], [0, `logged out of ${desk.url}\n`, 2]);
    assert.deepEqual(keptInConfig(), ['config.json']);
  });

  it('memory: nothing is outside the runtime directory, and a logout leaves no session there', async () => {
    want('file');
    assert.equal((await login()).code, 0);
    want('memory');
    env = { ...keyring.env, CURFEW_CACHE_DIR: undefined };
    const result = await login();
    assert.equal(result.code, 0, result.stderr);
    credentialOf(await desk.getToken('dev', false, { env }));
    assert.equal((await secrets()).kept_in, 'memory');
    assert.deepEqual(keptInConfig(), ['config.json'], 'what the file storage had is gone');
    const inside = filesIn(`${runtime}/curfew`);
    for (const folder of ['secrets', 'sessions']) assert.ok(inside.includes(`${folder}/${name()}`), inside.join());
    const { handle } = await readJson(`${runtime}/curfew/secrets/${name()}`);
    assert.equal(typeof handle, 'string');
    assert.equal((await desk.curfew(['logout', '--ca-file', desk.ca_file], env)).code, 0);
    assert.equal((await readJson(`${runtime}/curfew/secrets/${name()}`)).handle, undefined);
    assert.equal(refusalOf(await desk.getToken('dev', false, { env })).error, 'logged out');
  });

  it('memory: without a runtime directory, or with the cache outside it, nothing begins: exit 78', async () => {
    want('memory');
    const visits = desk.browser.visits().length;
    for (const [more, error] of [
      [{ XDG_RUNTIME_DIR: undefined }, /^secret_storage: memory needs XDG_RUNTIME_DIR/],
      [{ XDG_RUNTIME_DIR: `${desk.dir}/gone` }, /^secret_storage: memory needs XDG_RUNTIME_DIR/],
      [{ CURFEW_CACHE_DIR: `${desk.dir}/cache` }, /^secret_storage: memory needs the cache beneath /],
    ] as const) {
      const given = { ...keyring.env, CURFEW_CACHE_DIR: undefined, ...more };
      for (const result of [
        await desk.curfew(['login', '--ca-file', desk.ca_file], given),
        await desk.getToken('dev', true, { env: given }),
        await desk.getToken('dev', false, { env: given }),
      ]) {
        assert.equal(result.code, 78, result.stderr);
        assert.match(refusalOf(result).error, error);
      }
    }
    assert.equal(desk.browser.visits().length, visits);
  });

  it('is one of three: exit 78, and the file is named', async () => {
    want('pocket');
    const result = await login();
    assert.equal(result.code, 78);
    assert.match(refusalOf(result).error, /config\.json: secret_storage: expected one of keychain, file, memory$/);
    want(undefined);
  });
});

describe('a keychain', () => {
  const secret = { dpop_private_jwk: generateKey(), handle: 'h'.repeat(43) };
  const refresh = { issuer: 'https://idp.example.com', refresh_token: 'r'.repeat(2_400) };

  /** In place of keytar: it keeps what it is given in a file, after `before` has run. */
  const hostWith = (platform: NodeJS.Platform, before: string) => {
    const bundles = temporaryFolder('bundles');
    const script = `
      const fs = require('node:fs'), { action, password } = JSON.parse(fs.readFileSync(0, 'utf8'));
      fs.appendFileSync('${bundles}/calls', action + '\\n');
      ${before}
      if (action === 'save') fs.writeFileSync('${bundles}/value', password);
      const value = fs.existsSync('${bundles}/value') ? fs.readFileSync('${bundles}/value', 'utf8') : null;
      fs.writeSync(1, JSON.stringify({ value }));`;
    writeFileSync(`${bundles}/keychain.cjs`, script);
    const host = { ...testHost({ DBUS_SESSION_BUS_ADDRESS: 'unix:path=/here' }), platform, bundles };
    const read = (what: string) => (existsSync(`${bundles}/${what}`) ? readFileSync(`${bundles}/${what}`, 'utf8') : '');
    return { host, value: () => read('value'), calls: () => read('calls').split('\n').filter(Boolean) };
  };

  it('of Windows gets no more than 2,560 bytes: the refresh token is left out, said once, never the handle (P8)', async () => {
    const { host, value } = hostWith('win32', '');
    await createKeychain(host).save('https://b', { ...secret, refresh });
    assert.ok(Buffer.byteLength(value()) <= 2_560);
    assert.deepEqual([JSON.parse(value()).handle, JSON.parse(value()).refresh], [secret.handle, undefined]);
    assert.equal(host.said.length, 1);
    const elsewhere = hostWith('linux', '');
    await createKeychain(elsewhere.host).save('https://b', { ...secret, refresh });
    assert.deepEqual(JSON.parse(elsewhere.value()).refresh, refresh);
  });

  it('that refuses a large value, or gives another back, does not count: a file does, said once (P8)', async () => {
    for (const before of [
      "if (password?.length > 200) throw new Error('too large');",
      "if (action === 'save') process.exit(1);",
    ]) {
      const { host } = hostWith('linux', before);
      assert.equal(await createSecrets(host).save('https://b', secret, undefined), 'file');
      assert.match(
        host.said.join('\n'),
        /^there is no working keychain: the login is kept in \S+, readable by you alone$/,
      );
      assert.deepEqual(await createSecrets(host).load('https://b', 'file'), secret);
    }
  });

  it('that failed is not asked again on the same bus for a day, and at once on another (P8)', async () => {
    const { host, calls } = hostWith('linux', 'process.exit(1);');
    for (let i = 0; i < 3; i++) await createSecrets(host).save('https://b', secret, 'file');
    assert.deepEqual(calls(), ['save']);
    const other = { ...host, env: { ...host.env, DBUS_SESSION_BUS_ADDRESS: 'unix:path=/there' } };
    await createSecrets(other).save('https://b', secret, 'file');
    assert.deepEqual(calls(), ['save', 'save']);
    const tomorrow = { ...other, now: () => (other.now() + 86_400) as ReturnType<typeof host.now> };
    await createSecrets(tomorrow).save('https://b', secret, 'file');
    assert.equal(calls().length, 3);
    await createSecrets(host, 'keychain').save('https://b', secret, 'file');
    assert.equal(calls().length, 4, 'who wants the keychain has it tried');
  });

  it('that hangs at a save alone is given up after its 3 s, and remembered (P8)', async () => {
    const { host, calls } = hostWith(
      'linux',
      "if (action === 'save') setTimeout(() => {}, 60000), (() => { while (true); })();",
    );
    await createSecrets(host).save('https://b', secret, undefined);
    assert.match(host.said.join('\n'), /^the keychain did not answer within 3s: the login is kept in /);
    await createSecrets(host).save('https://c', secret, undefined);
    assert.deepEqual(calls(), ['save']);
    await assert.rejects(createKeychain(host).save('https://b', secret), SecretFault);
  });
});
