// Logins by device code (RFC 8628), with the grant of a certified provider, at a real terminal.

import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { CookieJar } from 'tough-cookie';
import { run } from '../../scripts/run.ts';
import { enterCode } from '../support/device_visit.ts';
import { addressLeftAt } from '../support/elsewhere.ts';
import { claimsOf } from '../support/holder.ts';
import { until } from '../support/patience.ts';
import { type Pty, runInPty } from '../support/pty.ts';
import { credentialOf, type Desk, execInfo, openDesk } from './desk.ts';

const ALICE = { user: 'alice', password: 'wonderland' };

const pasteAddress = async (pty: Pty): Promise<string> =>
  (await pty.waitFor(/(?<=log in, in any browser, at: )\S+[^\r\n]*/)).replace(/\s+/g, '');

describe('a login by device code', () => {
  let desk: Desk;
  before(async () => {
    desk = await openDesk({}, { idp: { device_grant: true }, identityProvider: { device_grant: true } });
  });
  beforeEach(() => {
    desk.idp.misbehave({});
    desk.idp.setClaims(null);
    desk.idp.setAuthTimeOffset(null, 0);
  });
  after(() => desk.stop());

  const env = { BROWSER: undefined, SSH_CONNECTION: '10.0.0.1 1 10.0.0.2 22', TERM: 'xterm', LANG: 'C.UTF-8' };
  const login = (more: readonly string[] = []): Pty =>
    desk.curfewAtTerminal(['login', '--broker', desk.url, '--ca-file', desk.ca_file, ...more], env);
  const shown = async (pty: Pty): Promise<[string, string]> => {
    const address = await pty.waitFor(/(?<=log in at: )\S+/);
    return [address, await pty.waitFor(/(?<=with the code: )\S+/)];
  };

  it('over SSH is chosen by itself: code, address, a drawing, and one calm line', async () => {
    using pty = login();
    const [address, code] = await shown(pty);
    assert.equal(address, `${desk.idp.issuer}/device`);
    await pty.waitFor(/[▀▄█]{10}/);
    await pty.waitFor(/⠋ waiting for the login with this code, (3m 0s|2m 5\ds) left/);
    assert.match(await enterCode(address, code, ALICE), /You are logged in/);
    await pty.waitFor(/logged in as curfew:alice@example\.com for /);
    assert.deepEqual(await pty.exit, { code: 0, signal: 0 });
    assert.ok(pty.output().lastIndexOf('\x1b[K') > pty.output().lastIndexOf('waiting for'), 'the line was taken away');
    assert.equal(desk.idp.authorizeRequests, 0);
    const { token } = credentialOf(await desk.getToken('dev', false));
    assert.equal(claimsOf(token).username, 'curfew:alice@example.com');
  });

  it('brings no drawing where that does not fit, and none to what is not a terminal', async () => {
    using pty = desk.curfewAtTerminal(['login', '--broker', desk.url, '--ca-file', desk.ca_file], {
      ...env,
      TERM: 'dumb',
    });
    const [address, code] = await shown(pty);
    await enterCode(address, code, ALICE);
    await pty.waitFor(/logged in as /);
    assert.doesNotMatch(pty.output(), /[▀▄█]|waiting for/);
    assert.ok(!pty.output().includes('\x1b'));
  });

  it('whose ID token has no nonce is taken all the same, and only with the key of the login', async () => {
    desk.idp.setClaims(({ nonce: _, ...claims }) => claims);
    using pty = login();
    const [address, code] = await shown(pty);
    await enterCode(address, code, ALICE);
    await pty.waitFor(/logged in as /);
    credentialOf(await desk.getToken('dev', false));
  });

  it('slows down when it is told to, by 5 s each time (RFC 8628 3.5)', async () => {
    desk.idp.resetCounts();
    using pty = login();
    const [address, code] = await shown(pty);
    desk.idp.misbehave({ token: 'slow_down' });
    await until(() => desk.idp.tokenRequests === 1, 'no token was asked for');
    desk.idp.misbehave({});
    await enterCode(address, code, ALICE);
    await pty.waitFor(/logged in as /);
    const [first = 0, second = 0] = desk.idp.requests.filter(({ path }) => path === '/token').map(({ time }) => time);
    assert.ok(second - first >= 5_900, `${second - first} ms`);
  });

  it('continues when a connection fails in between', async () => {
    desk.idp.resetCounts();
    using pty = login();
    const [address, code] = await shown(pty);
    desk.idp.misbehave({ token: 'refuse' });
    await until(() => desk.idp.tokenRequests === 1, 'no token was asked for');
    desk.idp.misbehave({});
    await enterCode(address, code, ALICE);
    await pty.waitFor(/logged in as /);
  });

  it('that the person refuses is told in the words of the identity provider: exit 77', async () => {
    using pty = login();
    const [address, code] = await shown(pty);
    await enterCode(address, code, { ...ALICE, deny: true });
    await pty.waitFor(/curfew: error: the identity provider at \S+ refused: access_denied/);
    await pty.waitFor('curfew: hint: ');
    assert.equal((await pty.exit).code, 77);
  });

  it('S3 with an old auth_time continues by paste, once, in the same call; then the hint names neither', async () => {
    desk.idp.setAuthTimeOffset(null, 7_200);
    desk.idp.resetCounts();
    using pty = login();
    const [address, code] = await shown(pty);
    await enterCode(address, code, ALICE);
    const browser = await pasteAddress(pty);
    await pty.waitFor('paste that address');
    pty.write(`${await addressLeftAt(browser, { ...ALICE, otp: '' }, 'login')}\r`);
    await pty.waitFor(/curfew: error: login is too old: .*; the identity provider did not ask for a new login/);
    assert.match(await pty.waitFor(/curfew: hint: [^\r]*/), /log out at the identity provider/);
    assert.equal((await pty.exit).code, 77);
    assert.doesNotMatch(pty.output(), /hint: .*(kubectl curfew login|--flow)/);
    assert.equal(desk.idp.requests.filter(({ path }) => path === '/device/auth').length, 1);
    assert.equal(desk.idp.requests.filter(({ path }) => path === '/auth').length, 1);
  });

  it('S3 with an old auth_time, where nobody can paste, is refused with the way that can ask', async () => {
    desk.idp.setAuthTimeOffset(null, 7_200);
    const args = ['login', '--flow', 'device', '--broker', desk.url, '--ca-file', desk.ca_file];
    const script = '"$@" </dev/null';
    using pty = runInPty('/bin/sh', ['-c', script, 'sh', ...desk.command, ...args], { env: { ...desk.env, ...env } });
    const [address, code] = await shown(pty);
    await enterCode(address, code, ALICE);
    await pty.waitFor(/curfew: error: login is too old: .*; a login by device code cannot ask for a new one/);
    await pty.waitFor('curfew: hint: at a terminal, run: kubectl curfew login --flow paste');
    assert.equal((await pty.exit).code, 77);
  });

  it('ends at Ctrl-C by the signal: no line, no lock, and the next one works (P4)', async () => {
    using pty = login();
    await shown(pty);
    await pty.waitFor('waiting for');
    pty.write('\x03');
    const { code, signal } = await pty.exit;
    assert.ok(signal === 2 || code === 130, `code ${code}, signal ${signal}`);
    assert.ok(pty.output().lastIndexOf('\x1b[K') > pty.output().lastIndexOf('waiting for'));
    using again = login();
    const [address, userCode] = await shown(again);
    await enterCode(address, userCode, ALICE);
    await again.waitFor(/logged in as /);
  });

  it('that a kubectl needs goes the same way', async () => {
    await run('rm', ['-rf', `${desk.dir}/cache`, `${desk.dir}/config/sessions`, `${desk.dir}/config/secrets`]);
    const args = ['get-token', '--broker', desk.url, '--cluster', 'dev', '--ca-file', desk.ca_file];
    using pty = desk.curfewAtTerminal(args, { ...env, KUBERNETES_EXEC_INFO: execInfo(true) });
    await pty.waitFor('not logged in: logging in');
    const [address, code] = await shown(pty);
    await enterCode(address, code, ALICE);
    await pty.waitFor('"kind":"ExecCredential"');
    assert.equal((await pty.exit).code, 0);
  });
});

describe('a login by device code where the identity provider demands PKCE there, as Keycloak can', () => {
  let desk: Desk;
  before(async () => {
    const device_grant = { pkce_required: true };
    desk = await openDesk({}, { idp: { device_grant }, identityProvider: { device_grant: true } });
  });
  after(() => desk.stop());

  it('brings a session: the challenge goes with the request, the verifier with the code (RFC 7636)', async () => {
    const env = { BROWSER: undefined, SSH_TTY: '/dev/pts/0', TERM: 'dumb' };
    using pty = desk.curfewAtTerminal(['login', '--broker', desk.url, '--ca-file', desk.ca_file], env);
    const address = await pty.waitFor(/(?<=log in at: )\S+/);
    await enterCode(address, await pty.waitFor(/(?<=with the code: )\S+/), ALICE);
    await pty.waitFor(/logged in as curfew:alice@example\.com for /);
    assert.equal((await pty.exit).code, 0);
  });
});

describe('a login by device code where the identity provider heeds no max_age and no prompt there, as Keycloak', () => {
  let desk: Desk;
  const env = { BROWSER: undefined, SSH_TTY: '/dev/pts/0', TERM: 'dumb' };
  /** Of whom the identity provider knows who they are, wherever they come from. */
  const jar = new CookieJar();
  before(async () => {
    const device_grant = { pkce_required: true, ignores_age: true };
    desk = await openDesk({}, { idp: { device_grant }, identityProvider: { device_grant: true } });
  });
  after(() => desk.stop());

  const flags = () => ['--broker', desk.url, '--ca-file', desk.ca_file];
  const byCode = async (pty: Pty) => {
    const address = await pty.waitFor(/(?<=log in at: )\S+/);
    await enterCode(address, await pty.waitFor(/(?<=with the code: )\S+/), ALICE, jar);
  };
  const byPaste = async (pty: Pty) => {
    const address = await pasteAddress(pty);
    assert.match(address, /prompt=login/);
    await pty.waitFor('paste that address');
    pty.write(`${await addressLeftAt(address, { ...ALICE, otp: '' }, 'login')}\r`);
  };

  it('S3 the login of the next day is by code and, where its session there is too old, by paste in the same call', async () => {
    using first = desk.curfewAtTerminal(['login', ...flags()], env);
    await byCode(first);
    await first.waitFor(/logged in as /);
    desk.idp.ageSessions(null, 7_200);
    for (const args of [['login'], ['get-token', '--cluster', 'dev']]) {
      await desk.curfew(['logout', ...flags()]);
      const more = args.length > 1 ? { KUBERNETES_EXEC_INFO: execInfo(true) } : {};
      using pty = desk.curfewAtTerminal([...args, ...flags()], { ...env, ...more });
      await byCode(pty);
      await pty.waitFor(/: once more, with a browser/);
      await byPaste(pty);
      await pty.waitFor(args.length > 1 ? '"kind":"ExecCredential"' : /logged in as /);
      assert.equal((await pty.exit).code, 0);
    }
  });

  it('S13 after a logout the active single sign-on by code does not do, and the person comes by paste', async () => {
    desk.idp.endSessions(null);
    const own = new CookieJar();
    using first = desk.curfewAtTerminal(['login', ...flags()], env);
    const address = await first.waitFor(/(?<=log in at: )\S+/);
    await enterCode(address, await first.waitFor(/(?<=with the code: )\S+/), ALICE, own);
    await first.waitFor(/logged in as /);
    await desk.curfew(['logout', ...flags()]);
    using pty = desk.curfewAtTerminal(['login', ...flags()], env);
    await pty.waitFor(/log in at: /);
    await enterCode(address, await pty.waitFor(/(?<=with the code: )\S+/), ALICE, own);
    await pty.waitFor(/: once more, with a browser/);
    await byPaste(pty);
    await pty.waitFor(/logged in as /);
    assert.equal((await pty.exit).code, 0);
  });
});
