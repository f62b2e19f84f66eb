// One kubeconfig, as `setup` writes it, and the clients that people use beside kubectl: the official JavaScript client, helm,
// kubectl of five years ago. Each with a cached token, with a renewal, and after the end of the session.

import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { CoreV1Api, KubeConfig, Watch } from '@kubernetes/client-node';
import type { RunResult } from '../../scripts/run.ts';
import { run } from '../../scripts/run.ts';
import { refusalOf } from '../cli/desk.ts';
import { ensureOtherClients, type OtherClients } from '../support/other_clients.ts';
import type { Person } from '../support/person.ts';
import { startWorld, type World } from '../support/world.ts';

let world: World;
let alice: Person;
let clients: OtherClients;

before(async () => {
  const policy = { limits: { max_age: '1h', inactivity_timeout: '30m', token_ttl: '2m' }, segments: [] };
  [world, clients] = await Promise.all([startWorld({ policy, kwok: false }), ensureOtherClients()]);
  alice = await world.person('alice');
  const { code, stderr } = await alice.setup('--exec-api-version', 'v1beta1');
  assert.equal(code, 0, stderr);
});
after(() => world?.stop());

const login = async () => {
  const { code, stderr } = await alice.curfew(['login']);
  assert.equal(code, 0, stderr);
};
const logout = async () => assert.equal((await alice.curfew(['logout'])).code, 0);
const mints = () => world.broker.audit().filter(({ event }) => event === 'mint').length;
const cache = () => alice.env.CURFEW_CACHE_DIR ?? '';
const forgetTokens = () => {
  for (const name of readdirSync(cache())) if (name.startsWith('https')) rmSync(path.join(cache(), name));
};
const call = (command: string, ...args: string[]): Promise<RunResult> => run(command, args, { env: alice.env });

/** What the plugin said, among what the client says: one error, one hint. */
const refusedOnce = ({ code, stdout, stderr, ms }: RunResult) => {
  assert.notEqual(code, 0);
  const lines = stderr.split('\n').filter((line) => line.startsWith('curfew: '));
  const { error, hint } = refusalOf({ code, stdout, stderr: lines.slice(0, 2).join('\n') } as RunResult);
  assert.match(error, /^logged out$/);
  assert.equal(hint, 'run: kubectl curfew login');
  // A client that asks several times in a row, as where it knows no resources yet, is told once.
  assert.deepEqual(new Set(lines), new Set(lines.slice(0, 2)));
  if (ms < 2_000) assert.equal(lines.length, 2, stderr);
};

const COMMANDS: Readonly<Record<string, () => [string, ...string[]]>> = {
  'kubectl 1.20': () => [clients.old_kubectl, 'get', 'configmaps', '-n', 'default', '-o', 'name'],
  'kubectl 1.35': () => [clients.kubectl, 'get', 'configmaps', '-n', 'default', '-o', 'name'],
  helm: () => [clients.helm, 'list', '-n', 'default'],
};

for (const [name, command] of Object.entries(COMMANDS)) {
  describe(name, () => {
    test('goes on with a cached token, and renews', async () => {
      await login();
      const [program, ...args] = command();
      for (const round of ['first', 'renewed']) {
        const before = mints();
        for (let i = 0; i < 3; i++) {
          const result = await call(program, ...args);
          assert.equal(result.code, 0, result.stderr);
          assert.equal(result.stderr, '');
        }
        assert.equal(mints(), before + 1, round);
        forgetTokens();
      }
    });

    test('is refused after the end of the session, at once, without a tab', async () => {
      await logout();
      const tabs = alice.browser.visits().length;
      const [program, ...args] = command();
      rmSync(path.join(alice.env.HOME ?? '', '.kube/cache'), { recursive: true, force: true });
      refusedOnce(await call(program, ...args));
      assert.equal(alice.browser.visits().length, tabs);
    });
  });
}

test('kubectl 1.20 knows no v1: setup without --exec-api-version is not for it', async () => {
  await login();
  const file = path.join(alice.dir, 'v1.kubeconfig');
  assert.equal((await alice.setup('--kubeconfig', file)).code, 0);
  const old = await run(clients.old_kubectl, ['get', 'namespaces'], { env: { ...alice.env, KUBECONFIG: file } });
  assert.notEqual(old.code, 0);
  assert.match(old.stderr, /invalid apiVersion/);
  const now = await alice.kubectl(['get', 'namespaces'], { env: { KUBECONFIG: file } });
  assert.equal(now.code, 0, now.stderr);
});

test('a static token that audit --fix has replaced by a session: what was an administrator is the person, with each client', async () => {
  await login();
  const file = path.join(alice.dir, 'fixed.kubeconfig');
  writeFileSync(file, readFileSync(world.plane.adminKubeconfig), { mode: 0o600 });
  const env = { ...alice.env, KUBECONFIG: file };
  const who = async () =>
    (await run(clients.kubectl, ['auth', 'whoami', '-o', 'jsonpath={.status.userInfo.username}'], { env })).stdout;
  assert.equal(await who(), 'test-admin');
  const fixed = await alice.curfew(['audit', 'kubeconfig', file, '--fix', '--yes']);
  assert.deepEqual([fixed.code, fixed.stderr], [0, ''], fixed.stdout);
  assert.match(fixed.stdout, /^nothing is left$/m);
  assert.equal(await who(), 'curfew:alice@example.com');
  for (const name of ['kubectl 1.35', 'helm'] as const) {
    const [program, ...args] = COMMANDS[name]?.() ?? [''];
    const result = await run(program, args, { env });
    assert.equal(result.code, 0, result.stderr);
  }
  assert.equal((await alice.curfew(['status', '--prompt'], { env: { KUBECONFIG: file } })).code, 0);
});

test('helm installs, upgrades and removes a chart', async () => {
  await login();
  const chart = path.join(alice.dir, 'chart');
  mkdirSync(path.join(chart, 'templates'), { recursive: true });
  writeFileSync(path.join(chart, 'Chart.yaml'), 'apiVersion: v2\nname: curfew-test\nversion: 0.1.0\n');
  const manifest =
    'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: "{{ .Release.Name }}"}\ndata: {a: "{{ .Release.Revision }}"}\n';
  writeFileSync(path.join(chart, 'templates/configmap.yaml'), manifest);
  for (const args of [
    ['install', 'one', chart],
    ['upgrade', 'one', chart],
    ['uninstall', 'one'],
  ]) {
    const result = await call(clients.helm, ...args, '-n', 'default', '--kube-context', 'dev');
    assert.equal(result.code, 0, result.stderr);
  }
});

describe('the official JavaScript client', () => {
  const open = (): KubeConfig => {
    const config = new KubeConfig();
    config.loadFromFile(alice.env.KUBECONFIG ?? '');
    config.setCurrentContext('dev');
    // The client gives the plugin its own environment.
    for (const user of config.users) {
      if (user.exec)
        user.exec.env = [...user.exec.env, ...Object.entries(alice.env).map(([key, value]) => ({ name: key, value }))];
    }
    return config;
  };

  test('lists and watches', async () => {
    await login();
    const config = open();
    const api = config.makeApiClient(CoreV1Api);
    const { items } = await api.listNamespace();
    assert.ok(items.some(({ metadata }) => metadata?.name === 'default'));
    const seen = Promise.withResolvers<string>();
    const watching = await new Watch(config).watch(
      '/api/v1/namespaces',
      {},
      (_phase, object) => seen.resolve(object.metadata.name),
      (error) => seen.reject(error),
    );
    assert.equal(typeof (await seen.promise), 'string');
    watching.abort();
  });

  test('is refused 20 times after the end: no tab, no lock, nobody is asked (P3)', async () => {
    await login();
    const config = open();
    const api = config.makeApiClient(CoreV1Api);
    await api.listNamespace();
    await logout();
    const [tabs, asked] = [alice.browser.visits().length, world.broker.audit().length];
    const locks = readdirSync(cache()).filter((name) => name.startsWith('lock'));
    // Another long-lived client, whose token is not at hand any more.
    const later = open().makeApiClient(CoreV1Api);
    for (let i = 0; i < 20; i++)
      await assert.rejects(
        later.listNamespace(),
        /^Error: curfew: error: logged out\ncurfew: hint: run: kubectl curfew login\n$/,
      );
    assert.equal(alice.browser.visits().length, tabs);
    assert.equal(world.broker.audit().length, asked);
    assert.deepEqual(
      readdirSync(cache()).filter((name) => name.startsWith('lock')),
      locks,
    );
  });
});
