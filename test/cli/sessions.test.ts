// `sessions list` and `sessions end`, from the plugin's bundle: one's own, those of others for administrators, and what a
// person sees of them.

import assert from 'node:assert/strict';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, afterEach, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { endCommand, listCommand } from '../../cli/commands/sessions.ts';
import { createClient } from '../../cli/session/client.ts';
import { listRecords, writeRecord } from '../../cli/session/record.ts';
import { userAgent, VERSION } from '../../cli/warm/version.ts';
import { generateKey } from '../../cli/wire/dpop.ts';
import type { RunResult } from '../../scripts/run.ts';
import { seconds } from '../../shared/time.ts';
import { isObject, isSessionList, type SessionInfo } from '../../shared/wire.ts';
import { claimsOf } from '../support/holder.ts';
import { credentialOf, type Desk, openDesk, readJson, refusalOf } from './desk.ts';
import { type TestHost, temporaryFolder, testHost } from './host.ts';

const AGENT = `kubectl-curfew/${VERSION} (${process.platform})`;

let desk: Desk;
const to = () => ['--broker', desk.url, '--ca-file', desk.ca_file];
const logIn = async (env = {}) => {
  const { code, stderr } = await desk.curfew(['login', ...to()], env);
  assert.equal(code, 0, stderr);
};

/** The same person at another machine. */
const elsewhere = (name: string) => ({
  CURFEW_CONFIG_DIR: `${desk.dir}/${name}/config`,
  CURFEW_CACHE_DIR: `${desk.dir}/${name}/cache`,
});
const list = (more: readonly string[] = [], env = {}) => desk.curfew(['sessions', 'list', ...to(), ...more], env);
const end = (args: readonly string[], env = {}) => desk.curfew(['sessions', 'end', ...to(), ...args], env);
const done = ({ code, stdout, stderr }: RunResult) => {
  assert.equal(code, 0, stderr);
  return stdout;
};

async function sessions(more: readonly string[] = [], env = {}): Promise<readonly SessionInfo[]> {
  const value: unknown = JSON.parse(done(await list(['-o', 'json', ...more], env)));
  assert.ok(isSessionList(value));
  return value.sessions;
}
const sidOf = async (env = {}) => (await sessions([], env)).find(({ current }) => current)?.sid ?? '';
const loginsOf = () => desk.broker.audit().filter(({ event }) => event === 'login').length;
const visitsOf = () => desk.browser.visits().length;

it('the plugin names itself and its version as its package does', async () => {
  const { version } = await readJson(`${import.meta.dirname}/../../cli/package.json`);
  assert.equal(VERSION, version);
  assert.equal(userAgent('linux'), `kubectl-curfew/${version} (linux)`);
});

describe('own sessions', () => {
  before(async () => {
    desk = await openDesk();
  });
  after(() => desk.stop());

  it('without a login: 77, and what to do', async () => {
    for (const result of [await list(), await end(['some-sid']), await end(['--user', 'alice@example.com'])]) {
      assert.equal(result.code, 77);
      const { error, hint } = refusalOf(result);
      assert.equal(error, 'not logged in');
      assert.match(hint, /^run: kubectl curfew login /);
    }
  });

  it('are listed with where they come from, since when, until when, and which one asks', async () => {
    await logIn();
    await logIn(elsewhere('laptop'));
    const [effect, ...reversed] = done(await list())
      .trimEnd()
      .split('\n')
      .reverse();
    const lines = reversed.reverse();
    assert.equal(effect, 'an end takes effect: dev, prod, vault within 5m 10s');
    assert.match(lines[0] ?? '', /^SESSION +LOGGED IN +LAST USED +ENDS +FROM$/);
    assert.equal(lines.length, 3);
    const row =
      /^[\w-]{22} {2}\d+s ago +\d+s ago +in (29|30)m +127\.0\.0\.1 by kubectl-curfew\/\S+ \(\w+\)( \(this one\))?$/;
    for (const line of lines.slice(1)) assert.match(line, row);
    assert.equal(lines.filter((line) => line.includes('(this one)')).length, 1);
    assert.deepEqual(
      (await sessions()).map(({ username, user_agent }) => [username, user_agent]),
      Array.from({ length: 2 }, () => ['curfew:alice@example.com', AGENT]),
    );
  });

  it('one at another machine is ended, and that machine needs its person', async () => {
    const sid = await sidOf(elsewhere('laptop'));
    assert.equal(done(await end([sid, '--reason', 'left on the train'])), `ended ${sid} of curfew:alice@example.com\n`);
    const row = desk.broker.audit().find(({ event, sid: one }) => event === 'end' && one === sid);
    assert.deepEqual([row?.reason, row?.note], ['owner', 'left on the train']);
    const result = await desk.getToken('dev', false, { env: elsewhere('laptop') });
    assert.equal(result.code, 77);
    assert.equal(refusalOf(result).error, 'session is over: ended by its owner');
    credentialOf(await desk.getToken('dev', false));
  });

  it('what the broker said of an ended session is remembered: the next call asks nobody', async () => {
    await logIn(elsewhere('tablet'));
    const [there, sid] = [elsewhere('tablet'), await sidOf(elsewhere('tablet'))];
    credentialOf(await desk.getToken('dev', false, { env: there }));
    done(await end([sid]));
    assert.equal(refusalOf(await list([], there)).error, 'session is over: ended by its owner');
    const lines = desk.broker.audit().length;
    for (const result of [await list([], there), await desk.getToken('dev', false, { env: there })]) {
      assert.equal(result.code, 77);
      assert.equal(refusalOf(result).error, 'session is over: ended by its owner');
    }
    assert.equal(desk.broker.audit().length, lines);
  });

  it('one that is not there is an error of its own, and the others are ended all the same', async () => {
    const there = elsewhere('desktop');
    await logIn(there);
    const sid = await sidOf(there);
    const result = await end(['no-such-sid', sid, sid]);
    assert.equal(result.code, 64);
    assert.equal(result.stdout, `ended ${sid} of curfew:alice@example.com\n`);
    assert.match(result.stderr, /^curfew: error: there is no such active session of yours\ncurfew: hint: run: kubectl/);
  });

  it('the one that asks is ended last, and forgotten here as by a logout', async () => {
    const there = elsewhere('phone');
    await logIn(there);
    credentialOf(await desk.getToken('dev', false));
    const [own, other] = [await sidOf(), await sidOf(there)];
    const stdout = done(await end([own, other]));
    assert.deepEqual(stdout.match(/(?<=ended )\S+/g), [other, own]);
    assert.deepEqual(await desk.entries(), []);
    const [name = ''] = await readdir(`${desk.dir}/config/secrets`);
    const secret = await readJson(`${desk.dir}/config/secrets/${name}`);
    assert.ok('dpop_private_jwk' in secret && !('handle' in secret), 'the key outlives the session');
    const lines = desk.broker.audit().length;
    const result = await desk.getToken('dev', false);
    assert.deepEqual([result.code, refusalOf(result).error], [77, 'session is over: ended by its owner']);
    assert.equal(desk.broker.audit().length, lines);
  });

  it('S13 does not come back by single sign-on: the person has to come', async () => {
    const logins = desk.idp.logins;
    credentialOf(await desk.getToken('dev', true));
    // A login of the very second of the end is not new enough, and is asked for again.
    const asked = desk.idp.logins - logins;
    assert.ok(asked === 1 || asked === 2, `${asked} logins`);
  });

  it('all of them are ended by name', async () => {
    await logIn(elsewhere('laptop'));
    const stdout = done(await end(['--user', 'alice@example.com']));
    assert.equal(stdout.trimEnd().split('\n').length, 2);
    assert.equal((await desk.getToken('dev', false)).code, 77);
    assert.equal((await desk.getToken('dev', false, { env: elsewhere('laptop') })).code, 77);
  });

  it('expects ids, --user or --all, and nothing twice', async () => {
    for (const args of [[], ['sid', '--all'], ['--user', 'x', '--all'], ['sid', '--user', 'x']]) {
      const result = await end(args);
      assert.equal(result.code, 64);
      assert.match(refusalOf(result).error, /expected session ids, or --user, or --all/);
    }
  });

  it('of others are for administrators', async () => {
    await logIn();
    for (const result of [await list(['--all']), await end(['--all']), await end(['--user', 'bob@example.com'])]) {
      assert.equal(result.code, 77);
      const { error, hint } = refusalOf(result);
      assert.equal(error, 'only administrators may do this');
      assert.match(hint, /kubectl curfew sessions list/);
    }
    assert.equal((await sessions()).length, 1);
  });

  it('a record of an earlier version, which knows no address for this, is good all the same', async () => {
    const [name = ''] = await readdir(`${desk.dir}/config/sessions`);
    const file = `${desk.dir}/config/sessions/${name}`;
    const record = await readJson(file);
    assert.ok(isObject(record.endpoints) && typeof record.endpoints.sessions_endpoint === 'string');
    const { sessions_endpoint: _, ...endpoints } = record.endpoints;
    await writeFile(file, JSON.stringify({ ...record, endpoints }));
    assert.equal((await sessions()).length, 1);
    credentialOf(await desk.getToken('prod', false));
  });

  it('while the broker is away: 69, and nothing is forgotten here', async () => {
    const sid = await sidOf();
    await desk.stopBroker();
    for (const result of [await list(), await end([sid])]) assert.equal(result.code, 69, result.stderr);
    await desk.restartBroker();
    assert.equal((await sessions()).length, 1);
  });
});

describe('an administrator', () => {
  const admins = (limits: object) => ({ admins: { groups: ['sre'], limits } });
  let bob: Record<string, string>;
  before(async () => {
    desk = await openDesk(admins({ max_age: '15m' }));
    await desk.withBrowser({ user: 'bob', password: 'builder' });
    bob = elsewhere('bob');
    await logIn(bob);
    await desk.withBrowser({});
    await logIn();
  });
  after(() => desk.stop());

  it('sees everybody, with their names', async () => {
    const stdout = done(await list(['--all']));
    assert.match(stdout, /^SESSION +PERSON +LOGGED IN/);
    assert.match(stdout, /^\S+ +curfew:bob@example\.com +\d+s ago/m);
    assert.match(stdout, /^\S+ +curfew:alice@example\.com .*\(this one\)$/m);
    assert.equal((await sessions(['--all'])).length, 2);
    assert.equal((await sessions()).length, 1);
  });

  it('ends sessions of another by name; where none is active any more, that is said', async () => {
    const stdout = done(await end(['--user', 'curfew:bob@example.com', '--reason', 'left the company']));
    assert.match(stdout, /^ended \S+ of curfew:bob@example\.com\n$/);
    const row = desk.broker.audit().find(({ event }) => event === 'end');
    assert.deepEqual(
      [row?.reason, row?.by, row?.note],
      ['administrator', 'curfew:alice@example.com', 'left the company'],
    );
    assert.equal(refusalOf(await list([], bob)).error, 'session is over: ended by an administrator');
    // A name in another spelling must not look as if it had been done.
    for (const name of ['bob@example.com', 'curfew:Bob@Example.com', 'curfew:bob@example.com']) {
      const nothing = await end(['--user', name]);
      assert.equal(nothing.code, 64);
      assert.equal(refusalOf(nothing).error, `nothing was ended: there is no active session of ${name}`);
    }
  });

  describe('whose login is too old for it', () => {
    before(async () => {
      await desk.restartBroker(admins({ max_age: '8s' }));
      await logIn();
      await sleep(8_500);
    });

    it('H4 without a terminal: 77, one error and one hint; own sessions need no newer login', async () => {
      const logins = loginsOf();
      const result = await list(['--all']);
      assert.equal(result.code, 77);
      const { error, hint, before } = refusalOf(result);
      assert.match(error, /^administrators: login is too old: last login \d+s ago, limit 8s$/);
      assert.match(hint, /^run: kubectl curfew login /);
      assert.deepEqual(before, []);
      assert.equal((await sessions()).length, 1);
      assert.equal(loginsOf(), logins);
    });

    it('at a terminal logs in once more, in person, and continues', async () => {
      const [logins, visits] = [loginsOf(), visitsOf()];
      const pty = desk.curfewAtTerminal(['sessions', 'list', '--all', ...to()]);
      const { code } = await pty.exit;
      assert.equal(code, 0, pty.output());
      assert.match(pty.output(), /administrators: login is too old: .*: logging in/);
      assert.match(pty.output(), /curfew:alice@example\.com .*\(this one\)/);
      assert.deepEqual([loginsOf() - logins, visitsOf() - visits], [1, 1]);
      const query = desk.idp.requests.filter(({ path }) => path === '/auth').at(-1)?.query;
      assert.deepEqual([query?.prompt, query?.max_age], ['login', '8']);
    });

    it('with an IdP that answers with an old auth_time all the same: one login, then refused', async () => {
      await sleep(8_500);
      desk.idp.setAuthTimeOffset('alice', 60);
      const [logins, visits] = [loginsOf(), visitsOf()];
      const pty = desk.curfewAtTerminal(['sessions', 'end', '--all', ...to()]);
      const { code } = await pty.exit;
      desk.idp.setAuthTimeOffset('alice', 0);
      assert.equal(code, 77, pty.output());
      assert.match(
        pty.output(),
        /error: administrators: login is too old: .*; the identity provider did not ask for a new login/,
      );
      assert.deepEqual([loginsOf() - logins, visitsOf() - visits], [1, 1]);
    });
  });

  describe('whose login is too weak for it', () => {
    before(async () => {
      await desk.restartBroker(admins({ max_age: '15m', acr: ['mfa'] }));
      await logIn();
    });

    it('H4 without a terminal: 77, and the hint is one that helps', async () => {
      const result = await list(['--all']);
      assert.equal(result.code, 77);
      const { error, hint } = refusalOf(result);
      assert.equal(error, 'administrators: login is too weak: acr mfa is required');
      assert.equal(hint, 'run this at a terminal: it logs in at that level');
    });

    it('with an IdP that does not give the level: one login at it, one clear refusal, no loop', async () => {
      const [logins, visits] = [loginsOf(), visitsOf()];
      const pty = desk.curfewAtTerminal(['sessions', 'list', '--all', ...to()]);
      const { code } = await pty.exit;
      assert.equal(code, 77, pty.output());
      const errors = pty.output().match(/curfew: error: .*/g) ?? [];
      assert.equal(errors.length, 1);
      assert.match(errors[0] ?? '', /acr mfa is required; the identity provider was asked for it and did not give it/);
      assert.deepEqual([loginsOf() - logins, visitsOf() - visits], [1, 1]);
    });

    it('at a terminal logs in once at that level, and continues', async () => {
      desk.browser.set({ otp: '123456' });
      const [logins, visits] = [loginsOf(), visitsOf()];
      const pty = desk.curfewAtTerminal(['sessions', 'list', '--all', ...to()]);
      assert.equal((await pty.exit).code, 0, pty.output());
      assert.deepEqual([loginsOf() - logins, visitsOf() - visits], [1, 1]);
      assert.equal(desk.idp.requests.filter(({ path }) => path === '/auth').at(-1)?.query.acr_values, 'mfa');
      assert.equal((await sessions(['--all'])).length, 1);
    });
  });
});

describe('a login for a cluster of which a part requires an acr', () => {
  before(async () => {
    const token_file = `${temporaryFolder('hook')}/token`;
    await writeFile(token_file, Buffer.alloc(32, 5).toString('base64'), { mode: 0o600 });
    const cluster = { server: 'https://127.0.0.1:6443', allowed_groups: ['*'] };
    desk = await openDesk({
      clusters: [
        { ...cluster, name: 'dev', audience: 'dev-audience' },
        { ...cluster, name: 'prod', audience: 'prod-audience', webhook: { token_file, on_failure: 'deny' } },
      ],
      policy: {
        limits: { max_age: '1h', inactivity_timeout: '30m', token_ttl: '5m' },
        segments: [
          { name: 'payments', match: { clusters: ['prod'], namespaces: ['payments'] }, limits: { acr: ['mfa'] } },
        ],
      },
    });
  });
  after(() => desk.stop());
  const acr_values = () => desk.idp.requests.filter(({ path }) => path === '/auth').at(-1)?.query.acr_values;

  it('that kubectl needs asks for no more than a token does', async () => {
    credentialOf(await desk.getToken('prod', true));
    assert.equal(acr_values(), undefined);
  });

  it('by a person asks for it; where the IdP does not give it, that is said, and the login is good for the rest', async () => {
    const { code, stderr } = await desk.curfew(['login', '--cluster', 'prod', ...to()]);
    assert.equal(code, 0, stderr);
    assert.equal(acr_values(), 'mfa');
    assert.match(stderr, /^curfew: parts of prod require acr mfa; the identity provider was asked for it/m);
  });

  it('by a person brings it', async () => {
    desk.browser.set({ otp: '123456' });
    const { code, stderr } = await desk.curfew(['login', '--cluster', 'prod', ...to()]);
    assert.equal(code, 0, stderr);
    assert.doesNotMatch(stderr, /parts of prod/);
    assert.equal(claimsOf(credentialOf(await desk.getToken('prod', false)).token).acr, 'mfa');
    assert.equal((await desk.curfew(['login', '--cluster', 'dev', ...to()])).code, 0);
    assert.equal(acr_values(), undefined);
  });
});

describe('a broker that answers as it likes', () => {
  let server: Server;
  let url: string;
  let host: TestHost;
  let answer: (request: IncomingMessage) => { status?: number; headers?: Record<string, string>; body: unknown };
  const asked: IncomingMessage[] = [];

  const limits = { max_age: seconds(900), inactivity_timeout: seconds(600), token_ttl: seconds(300) };
  const info = (sid: string, more: Partial<SessionInfo> = {}): SessionInfo => ({
    ...{ sid, username: 'alice', groups: [], address: '192.0.2.1', current: false },
    ...{ opened_at: seconds(100), auth_time: seconds(100), last_used: seconds(940), session_end: seconds(1600) },
    ...more,
  });

  before(async () => {
    server = createServer((request, response) => {
      asked.push(request);
      const { status = 200, headers = {}, body } = answer(request);
      response.writeHead(status, headers).end(JSON.stringify(body));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    host = testHost();
    const secrets = createClient(host, url).secrets;
    const kept_in = await secrets.save(url, { dpop_private_jwk: generateKey(), handle: 'the-handle' }, undefined);
    const endpoints = {
      token_endpoint: `${url}/token`,
      revocation_endpoint: `${url}/revoke`,
      sessions_endpoint: `${url}/v1/sessions`,
    };
    const session = {
      ...{ sid: 'own', username: 'alice', groups: [], limits: { session: limits, target: limits } },
      ...{ auth_time: seconds(1), session_end: seconds(601), end_at_most: seconds(901), broker_time: seconds(1) },
    };
    writeRecord(host, {
      broker: url,
      endpoints,
      audiences: {},
      kept_in: kept_in ?? 'file',
      session,
      minted_local: host.now(),
    });
  });
  after(() => {
    server.close();
    server.closeAllConnections();
  });
  afterEach(() => {
    asked.length = 0;
    host.printed.length = 0;
  });

  it('draws nothing on the terminal: what others wrote is one line without control characters', async () => {
    const evil = '\u001b]0;owned\u0007\u001b[2J\r\nSESSION fake\u202e';
    const one = info(`sid${evil}`, {
      username: `bob${evil}`,
      address: `1.2.3.4${evil}`,
      user_agent: `${evil}${'x'.repeat(500)}`,
    });
    answer = () => ({ body: { sessions: [one], broker_time: 1000 } });
    await listCommand(host, { broker: url, all: true });
    answer = () => ({ body: { ended: [{ sid: `x${evil}`, username: `y${evil}` }] } });
    await endCommand(host, ['x'], { broker: url });
    const text = host.printed.join('');
    assert.doesNotMatch(text, /(?!\n)[\p{Cc}\p{Cf}]/u);
    assert.equal(text.split('\n').length, 4);
    for (const line of text.split('\n')) assert.ok(line.length < 300, line);
  });

  it('says how soon an end takes effect at which cluster, and without that word lists all the same', async () => {
    const cluster = (name: string, credential: string, end_within: number) => ({
      ...{ name, audience: name, server: 'https://192.0.2.1', limits: { session: limits, target: limits } },
      ...{ strictest: limits, credential, end_within },
    });
    const all = [cluster('dev', 'token', 0), cluster('managed', 'service-account', 11), cluster('prod', 'token', 310)];
    const metadata = {
      ...{ issuer: url, token_endpoint: `${url}/token`, revocation_endpoint: `${url}/revoke`, limits },
      sessions_endpoint: `${url}/v1/sessions`,
      identity_provider: { issuer: url, client_id: 'c', scopes: ['openid'], redirect_host: 'h', redirect_ports: [] },
    };
    const sayAlso = (clusters: unknown) => {
      answer = ({ url: path }) =>
        path === '/.well-known/curfew'
          ? { body: { ...metadata, clusters } }
          : { body: { sessions: [info('one')], broker_time: 1000 } };
    };
    const last = async (output?: string) => {
      host.printed.length = 0;
      await listCommand(host, { broker: url, ...(output && { output }) });
      return host.printed.join('');
    };
    sayAlso([...all, cluster('staging', 'token', 0)]);
    const line =
      'an end takes effect: dev, staging at the next request; managed (service account) within 11s; prod within 5m 10s';
    assert.equal((await last()).split('\n')[2], line);
    sayAlso(all);
    assert.deepEqual(
      JSON.parse(await last('json')).clusters,
      all.map(({ name, credential, end_within }) => ({ name, credential, end_within })),
    );
    sayAlso('none');
    assert.match(await last(), /^SESSION .*\none .*\n$/);
    assert.ok(!('clusters' in JSON.parse(await last('json'))));
  });

  it('tells times by its own clock, whatever the laptop believes', async () => {
    answer = () => ({ body: { sessions: [info('one')], broker_time: 1000 } });
    await listCommand(host, { broker: url });
    assert.match(host.printed.join(''), /^one +15m ago +60s ago +in 10m +192\.0\.2\.1$/m);
  });

  it('is asked page after page, with a proof for each, and no longer than there are others', async () => {
    answer = ({ url: path = '' }) =>
      path.includes('after=1.a')
        ? { body: { sessions: [info('two')], broker_time: 1001, next: '1.a' } }
        : { body: { sessions: [info('one')], broker_time: 1000, next: '1.a' } };
    await listCommand(host, { broker: url, all: true, output: 'json' });
    const printed: unknown = JSON.parse(host.printed.join(''));
    assert.ok(isSessionList(printed));
    assert.deepEqual(
      printed.sessions.map(({ sid }) => sid),
      ['one', 'two'],
    );
    const pages = asked.filter(({ url: path }) => path !== '/.well-known/curfew');
    assert.deepEqual(
      pages.map(({ url: path }) => path),
      ['/v1/sessions?all=true', '/v1/sessions?all=true&after=1.a'],
    );
    const proofs = pages.map(({ headers }) => claimsOf(String(headers.dpop)));
    assert.equal(new Set(proofs.map(({ jti }) => jti)).size, 2);
    for (const { htm, htu, ath } of proofs) {
      assert.deepEqual([htm, htu], ['GET', `${url}/v1/sessions`]);
      assert.match(String(ath), /^[\w-]{43}$/);
    }
    for (const { headers } of pages) {
      assert.deepEqual([headers.authorization, headers['user-agent']], ['DPoP the-handle', AGENT]);
    }
  });

  it('that asks for its nonce gets it, once', async () => {
    const refusal = { error: 'use_dpop_nonce', error_description: 'use it', reason: 'proof_nonce' };
    answer = () => ({ status: 401, headers: { 'dpop-nonce': 'n1' }, body: refusal });
    await assert.rejects(listCommand(host, { broker: url }), { code: 'proof_nonce' });
    assert.deepEqual(
      asked.map(({ headers }) => claimsOf(String(headers.dpop)).nonce),
      [undefined, 'n1'],
    );
  });

  it('whose answer is not one ends nothing here: it is out of reach', async () => {
    for (const body of [{}, { ended: 'all' }, { ended: [{ sid: 1 }] }, []]) {
      answer = () => ({ body });
      await assert.rejects(endCommand(host, ['own'], { broker: url }), { code: 'broker_unreachable' });
    }
    answer = () => ({
      status: 503,
      body: { error: 'temporarily_unavailable', error_description: 'the store failed', reason: 'store' },
    });
    await assert.rejects(endCommand(host, ['own'], { broker: url }), { code: 'unavailable' });
    assert.deepEqual(host.printed, []);
    assert.equal(listRecords(host)[0]?.session?.sid, 'own');
    const [name = ''] = await readdir(`${host.home}/config/secrets`);
    assert.match(await readFile(`${host.home}/config/secrets/${name}`, 'utf8'), /the-handle/);
  });
});
