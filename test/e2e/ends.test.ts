// Ended means ended, end to end: real kubectl and three real kube-apiservers that ask the broker's webhooks, a certified
// OIDC provider, broker and plugin as shipped. Nobody's clock is bent: logins are aged by the IdP, limits are short.

import assert from 'node:assert/strict';
import { copyFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { stringify } from 'yaml';
import { type BreakGlass, makeBreakGlass } from '../support/break_glass.ts';
import type { AuditLine } from '../support/broker_process.ts';
import { tokenOf as heldToken, logIn } from '../support/log_in.ts';
import { until } from '../support/patience.ts';
import type { Person } from '../support/person.ts';
import { startWorld, USERS, type World } from '../support/world.ts';

const people = (names: readonly string[], groups: readonly string[], otp?: string) =>
  Object.fromEntries(
    names.map((name) => [
      name,
      { password: `${name}-pw`, email: `${name}@example.com`, email_verified: true, groups, ...(otp && { otp }) },
    ]),
  );
const ALL = {
  ...USERS,
  ...people(['carol'], ['platform-admins', 'dev'], '111111'),
  ...people(['dora', 'emil', 'fred', 'gina', 'hugo', 'ivan', 'jane'], ['dev', 'sre'], '222222'),
};
const OTP: Readonly<Record<string, string>> = { carol: '111111' };
const IDLE = 20;
const POLICY = {
  limits: { max_age: '1h', inactivity_timeout: '30m', token_ttl: '5m' },
  segments: [
    { name: 'prod', match: { clusters: ['prod'] }, limits: { max_age: '15m', acr: ['mfa'] } },
    {
      name: 'shells',
      match: { clusters: ['prod'], namespaces: ['payments'], resources: ['pods/exec', 'pods/attach'] },
      limits: { max_age: '5m' },
    },
    { name: 'edge', match: { clusters: ['edge'] }, limits: { max_age: '30m' } },
  ],
  rules: [{ name: 'short-idle', when: 'user.name == "ivan@example.com"', limits: { inactivity_timeout: `${IDLE}s` } }],
};
const POD = `
apiVersion: v1
kind: Namespace
metadata: {name: payments}
---
apiVersion: v1
kind: Node
metadata: {name: worker}
---
apiVersion: v1
kind: Pod
metadata: {name: shell, namespace: payments}
spec: {nodeName: worker, automountServiceAccountToken: false, containers: [{name: shell, image: none}]}
`;

let world: World;
let breakGlass: BreakGlass;

before(async () => {
  breakGlass = await makeBreakGlass();
  world = await startWorld({
    policy: POLICY,
    users: ALL,
    sections: { admins: { groups: ['platform-admins'], limits: { max_age: '15m' } } },
    planes: [
      { name: 'dev', webhook: { on_failure: 'no_opinion' } },
      { name: 'prod', webhook: { on_failure: 'deny' }, kwok: true, flags: breakGlass.flags },
      { name: 'edge', webhook: { on_failure: 'deny', authentication: true, client_certificate: true } },
    ],
  });
  const { prod } = world.planes;
  assert.equal((await prod?.adminKubectl(['apply', '-f', '-'], { input: POD }))?.code, 0);
  const ready = ['-n', 'payments', 'wait', '--for=condition=Ready', 'pod/shell', '--timeout=60s'];
  assert.equal((await prod?.adminKubectl(ready))?.code, 0);
});
after(async () => {
  await world?.stop();
  breakGlass?.remove();
});

/** Somebody with a kubeconfig, who logged in that many seconds ago (by the IdP's word) for a cluster, or at large. */
const loggedIn = (name: string, { age = 0, cluster }: { age?: number; cluster?: string } = {}) =>
  logIn(world, name, {
    ...{ age, browser: { otp: cluster === undefined ? '' : (OTP[name] ?? '222222') } },
    args: cluster === undefined ? [] : ['--cluster', cluster],
  });

const tokenOf = (person: Person, cluster: string) => heldToken(world, person, { cluster });

/** kubectl with a token and no plugin: what a client does that keeps its token. */
function withToken(person: Person, cluster: string, token: string, ...args: readonly string[]) {
  const plane = world.planes[cluster];
  assert.ok(plane);
  const where = ['--server', plane.server, '--certificate-authority', plane.caFile];
  return person.kubectl([...where, '--token', token, '--kubeconfig', '/dev/null', ...args]);
}

function sidOf(person: Person, name: string): string {
  const login = world.broker
    .audit()
    .findLast(({ event, username }) => event === 'login' && username === `curfew:${name}@example.com`);
  assert.ok(login, person.dir);
  return String(login.sid);
}

const rows = (sid: string, event: string): AuditLine[] =>
  world.broker.audit().filter((line) => line.sid === sid && line.event === event);

describe('segments', () => {
  test('in one session dev works while prod wants a new login; exec in payments wants a newer one than get there', async () => {
    const alice = await loggedIn('dora', { age: 400, cluster: 'prod' });
    assert.equal((await alice.kubectl(['--context', 'dev', 'get', 'namespaces'])).code, 0);
    const pods = await alice.kubectl(['--context', 'prod', '-n', 'payments', 'get', 'pods']);
    assert.equal(pods.code, 0, pods.stderr);
    assert.match(pods.stdout, /shell/);
    const exec = await alice.kubectl(['--context', 'prod', '-n', 'payments', 'exec', 'shell', '--', 'printf', 'hello']);
    assert.equal(exec.code, 1);
    assert.match(
      exec.stderr,
      /forbidden.*curfew: login is too old: last login 6m ago, limit 5m \(segment shells\); run: kubectl curfew login --cluster prod/,
    );
    // what it says helps
    alice.browser.set({ otp: '222222' });
    assert.equal((await alice.curfew(['login', '--cluster', 'prod'])).code, 0);
    const again = await alice.kubectl([
      '--context',
      'prod',
      '-n',
      'payments',
      'exec',
      'shell',
      '--',
      'printf',
      'hello',
    ]);
    assert.deepEqual([again.code, again.stdout], [0, 'hello'], again.stderr);

    const emil = await loggedIn('emil', { age: 1000, cluster: 'dev' });
    assert.equal((await emil.kubectl(['--context', 'dev', 'get', 'namespaces'])).code, 0);
    const prod = await emil.kubectl(['--context', 'prod', 'get', 'namespaces']);
    assert.notEqual(prod.code, 0);
    assert.match(prod.stderr, /login is too old: last login 16m ago, limit 15m/);
    assert.equal((await emil.kubectl(['--context', 'dev', 'get', 'namespaces'])).code, 0);
  });

  test('H11 a request over all namespaces is judged by the shortest limit among them, nodes/proxy by all; nodes are not', async () => {
    const emil = await loggedIn('emil', { age: 400, cluster: 'prod' });
    const token = await tokenOf(emil, 'prod');
    const nodes = await withToken(emil, 'prod', token, 'get', 'nodes');
    assert.equal(nodes.code, 0, nodes.stderr);
    // H11: a kubelet would run commands in any pod, those of payments among them.
    const kubelet = await withToken(emil, 'prod', token, 'get', '--raw', '/api/v1/nodes/none/proxy/pods');
    assert.match(kubelet.stderr, /login is too old/);
    const everywhere = await withToken(emil, 'prod', token, 'get', 'pods', '-A');
    assert.equal(everywhere.code, 0, 'no segment limits pods in payments, only their exec');
  });

  test('step-up: prod wants acr mfa; at a terminal one login at that level, without one exit 77; dev goes on', async () => {
    const fred = await loggedIn('fred');
    const dev = await tokenOf(fred, 'dev');
    const without = await fred.kubectl(['--context', 'prod', 'get', 'namespaces']);
    assert.notEqual(without.code, 0);
    assert.match(without.stderr, /login is too weak: acr mfa is required[\s\S]*failed with exit code 77/);
    const visits = fred.browser.visits().length;
    fred.browser.set({ otp: '222222' });
    const call = fred.kubectlAtTerminal('--context', 'prod', 'get', 'namespaces');
    assert.equal((await call.exit).code, 0, call.output());
    assert.match(call.output(), /login is too weak[\s\S]*default\s+Active/);
    assert.equal(fred.browser.visits().length, visits + 1);
    const held = await withToken(fred, 'dev', dev, 'get', 'namespaces');
    assert.equal(held.code, 0, `a token of the session before the step-up: ${held.stderr}`);
  });

  test('step-up: an IdP that gives no mfa is asked once, and the refusal says so', async () => {
    const gina = await loggedIn('gina');
    const visits = gina.browser.visits().length;
    const call = gina.kubectlAtTerminal('--context', 'prod', 'get', 'namespaces');
    assert.notEqual((await call.exit).code, 0);
    assert.match(call.output(), /acr mfa is required; the identity provider was asked for it and did not give it/);
    assert.equal(gina.browser.visits().length, visits + 1);
  });
});

describe('the end of a session at the API server', () => {
  test('ended by an administrator: the next request with an unexpired token is denied, and SSO does not bring it back (S13)', async () => {
    const [carol, hugo] = [await loggedIn('carol'), await loggedIn('hugo')];
    const token = await tokenOf(hugo, 'dev');
    assert.equal((await withToken(hugo, 'dev', token, 'get', 'namespaces')).code, 0);
    const sid = sidOf(hugo, 'hugo');
    await sleep(1100);
    const ended = await carol.curfew(['sessions', 'end', sid, '--reason', 'laptop stolen']);
    assert.equal(ended.code, 0, ended.stderr);
    const denied = await withToken(hugo, 'dev', token, 'get', 'namespaces');
    assert.equal(denied.code, 1);
    assert.match(
      denied.stderr,
      /Forbidden.*curfew: session is over: ended by an administrator; run: kubectl curfew login/,
    );
    const [end] = rows(sid, 'end');
    assert.deepEqual([end?.reason, end?.by, end?.note], ['administrator', 'curfew:carol@example.com', 'laptop stolen']);
    assert.equal(rows(sid, 'denial')[0]?.reason, 'session_ended');

    const forms = world.idp.forms;
    await hugo.curfew(['logout']);
    const back = hugo.kubectlAtTerminal('--context', 'dev', 'get', 'namespaces');
    assert.equal((await back.exit).code, 0, back.output());
    assert.equal(world.idp.forms, forms + 1, 'the person had to type the password');
  });

  test('ended by its owner from another machine: likewise', async () => {
    const [here, there] = [await loggedIn('jane'), await loggedIn('jane')];
    const token = await tokenOf(here, 'prod').catch(() => tokenOf(here, 'dev'));
    const first = world.broker
      .audit()
      .filter(({ event, username }) => event === 'login' && username === 'curfew:jane@example.com')[0];
    const sid = String(first?.sid);
    await sleep(1100);
    const ended = await there.curfew(['sessions', 'end', sid]);
    assert.equal(ended.code, 0, ended.stderr);
    const denied = await withToken(here, 'dev', token, 'get', 'namespaces');
    assert.match(denied.stderr, /Forbidden.*session is over: ended by its owner/);
    assert.equal((await there.kubectl(['--context', 'dev', 'get', 'namespaces'])).code, 0, 'the other session lives');
  });

  test('logged out: likewise, also where the API server asks about the token itself', async () => {
    const gina = await loggedIn('gina');
    const [dev, edge] = [await tokenOf(gina, 'dev'), await tokenOf(gina, 'edge')];
    const whoami = await withToken(gina, 'edge', edge, 'auth', 'whoami', '-o', 'json');
    assert.equal(whoami.code, 0, whoami.stderr);
    const { username, groups } = (JSON.parse(whoami.stdout) as { status: { userInfo: Record<string, string[]> } })
      .status.userInfo;
    assert.equal(username, 'curfew:gina@example.com');
    assert.ok(groups?.includes('curfew:sre'));
    await sleep(1100);
    assert.equal((await gina.curfew(['logout'])).code, 0);
    assert.match((await withToken(gina, 'dev', dev, 'get', 'namespaces')).stderr, /session is over: logged out/);
    const denied = await withToken(gina, 'edge', edge, 'get', 'namespaces');
    assert.match(denied.stderr, /session is over: logged out|Unauthorized|logged in to the server/);
  });

  test('H21 an API server that must present a certificate is heard with one of the authority that is named, of no other', async () => {
    const gina = await loggedIn('gina');
    const token = await tokenOf(gina, 'edge');
    const heard = async () => (await withToken(gina, 'edge', token, 'auth', 'whoami')).code === 0;
    assert.ok(await heard());
    const file = path.join(world.dir, 'client-ca.crt');
    await copyFile(world.authority.caFile, file);
    await until(async () => !(await heard()), 'it is heard with a certificate of another authority');
    const reasons = world.broker.audit().map(({ reason }) => reason);
    assert.ok(reasons.includes('client_certificate'));
    await copyFile(path.join(world.dir, 'clients', 'clients.crt'), file);
    await until(heard, 'it is not heard again');
  });

  test('idle: real use keeps the session alive beyond inactivity_timeout, silence ends it, SSO does not bring it back', async () => {
    const ivan = await loggedIn('ivan');
    const token = await tokenOf(ivan, 'dev');
    const used = performance.now();
    await sleep(12_000);
    assert.equal((await withToken(ivan, 'dev', token, 'get', 'namespaces')).code, 0);
    // past the limit since the last renewal, not since the last use, which only the webhook saw
    await sleep((IDLE + 3) * 1000 - (performance.now() - used));
    const alive = await ivan.kubectl(['--context', 'dev', 'get', 'namespaces']);
    assert.equal(alive.code, 0, alive.stderr);
    const held = await tokenOf(ivan, 'dev');
    assert.equal((await withToken(ivan, 'dev', held, 'get', 'namespaces')).code, 0);
    await sleep((IDLE + 1) * 1000);
    const silent = await withToken(ivan, 'dev', held, 'get', 'namespaces');
    assert.equal(silent.code, 1);
    assert.match(silent.stderr, /session (is idle|is over)|Unauthorized|logged in to the server/);
    const refused = await ivan.kubectl(['--context', 'dev', 'get', 'namespaces']);
    assert.match(refused.stderr, /session is idle for too long|session is over: it was not used for too long/);
    assert.equal(rows(sidOf(ivan, 'ivan'), 'end')[0]?.reason, 'inactivity_timeout');
    const forms = world.idp.forms;
    const back = ivan.kubectlAtTerminal('--context', 'dev', 'get', 'namespaces');
    assert.equal((await back.exit).code, 0, back.output());
    assert.equal(world.idp.forms, forms + 1);
  });
});

describe('the policy that runs', () => {
  test('a tighter one, reloaded, denies the next request of a token that is still good; a broken one changes nothing', async () => {
    const emil = await loggedIn('emil', { age: 700 });
    const token = await tokenOf(emil, 'dev');
    assert.equal((await withToken(emil, 'dev', token, 'get', 'namespaces')).code, 0);
    await world.rewriteConfig({ policy: { ...POLICY, limits: { ...POLICY.limits, max_age: 'soon' } } });
    const outcomes = () =>
      world.broker
        .audit()
        .filter(({ event }) => event === 'policy')
        .map(({ outcome }) => outcome);
    await until(() => outcomes().at(-1) === 'refused', 'not refused');
    assert.equal((await withToken(emil, 'dev', token, 'get', 'namespaces')).code, 0);
    await world.rewriteConfig({
      policy: {
        ...POLICY,
        segments: [...POLICY.segments, { name: 'tight', match: { clusters: ['dev'] }, limits: { max_age: '10m' } }],
      },
    });
    await until(() => outcomes().at(-1) === 'reloaded', 'not reloaded');
    const denied = await withToken(emil, 'dev', token, 'get', 'namespaces');
    assert.match(denied.stderr, /login is too old: last login 1\dm ago, limit 10m \(segment tight\)/);
    await world.rewriteConfig({});
    await until(() => outcomes().filter((one) => one === 'reloaded').length === 2, 'not reloaded again');
    assert.equal((await withToken(emil, 'dev', token, 'get', 'namespaces')).code, 0, 'a segment ends nothing');
  });
});

describe('while the broker is down', () => {
  test('on_failure: deny denies each request of a session; no_opinion leaves it to RBAC until the token is over', async () => {
    const hugo = await loggedIn('hugo', { cluster: 'prod' });
    const [dev, prod] = [await tokenOf(hugo, 'dev'), await tokenOf(hugo, 'prod')];
    for (const [cluster, token] of [
      ['dev', dev],
      ['prod', prod],
    ] as const) {
      assert.equal((await withToken(hugo, cluster, token, 'get', 'namespaces')).code, 0);
    }
    await world.broker.kill();
    const open = await withToken(hugo, 'dev', dev, 'get', 'namespaces');
    assert.equal(open.code, 0, open.stderr);
    const shut = await withToken(hugo, 'prod', prod, 'get', 'namespaces');
    assert.equal(shut.code, 1);
    assert.match(shut.stderr, /Forbidden|InternalError.*webhooks\/authorize/);
    // nobody else is touched by it
    assert.equal((await world.planes.prod?.adminKubectl(['get', 'namespaces']))?.code, 0);
    await world.restartBroker();
    assert.equal((await withToken(hugo, 'prod', prod, 'get', 'namespaces')).code, 0);
  });
});

describe('break-glass, by the commands of docs/operations.md', () => {
  test('a sealed client certificate gets in while the broker is down, its use is in the audit log of the API server, and it can be shut', async () => {
    const { prod } = world.planes;
    assert.ok(prod);
    const { commands } = breakGlass;
    const [make = '', use = '', seen = '', found = '', shut = ''] = commands;
    assert.equal(commands.length, 5);
    const shell = (text: string) => breakGlass.shell(text, prod, world.site.configFile);
    const made = await shell(make);
    assert.equal(made.code, 0, made.stderr);
    const unseen = await shell(seen);
    assert.deepEqual([unseen.code, unseen.stdout], [1, ''], 'creating the credential does not count as using it');

    await world.broker.kill();
    const used = await shell(use);
    assert.equal(used.code, 0, used.stderr);
    assert.match(used.stdout, /^payments +Active/m);
    const lines = (await shell(seen)).stdout.trimEnd().split('\n');
    const events = lines.map((line) => JSON.parse(line) as { user: { username: string }; requestURI: string });
    assert.ok(events.length > 0);
    assert.ok(events.every(({ user }) => user.username === 'break-glass-1'));
    assert.ok(events.some(({ requestURI }) => requestURI.startsWith('/api/v1/namespaces')));

    const [kubeconfig = '', cluster = ''] = found.split('\n');
    const atPerson = await shell(kubeconfig);
    assert.deepEqual([atPerson.code, /client_certificate/.test(atPerson.stdout)], [1, true], atPerson.stdout);
    const atCluster = await shell(cluster);
    assert.equal(atCluster.code, 1, atCluster.stdout + atCluster.stderr);
    assert.match(
      atCluster.stdout,
      /foreign_subject: group break-glass by clusterrolebinding break-glass \(cluster-admin\)/,
    );

    assert.equal((await shell(shut)).code, 0);
    const after = await shell(use);
    assert.match(after.stderr, /Forbidden.*"break-glass-1"/);
    await world.restartBroker();
  });
});

describe('what was written and what was foretold', () => {
  test('policy test and policy explain say what the API servers did', async () => {
    const dora = { user: 'dora@example.com', groups: ['dev', 'sre'], acr: 'mfa', auth_age: '400s' };
    const exec = { cluster: 'prod', namespace: 'payments', resource: 'pods/exec' };
    const cases = [
      { ...dora, name: 'dev works', cluster: 'dev', expect: 'allow' },
      { ...dora, name: 'get in payments works', ...exec, resource: 'pods', expect: { allow: true, segment: 'prod' } },
      {
        ...dora,
        name: 'exec there does not',
        ...exec,
        expect: { deny: 'login_too_old', segment: 'shells', ends_session: false },
      },
      {
        ...dora,
        name: 'prod wants 15m',
        cluster: 'prod',
        auth_age: '1000s',
        expect: { deny: 'login_too_old', segment: 'prod' },
      },
      {
        ...dora,
        name: 'and mfa',
        cluster: 'prod',
        acr: 'pwd',
        auth_age: '1s',
        expect: { deny: 'acr_too_low', segment: 'prod' },
      },
      {
        ...{
          name: 'ivan idles for 20 s',
          user: 'ivan@example.com',
          groups: ['dev'],
          cluster: 'dev',
          auth_age: '60s',
          idle: `${IDLE}s`,
        },
        expect: { deny: 'idle_too_long', ends_session: true },
      },
    ];
    const file = path.join(world.dir, 'cases.yaml');
    await writeFile(file, stringify({ cases }));
    const table = await world.site.command('policy', 'test', file);
    assert.deepEqual([table.code, table.stdout], [0, '6 cases, 6 as expected, 0 not\n'], table.stderr);

    const words = ['policy', 'explain', '--user', 'dora@example.com', '--groups', 'dev,sre', '--acr', 'mfa'];
    const where = ['--cluster', 'prod', '--namespace', 'payments', '--resource', 'pods/exec'];
    const explained = await world.site.command(...words, ...where);
    assert.equal(explained.code, 0, explained.stderr);
    assert.match(explained.stdout, /max_age +5m +segment shells/);
  });

  test('each refusal, denial and end of this run is in the audit log with its reason, and one changed byte is found', async () => {
    const { code, stdout } = await world.site.command('audit', 'export');
    assert.equal(code, 0);
    const record = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as AuditLine);
    const reasons = (event: string) =>
      new Set(record.filter((line) => line.event === event).map(({ reason }) => reason));
    for (const reason of ['acr_too_low', 'login_too_old'])
      assert.ok(reasons('refusal').has(reason), `no refusal for ${reason}`);
    for (const reason of ['login_too_old', 'session_ended'])
      assert.ok(reasons('denial').has(reason), `no denial for ${reason}`);
    for (const reason of ['administrator', 'owner', 'logout', 'inactivity_timeout', 'replaced'])
      assert.ok(reasons('end').has(reason), `no end for ${reason}`);
    for (const line of record.filter(({ event }) => ['refusal', 'denial', 'end'].includes(event))) {
      assert.ok(line.reason && line.at && line.hash, JSON.stringify(line));
    }
    const whole = await world.site.command('audit', 'verify');
    assert.equal(whole.code, 0, whole.stdout);
    assert.match(whole.stdout, /^ok: \d+ rows, anchor \d+:[0-9a-f]{64}\n$/);

    const [end] = record.filter(({ event }) => event === 'end');
    const database = new DatabaseSync(path.join(world.dir, 'curfew.db'));
    database.exec('pragma busy_timeout = 5000');
    const change = database.prepare("update audit set data = replace(data, 'end', 'enb') where seq = ?");
    assert.equal(change.run(Number(end?.seq)).changes, 1);
    database.close();
    const changed = await world.site.command('audit', 'verify');
    assert.equal(changed.code, 78);
    assert.match(changed.stdout, new RegExp(`^error: row ${end?.seq} \\(end, .* was changed`, 'm'));
  });
});
