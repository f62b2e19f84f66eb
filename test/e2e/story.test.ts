// The main job, end to end: real kubectl, kube-apiserver and etcd, a certified OIDC provider, broker and plugin as shipped.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { AuditLine } from '../support/broker_process.ts';
import { claimsOf } from '../support/holder.ts';
import { INSTANT } from '../support/local_time.ts';
import { assertKept } from '../support/patience.ts';
import type { Person } from '../support/person.ts';
import { startWorld, type World } from '../support/world.ts';

const SECOND_CLUSTER = { name: 'prod', audience: 'prod' };
const POLICY = {
  limits: { max_age: '1h', inactivity_timeout: '30m', token_ttl: '2m' },
  segments: [{ name: 'prod', match: { clusters: ['prod'] }, limits: { max_age: '15m' } }],
};
const EXEC_INFO = (interactive: boolean, version = 'v1') =>
  JSON.stringify({
    apiVersion: `client.authentication.k8s.io/${version}`,
    kind: 'ExecCredential',
    spec: { interactive },
  });

let world: World;

/** `get-token` as kubectl calls it, without a terminal. */
function getToken(person: Person, ...more: readonly string[]) {
  const args = [
    'get-token',
    '--broker',
    world.brokerUrl,
    '--cluster',
    'dev',
    '--ca-file',
    world.authority.caFile,
    ...more,
  ];
  return person.curfew(args, { env: { KUBERNETES_EXEC_INFO: EXEC_INFO(false) } });
}

async function ready(name: string): Promise<Person> {
  const person = await world.person(name);
  const { code, stderr } = await person.setup();
  assert.equal(code, 0, stderr);
  return person;
}

/** Logs in with `kubectl-curfew login`. */
async function loggedIn(name: string): Promise<Person> {
  const person = await ready(name);
  const { code, stderr } = await person.curfew(['login']);
  assert.equal(code, 0, stderr);
  return person;
}

function lastLogin(): AuditLine {
  const login = world.broker.audit().findLast(({ event }) => event === 'login');
  assert.ok(login, 'somebody logged in');
  return login;
}

before(async () => {
  world = await startWorld({ policy: POLICY, clusters: [SECOND_CLUSTER], kwok: false });
});
after(() => world?.stop());

describe('the main job', () => {
  test('the first kubectl call logs in through the browser and succeeds; the next 20 do not touch the IdP', async () => {
    const alice = await ready('alice');
    const first = alice.kubectlAtTerminal('--context', 'dev', 'get', 'namespaces');
    assert.equal((await first.exit).code, 0, first.output());
    assert.match(first.output(), /default\s+Active/);
    assert.equal(alice.browser.visits().length, 1);
    const before = world.idp.requests.length;
    for (let i = 0; i < 20; i++) {
      const { code, stdout, stderr } = await alice.kubectl(['--context', 'dev', 'get', 'namespaces']);
      assert.equal(code, 0, stderr);
      assert.match(stdout, /default\s+Active/);
      assert.equal(stderr, '');
    }
    assert.equal(world.idp.requests.length, before);
    assert.equal(alice.browser.visits().length, 1);
  });

  test('kubectl auth whoami shows the person, the groups and the session id', async () => {
    const alice = await loggedIn('alice');
    const { code, stdout, stderr } = await alice.kubectl(['--context', 'dev', 'auth', 'whoami', '-o', 'json']);
    assert.equal(code, 0, stderr);
    const { userInfo } = (JSON.parse(stdout) as { status: { userInfo: Record<string, unknown> } }).status;
    assert.equal(userInfo.username, 'curfew:alice@example.com');
    assert.deepEqual(userInfo.groups, ['curfew:dev', 'curfew:sre', 'system:authenticated']);
    const status = await alice.curfew(['status', '-o', 'json']);
    assert.deepEqual((userInfo.extra as Record<string, unknown>)['curfew.internal/session-id'], [lastLogin().sid]);
    assert.ok(status.stdout.includes('alice@example.com'));
  });

  test('RBAC goes by IdP group: alice of sre may create what bob of dev may only read', async () => {
    const [alice, bob] = [await loggedIn('alice'), await loggedIn('bob')];
    const name = 'rbac-by-group';
    assert.equal((await alice.kubectl(['--context', 'dev', 'create', 'configmap', name])).code, 0);
    assert.equal((await bob.kubectl(['--context', 'dev', 'get', 'configmap', name])).code, 0);
    const refused = await bob.kubectl(['--context', 'dev', 'delete', 'configmap', name]);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /Forbidden.*curfew:bob@example\.com/);
  });

  test("a cluster refuses a token of another cluster's audience", async () => {
    const alice = await loggedIn('alice');
    const { code, stdout, stderr } = await getToken(alice, '--cluster', 'prod');
    assert.equal(code, 0, stderr);
    const { token } = (JSON.parse(stdout) as { status: { token: string } }).status;
    assert.equal(claimsOf(token).aud, 'prod');
    const args = ['--server', world.plane.server, '--certificate-authority', world.plane.caFile, '--token', token];
    const answer = await alice.kubectl([...args, '--kubeconfig', '/dev/null', 'get', 'namespaces']);
    assert.equal(answer.code, 1);
    assert.match(answer.stderr, /Unauthorized|logged in/);
  });

  test('S1 one second before max_age a call is allowed; past it, without a terminal, refused: 77, empty stdout, age and limit named', async () => {
    const max_age = 3600;
    const bob = await ready('bob');
    const nearItsEnd = async (left: number) => {
      world.idp.setAuthTimeOffset('bob', max_age - left);
      const { code, stderr } = await bob.curfew(['login']);
      world.idp.setAuthTimeOffset('bob', 0);
      assert.equal(code, 0, stderr);
      const end = (Number(lastLogin().auth_time) + max_age) * 1000;
      await sleep(end - Date.now() - 1000);
      return [end, await getToken(bob)] as const;
    };
    // A machine too slow for the last second gets another try, with more time for the login.
    let [end, allowed] = await nearItsEnd(8);
    for (let left = 20; Date.now() >= end && left <= 80; left *= 2) [end, allowed] = await nearItsEnd(left);
    assert.ok(Date.now() < end, 'this machine was too slow for a second');
    assert.equal(allowed.code, 0, allowed.stderr);
    await sleep(end - Date.now() + 50);
    const visits = bob.browser.visits().length;
    const refused = await getToken(bob);
    assert.deepEqual([refused.code, refused.stdout], [77, '']);
    assert.match(
      refused.stderr,
      /^curfew: error: login is too old: last login 1h ago, limit 1h\ncurfew: hint: .*login.*\n$/,
    );
    const kubectl = await bob.kubectl(['--context', 'dev', 'get', 'namespaces']);
    assert.notEqual(kubectl.code, 0);
    assert.match(kubectl.stderr, /login is too old/);
    assert.equal(bob.browser.visits().length, visits, 'nothing was opened');

    // At a terminal the same call logs in again and succeeds.
    const again = bob.kubectlAtTerminal('--context', 'dev', 'get', 'namespaces');
    assert.equal((await again.exit).code, 0, again.output());
    assert.match(again.output(), /login is too old[\s\S]*default\s+Active/);
    assert.equal(bob.browser.visits().length, visits + 1);
  });

  test('--max-age tightens further for one command', async () => {
    const alice = await ready('alice');
    world.idp.setAuthTimeOffset('alice', 120);
    assert.equal((await alice.curfew(['login'])).code, 0);
    world.idp.setAuthTimeOffset('alice', 0);
    assert.equal((await getToken(alice)).code, 0);
    const refused = await getToken(alice, '--max-age', '1m');
    assert.deepEqual([refused.code, refused.stdout], [77, '']);
    assert.match(refused.stderr, /limit 1m|limit 60s/);
    assert.equal((await getToken(alice)).code, 0, 'the session itself goes on');
  });

  test("a segment's limit asks for a new login there, and ends nothing elsewhere", async () => {
    const alice = await ready('alice');
    world.idp.setAuthTimeOffset('alice', 1000);
    assert.equal((await alice.curfew(['login'])).code, 0);
    world.idp.setAuthTimeOffset('alice', 0);
    const refused = await getToken(alice, '--cluster', 'prod');
    assert.equal(refused.code, 77);
    assert.match(refused.stderr, /limit 15m/);
    assert.equal((await getToken(alice)).code, 0);
  });

  test('v1beta1 is answered in v1beta1', async () => {
    const alice = await loggedIn('alice');
    const args = ['get-token', '--broker', world.brokerUrl, '--cluster', 'dev', '--ca-file', world.authority.caFile];
    const { stdout } = await alice.curfew(args, { env: { KUBERNETES_EXEC_INFO: EXEC_INFO(false, 'v1beta1') } });
    assert.equal((JSON.parse(stdout) as { apiVersion: string }).apiVersion, 'client.authentication.k8s.io/v1beta1');
  });

  test('expirationTimestamp lies 10 s before the exp of the token', async () => {
    const alice = await loggedIn('alice');
    const { stdout } = await getToken(alice);
    const { token, expirationTimestamp } = (JSON.parse(stdout) as { status: Record<string, string> }).status;
    const exp = Number(claimsOf(token ?? '').exp);
    const early = exp - Date.parse(expirationTimestamp ?? '') / 1000;
    assert.ok(early >= 9 && early <= 11, `${early} s`);
  });
});

describe('the end', () => {
  test("logout: the next renewal is refused, and the IdP's living SSO does not bring the session back", async () => {
    const alice = await loggedIn('alice');
    await sleep(1100);
    const forms = world.idp.forms;
    const logout = await alice.curfew(['logout']);
    assert.equal(logout.code, 0, logout.stderr);
    const refused = await getToken(alice);
    assert.deepEqual([refused.code, refused.stdout], [77, '']);
    // Her SSO at the IdP lives on, and yet she must type her password again.
    assert.equal((await alice.curfew(['login'])).code, 0);
    assert.equal(world.idp.forms, forms + 1);
    assert.equal((await getToken(alice)).code, 0);
  });

  test('logout with the broker down erases what is local, exits 69 and says until when the session lives there', async () => {
    const alice = await loggedIn('alice');
    await world.broker.kill();
    const logout = await alice.curfew(['logout']);
    await world.restartBroker();
    assert.equal(logout.code, 69);
    assert.equal(logout.stdout, '');
    assert.match(
      logout.stderr,
      new RegExp(String.raw`^curfew: error: .*127\.0\.0\.1.* until ${INSTANT}\ncurfew: hint: .*\n$`),
    );
    assert.equal((await getToken(alice)).code, 77);
  });

  test('20 parallel cold calls at a terminal open one login', async () => {
    const alice = await ready('alice');
    const before = world.broker.audit().filter(({ event }) => event === 'login').length;
    const calls = Array.from({ length: 20 }, () => alice.kubectlAtTerminal('--context', 'dev', 'get', 'namespaces'));
    for (const call of calls) assert.equal((await call.exit).code, 0, call.output());
    assert.equal(alice.browser.visits().length, 1);
    assert.equal(world.broker.audit().filter(({ event }) => event === 'login').length, before + 1);
  });

  test('with IdP and broker down a cached token serves until its verdict ends, then 69 within 10 s and the host is named', async () => {
    const alice = await loggedIn('alice');
    assert.equal((await alice.kubectl(['--context', 'dev', 'get', 'namespaces'])).code, 0);
    await world.broker.kill();
    await world.idp.pause();
    try {
      assert.equal((await alice.kubectl(['--context', 'dev', 'get', 'namespaces'])).code, 0);
      const other = await getToken(alice, '--max-age', '30m');
      assert.deepEqual([other.code, other.stdout], [69, '']);
      assertKept(other.ms, 10_000);
      assert.ok(other.stderr.includes(new URL(world.brokerUrl).host), other.stderr);
    } finally {
      await world.idp.resume();
      await world.restartBroker();
    }
  });
});

describe('at the API server', () => {
  test('a token copied out of the plugin is refused after its exp + 10 s', async () => {
    const alice = await loggedIn('alice');
    const { stdout } = await getToken(alice, '--max-age', '20s');
    const { token } = (JSON.parse(stdout) as { status: { token: string } }).status;
    const use = () =>
      alice.kubectl([
        '--server',
        world.plane.server,
        '--certificate-authority',
        world.plane.caFile,
        '--token',
        token,
        '--kubeconfig',
        '/dev/null',
        'get',
        'namespaces',
      ]);
    assert.equal((await use()).code, 0);
    await sleep(Number(claimsOf(token).exp) * 1000 + 10_500 - Date.now());
    const refused = await use();
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /Unauthorized|logged in/);
  });
});
