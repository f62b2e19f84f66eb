// H5 for the plugin: what it holds for a person is in no output, and in no argument or environment of any process that it starts, in each
// way to log in and to keep a login.

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { secretFile } from '../../cli/secrets/file.ts';
import { parseSecret } from '../../cli/secrets/secret.ts';
import { type RunResult, run } from '../../scripts/run.ts';
import { assertNowhere, type Secrets } from '../support/secrets.ts';
import { credentialOf, type Desk, execInfo, openDesk } from './desk.ts';
import { type Keyring, startKeyring } from './keyring.ts';

describe('what the plugin holds for a person', () => {
  let desk: Desk;
  let keyring: Keyring;
  const [outputs, programs]: [string[], string[]] = [[], []];
  let traces = 0;
  before(async () => {
    const policy = { limits: { max_age: '1h', inactivity_timeout: '30m', token_ttl: '5m', revalidate: '10m' } };
    const identityProvider = { scopes: ['openid', 'email', 'groups', 'offline_access'] };
    desk = await openDesk({ policy }, { identityProvider, idp: { refreshTokens: true } });
    keyring = await startKeyring(`${desk.dir}/keyring`);
  });
  after(async () => {
    await keyring?.stop();
    await desk?.stop();
  });

  /** Runs the plugin, and notes each program that is started with its arguments and environment. */
  async function traced(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<RunResult> {
    traces += 1;
    const file = path.join(desk.dir, `trace-${traces}`);
    const strace = ['-f', '-qq', '-v', '-s', '100000', '-e', 'trace=execve,execveat', '-e', 'signal=none', '-o', file];
    const result = await run('strace', [...strace, ...desk.command, ...args], {
      env: { ...desk.env, BROWSER: desk.browser.command, ...env },
      timeout: 120_000,
    });
    outputs.push(result.stderr, args[0] === 'get-token' ? '' : result.stdout);
    programs.push(readFileSync(file, 'utf8'));
    return result;
  }
  const want = (secret_storage: string) => {
    mkdirSync(`${desk.dir}/config`, { recursive: true, mode: 0o700 });
    const file = `${desk.dir}/config/config.json`;
    const config = JSON.parse(readFileSync(file, 'utf8'));
    writeFileSync(file, JSON.stringify({ ...config, default: desk.url, secret_storage }), { mode: 0o600 });
  };
  const trust = () => ['--ca-file', desk.ca_file];
  const getToken = async (env: Readonly<Record<string, string>>) => {
    const result = await traced(['get-token', '--broker', desk.url, '--cluster', 'dev', ...trust()], {
      ...{ KUBERNETES_EXEC_INFO: execInfo(false), ...env },
    });
    return credentialOf(result).token;
  };
  /** What is kept in a file, wherever else it was before. */
  const kept = (): Secrets => {
    const secret = parseSecret(readFileSync(secretFile(`${desk.dir}/config`, desk.url), 'utf8'));
    assert.ok(secret?.handle !== undefined && secret.refresh);
    const { dpop_private_jwk: jwk, handle, refresh } = secret;
    return { 'private key': String(jwk.d), handle, 'refresh token': refresh.refresh_token };
  };

  it('is in no output, argument or environment of what it starts, in a file and in a keychain (H5)', async () => {
    const secrets: Record<string, Secrets> = {};
    for (const storage of ['keychain', 'file']) {
      want(storage);
      const env = { ...keyring.env };
      const login = await traced(['login', '--cluster', 'dev', ...trust()], env);
      assert.equal(login.code, 0, login.stderr);
      const token = await getToken(env);
      for (const command of [['status'], ['status', '-o', 'json'], ['sessions', 'list', ...trust()]])
        await traced(command, env);
      await traced(['get-token', '--broker', desk.url, '--cluster', 'nowhere', ...trust()], {
        ...env,
        KUBERNETES_EXEC_INFO: execInfo(false),
      });
      secrets[storage] = { token, ...(storage === 'file' && kept()) };
    }
    // The key outlives logins: it is the one of the keychain too.
    const all = { ...secrets.file, 'token of before': String(secrets.keychain?.token) };
    const logout = await traced(['logout', ...trust()], { ...keyring.env });
    assert.equal(logout.code, 0, logout.stderr);
    const started = programs.join('\n');
    for (const program of ['keychain.cjs', desk.browser.command])
      assert.ok(started.includes(program), `${program} was not started`);
    assert.ok(started.includes('BROWSER=') && Object.keys(all).length === 5);
    assertNowhere(all, {
      outputs: outputs.join('\n'),
      'arguments and environments': started,
      'the log of the broker': desk.broker.output(),
    });
  });
});
