// API servers of earlier versions, with what is printed for them: a login, requests, a renewal, and the end, which is denied at once.
// They are built from pinned Go modules, once.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { run } from '../../scripts/run.ts';
import { ensureProgram } from '../cluster/build.ts';
import type { ControlPlane } from '../cluster/control_plane.ts';
import { earlier_api_servers } from '../cluster/versions.ts';
import type { AuditLine } from '../support/broker_process.ts';
import { tokenOf as heldToken, logIn } from '../support/log_in.ts';
import { assertKept, until } from '../support/patience.ts';
import { type Person, startWorld, USERS, type World } from '../support/world.ts';

/** Seconds. */
const TOKEN_TTL = 15;
const IDLE = 40;
/** Seconds for which kube-apiserver goes on taking a token after its `exp`. */
const LINGERS = 10;
/** Seconds after the end of a session. */
const DEAD_WITHIN = 11;
const NAMESPACE = 'curfew-people';
const POLICY = {
  limits: { max_age: '1h', inactivity_timeout: '30m', token_ttl: `${TOKEN_TTL}s` },
  rules: [
    {
      name: 'short-idle',
      when: 'user.name == "bob@example.com"',
      limits: { inactivity_timeout: `${IDLE}s` },
    },
  ],
};

/** Where the id of a token stands: kube-apiserver puts it there by itself from 1.32 on, before that what is printed does. */
const [BY_ITSELF, AS_PRINTED] = ['authentication.kubernetes.io/credential-id', 'curfew.internal/token-id'] as const;

interface UserInfo {
  readonly username: string;
  readonly extra: Readonly<Record<string, readonly string[]>>;
}

assert.ok(earlier_api_servers.length > 0);
for (const program of earlier_api_servers) {
  const { version } = program.module;
  const printed_for = version.split('.').slice(0, 2).join('.');

  describe(`kube-apiserver ${version}`, () => {
    let world: World;
    before(async () => {
      const earlier = { version: printed_for, kubeApiserver: await ensureProgram(program) };
      world = await startWorld({
        policy: POLICY,
        users: USERS,
        planes: [
          { name: 'dev', webhook: { on_failure: 'deny' }, earlier },
          { name: 'managed', serviceAccounts: [{ group: 'dev', namespace: NAMESPACE, name: 'readers' }], earlier },
        ],
      });
    });
    after(() => world?.stop());

    const loggedIn = (name: string) => logIn(world, name);

    const tokenOf = (person: Person, cluster = 'dev') => heldToken(world, person, { cluster });

    /** kubectl with a token and no plugin. */
    function withToken(token: string, ...args: readonly string[]) {
      return at(world.plane, token, ...args);
    }

    function at(plane: ControlPlane, token: string, ...args: readonly string[]) {
      const where = ['--server', plane.server, '--certificate-authority', plane.caFile];
      return run(world.plane.kubectlPath, [...where, '--token', token, '--kubeconfig', '/dev/null', ...args]);
    }

    const rows = (name: string, event: string): readonly AuditLine[] =>
      world.broker.audit().filter((row) => row.event === event && row.username === `curfew:${name}@example.com`);

    it('is the one that is meant, and takes what is printed for it', async () => {
      const { code, stdout, stderr } = await world.plane.adminKubectl(['version', '-o', 'json']);
      assert.equal(code, 0, stderr);
      const { gitVersion } = (JSON.parse(stdout) as { serverVersion: { gitVersion: string } }).serverVersion;
      assert.equal(gitVersion, `v${version}`);
      for (const what of ['authn-config', 'authz-config']) {
        const printed = await world.site.print(what, 'dev', '--kubernetes', printed_for);
        assert.match(printed, /^apiVersion: apiserver\.config\.k8s\.io\/v1beta1$/m);
      }
    });

    it('H10 lets a person in, whose token it names to the broker; renews; and denies the next request after the end', async () => {
      const alice = await loggedIn('alice');
      const first = await alice.kubectl(['get', 'namespaces']);
      assert.equal(first.code, 0, first.stderr);
      assert.match(first.stdout, /kube-system/);
      const whoami = await alice.kubectl(['auth', 'whoami', '-o', 'json']);
      const { userInfo } = (JSON.parse(whoami.stdout) as { status: { userInfo: UserInfo } }).status;
      assert.equal(userInfo.username, 'curfew:alice@example.com');
      const jtis = rows('alice', 'mint').map(({ jti }) => jti);
      const id = userInfo.extra[BY_ITSELF]?.[0]?.replace('JTI=', '') ?? userInfo.extra[AS_PRINTED]?.[0];
      assert.ok(jtis.includes(id), JSON.stringify(userInfo));
      const made = await alice.kubectl(['create', 'configmap', 'hers']);
      assert.equal(made.code, 0, made.stderr);

      await sleep((TOKEN_TTL + 1) * 1000);
      const renewed = await alice.kubectl(['get', 'namespaces']);
      assert.equal(renewed.code, 0, renewed.stderr);
      assert.equal(rows('alice', 'login').length, 1);
      assert.ok(rows('alice', 'mint').length >= 2, 'nothing was renewed');

      const token = await tokenOf(alice);
      // What the API server remembers of these must not outlive the session.
      for (let i = 0; i < 3; i++) assert.equal((await withToken(token, 'get', 'namespaces')).code, 0);
      assert.equal((await alice.curfew(['logout'])).code, 0);
      const denied = await withToken(token, 'get', 'namespaces');
      assert.equal(denied.code, 1);
      assert.match(denied.stderr, /Forbidden.*curfew: session is over: logged out/);
      const refused = await alice.kubectl(['get', 'namespaces']);
      assert.notEqual(refused.code, 0);
      assert.match(refused.stderr, /run: kubectl curfew login/);

      await sleep((TOKEN_TTL + LINGERS + 1) * 1000);
      assert.match((await withToken(token, 'get', 'namespaces')).stderr, /Unauthorized|logged in to the server/);
    });

    it('has requests count as use, and silence end the session', async () => {
      const bob = await loggedIn('bob');
      const token = await tokenOf(bob);
      const opened = performance.now();
      await sleep((TOKEN_TTL - 3) * 1000);
      const used = await withToken(token, 'get', 'namespaces');
      assert.equal(used.code, 0, used.stderr);
      const last = performance.now();
      // Past the limit since the login, not since the request, of which only the webhook knows.
      await sleep(opened + (IDLE + 3) * 1000 - performance.now());
      const alive = await bob.kubectl(['get', 'namespaces']);
      assert.equal(alive.code, 0, `${Math.round(performance.now() - last)} ms after the request: ${alive.stderr}`);
      await sleep((IDLE + 2) * 1000);
      const idle = await bob.kubectl(['get', 'namespaces']);
      assert.notEqual(idle.code, 0);
      assert.match(idle.stderr, /run: kubectl curfew login/);
      assert.equal(rows('bob', 'end').at(-1)?.reason, 'inactivity_timeout');
    });

    it('H10 denies what somebody else asks about the session, who does not know the id of a token', async () => {
      const alice = await loggedIn('alice');
      const sid = String(rows('alice', 'login').at(-1)?.sid);
      const spec = {
        user: 'curfew:alice@example.com',
        extra: { 'curfew.internal/session-id': [sid] },
        resourceAttributes: { verb: 'list', resource: 'namespaces' },
      };
      const review = { apiVersion: 'authorization.k8s.io/v1', kind: 'SubjectAccessReview', spec };
      const asked = await world.plane.adminKubectl(['create', '-f', '-', '-o', 'json'], {
        input: JSON.stringify(review),
      });
      assert.equal(asked.code, 0, asked.stderr);
      const { status } = JSON.parse(asked.stdout) as { status: Record<string, unknown> };
      assert.equal(status.allowed, false);
      assert.match(String(status.reason), /curfew: not a request with a valid token of this session/);
      const hers = await alice.kubectl(['get', 'namespaces']);
      assert.equal(hers.code, 0, hers.stderr);
    });

    it('gives tokens of its own that die with the session, which cannot make itself others', async () => {
      const plane = world.planes.managed;
      assert.ok(plane);
      const policy = await world.site.print('admission-policy', 'managed');
      const applied = await plane.adminKubectl(['apply', '-f', '-'], { input: policy });
      assert.equal(applied.code, 0, applied.stderr);
      const rule = ['--verb', 'create,get,list', '--resource', 'namespaces,secrets,serviceaccounts/token'];
      for (const made of [
        ['clusterrole', 'people', ...rule],
        ['clusterrolebinding', 'people', '--clusterrole', 'people', '--serviceaccount', `${NAMESPACE}:readers`],
        ['serviceaccount', 'robot', '-n', 'default'],
      ]) {
        const { code, stderr } = await plane.adminKubectl(['create', ...made]);
        assert.equal(code, 0, stderr);
      }
      const checked = await world.site.command('check');
      assert.match(checked.stdout, /^ok: cluster managed: its API server lets the broker do its work$/m);

      const alice = await loggedIn('alice');
      const managed = (...args: readonly string[]) => alice.kubectl(['--context', 'managed', ...args]);
      const namespaces = await managed('get', 'namespaces');
      assert.equal(namespaces.code, 0, namespaces.stderr);
      // It may take a moment until the API server has read the policy.
      await until(async () => {
        const { stderr } = await managed('create', 'token', 'robot', '-n', 'default');
        return /curfew: a session cannot make tokens of ServiceAccounts/.test(stderr);
      }, 'a session can make tokens');

      const token = await tokenOf(alice, 'managed');
      assert.equal((await at(plane, token, 'get', 'namespaces')).code, 0);
      assert.equal((await alice.curfew(['logout'])).code, 0);
      const since = performance.now();
      await until(async () => (await at(plane, token, 'get', 'namespaces')).code !== 0, 'the token lives on');
      assertKept(performance.now() - since, DEAD_WITHIN * 1000);
      const { stdout } = await plane.adminKubectl(['get', 'secrets', '-n', NAMESPACE, '-o', 'name']);
      assert.equal(stdout, '');
    });
  });
}
