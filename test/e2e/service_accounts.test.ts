// A cluster whose API server takes no flags, end to end: real kubectl and kube-apiserver, a certified OIDC provider, broker and
// plugin as shipped. Tokens are the cluster's own, and die with the Secret of their session.

import assert from 'node:assert/strict';
import { copyFileSync, readFileSync, rmSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent, fetch as undiciFetch } from 'undici';
import { parse } from 'yaml';
import type { ControlPlane } from '../cluster/control_plane.ts';
import type { AuditLine } from '../support/broker_process.ts';
import { startGate } from '../support/gate.ts';
import { Holder } from '../support/holder.ts';
import { tokenOf as heldToken, logIn } from '../support/log_in.ts';
import { assertKept, until } from '../support/patience.ts';
import type { Person } from '../support/person.ts';
import { startWorld, USERS, type World } from '../support/world.ts';

const people = (names: readonly string[], groups: readonly string[]) =>
  Object.fromEntries(
    names.map((name) => [name, { password: `${name}-pw`, email: `${name}@example.com`, email_verified: true, groups }]),
  );
const ALL = {
  ...USERS,
  ...people(['dora', 'emil', 'fred', 'gina', 'hugo', 'ivan', 'jane'], ['dev']),
  ...people(['root'], ['platform-admins', 'dev']),
};
/** Seconds. */
const IDLE = 20;
/** Seconds within which a token must be dead: the API server's own cache, and the deletion. */
const DEAD_WITHIN = 11;
const NAMESPACE = 'curfew-people';
const POLICY = {
  limits: { max_age: '1h', inactivity_timeout: '30m', token_ttl: '5m' },
  rules: [
    {
      name: 'short-idle',
      when: 'user.name == "gina@example.com"',
      limits: { inactivity_timeout: `${IDLE}s`, token_ttl: '10s' },
    },
  ],
};

let world: World;
let plane: ControlPlane;

before(async () => {
  world = await startWorld({
    policy: POLICY,
    users: ALL,
    sections: { admins: { groups: ['platform-admins'], limits: { max_age: '15m' } } },
    planes: [
      {
        name: 'managed',
        serviceAccounts: [
          { group: 'sre', namespace: NAMESPACE, name: 'editors' },
          { group: 'dev', namespace: NAMESPACE, name: 'readers' },
        ],
      },
    ],
  });
  plane = world.plane;
  for (const [account, role] of [
    ['readers', 'curfew-dev'],
    ['editors', 'curfew-sre'],
  ]) {
    const bind = ['create', 'clusterrolebinding', `people-${account}`, '--clusterrole', `${role}`];
    const bound = await plane.adminKubectl([...bind, '--serviceaccount', `${NAMESPACE}:${account}`]);
    assert.equal(bound.code, 0, bound.stderr);
  }
});
after(() => world?.stop());

const loggedIn = (name: string, age = 0) => logIn(world, name, { age });

const kubectl = (person: Person, ...args: readonly string[]) => person.kubectl(['--context', 'managed', ...args]);

const tokenOf = (person: Person) => heldToken(world, person, { cluster: 'managed' });

/** HTTP status of a request with a token, and no plugin that could get another. */
async function statusWith(token: string): Promise<number> {
  const dispatcher = new Agent({ connect: { ca: plane.caPem } });
  try {
    const headers = { authorization: `Bearer ${token}` };
    const response = await undiciFetch(`${plane.server}/api/v1/namespaces`, { headers, dispatcher });
    await response.arrayBuffer();
    return response.status;
  } finally {
    await dispatcher.destroy();
  }
}

/** @returns after how many seconds from `since` (milliseconds) the token was refused */
async function diesAfter(token: string, since: number): Promise<number> {
  for (;;) {
    const begin = Date.now();
    if ((await statusWith(token)) === 401) return (begin - since) / 1000;
    assert.ok(begin - since < 60_000, 'the token lives on');
    await sleep(100);
  }
}

async function secrets(): Promise<readonly { metadata: { name: string; annotations: Record<string, string> } }[]> {
  const { code, stdout, stderr } = await plane.adminKubectl(['get', 'secrets', '-n', NAMESPACE, '-o', 'json']);
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout).items;
}

const secretsOf = async (name: string) =>
  (await secrets()).filter(
    ({ metadata }) => metadata.annotations?.['curfew.internal/username'] === `curfew:${name}@example.com`,
  );
const secretOf = async (name: string) => (await secretsOf(name))[0];

const rows = (name: string, event: string): readonly AuditLine[] =>
  world.broker.audit().filter((row) => row.event === event && row.username === `curfew:${name}@example.com`);

/** A client of the broker's own making, with a login that the IdP vouches for, and no browser. */
function holder(): Holder {
  const dispatcher = new Agent({ connect: { ca: world.authority.caPem } });
  const send = async (url: string, init: RequestInit) =>
    (await undiciFetch(url, { ...init, dispatcher } as never)) as unknown as Response;
  return new Holder({ url: world.brokerUrl, issuer: world.brokerUrl, send });
}

describe('a person of a mapped group', () => {
  test('logs in, and acts as the ServiceAccount of the first group that fits', async () => {
    const alice = await loggedIn('alice');
    const whoami = await kubectl(alice, 'auth', 'whoami', '-o', 'jsonpath={.status.userInfo.username}');
    assert.equal(whoami.stdout, `system:serviceaccount:${NAMESPACE}:editors`, whoami.stderr);
    const made = await kubectl(alice, 'create', 'configmap', 'mine');
    assert.equal(made.code, 0, made.stderr);

    const bob = await loggedIn('bob');
    const bobs = await kubectl(bob, 'auth', 'whoami', '-o', 'jsonpath={.status.userInfo.username}');
    assert.equal(bobs.stdout, `system:serviceaccount:${NAMESPACE}:readers`, bobs.stderr);
    assert.equal((await kubectl(bob, 'get', 'configmaps')).code, 0);
    const refused = await kubectl(bob, 'create', 'configmap', 'his');
    assert.match(refused.stderr, /forbidden: User "system:serviceaccount:curfew-people:readers" cannot create/i);
  });

  test('is named on the Secret, and by the jti of the token in the audit log', async () => {
    const secret = await secretOf('bob');
    assert.ok(secret);
    const [login] = rows('bob', 'login');
    assert.equal(secret.metadata.annotations['curfew.internal/session-id'], login?.sid);
    const bob = await loggedIn('dora');
    const token = await tokenOf(bob);
    const { jti } = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
    const mint = rows('dora', 'mint').find((row) => row.jti === jti);
    assert.equal(mint?.service_account, `${NAMESPACE}/readers`);
    assert.equal(mint?.secret, (await secretOf('dora'))?.metadata.name);
  });

  test('in no mapped group is told that there is no such cluster', async () => {
    const carol = await loggedIn('carol');
    const { code, stdout, stderr } = await kubectl(carol, 'get', 'namespaces');
    assert.notEqual(code, 0);
    assert.equal(stdout, '');
    assert.match(stderr, /curfew: error: no such cluster or target, or you have no access to it/);
    assert.equal(await secretOf('carol'), undefined);
  });
});

describe('the broker’s identity in the cluster, as printed', () => {
  /** kubectl with the broker's own token. */
  const asBroker = (...args: readonly string[]) => {
    const token = readFileSync(`${world.dir}/managed-broker-token`, 'utf8').trim();
    const where = ['--server', plane.server, '--certificate-authority', plane.caFile, '--kubeconfig', '/dev/null'];
    return plane.adminKubectl([...where, '--token', token, ...args]);
  };
  const raw = (verb: string, path: string) => asBroker(verb, '--raw', path);

  test('is nobody’s but its own, and may do its work', async () => {
    const whoami = await asBroker('auth', 'whoami', '-o', 'jsonpath={.status.userInfo.username}');
    assert.equal(whoami.stdout, 'system:serviceaccount:curfew-broker:curfew-broker', whoami.stderr);
    const made = await asBroker('create', 'secret', 'generic', 'probe', '-n', NAMESPACE);
    assert.equal(made.code, 0, made.stderr);
    assert.equal((await raw('get', `/api/v1/namespaces/${NAMESPACE}/secrets`)).code, 0);
    const token = await asBroker(
      'create',
      'token',
      'readers',
      '-n',
      NAMESPACE,
      '--bound-object-kind',
      'Secret',
      '--bound-object-name',
      'probe',
      '--bound-object-uid',
      await uidOf('probe'),
    );
    assert.equal(token.code, 0, token.stderr);
    assert.equal((await asBroker('create', 'token', 'editors', '-n', NAMESPACE)).code, 0);
    assert.equal((await raw('delete', `/api/v1/namespaces/${NAMESPACE}/secrets/probe`)).code, 0);
  });

  test('is looked at by check, which names what is missing', async () => {
    const whole = await world.site.command('check');
    assert.match(whole.stdout, /^ok: cluster managed: its API server lets the broker do its work$/m);
    const role = (await plane.adminKubectl(['get', 'role', 'curfew-broker', '-n', NAMESPACE, '-o', 'json'])).stdout;
    const lesser = JSON.parse(role);
    delete lesser.metadata.resourceVersion;
    lesser.rules = [
      { apiGroups: [''], resources: ['secrets'], verbs: ['create', 'list'] },
      { ...lesser.rules[1], resourceNames: ['editors'] },
    ];
    assert.equal((await plane.adminKubectl(['apply', '-f', '-'], { input: JSON.stringify(lesser) })).code, 0);
    const lacking = await world.site.command('check');
    assert.equal(lacking.code, 78);
    assert.match(
      lacking.stdout,
      /^error: cluster managed: the broker cannot: delete secrets in curfew-people; create serviceaccounts\/token of readers in curfew-people: see curfew-broker print rbac$/m,
    );
    assert.equal(
      (await plane.adminKubectl(['apply', '-f', '-'], { input: await world.site.print('rbac', 'managed') })).code,
      0,
    );
  });

  test('may do nothing beyond', async () => {
    const there = `/api/v1/namespaces/${NAMESPACE}`;
    assert.equal((await plane.adminKubectl(['create', 'serviceaccount', 'stranger', '-n', NAMESPACE])).code, 0);
    assert.equal((await plane.adminKubectl(['create', 'secret', 'generic', 'others', '-n', 'default'])).code, 0);
    const beyond: readonly (readonly string[])[] = [
      // other verbs on Secrets, and Secrets elsewhere
      ['get', '--raw', `${there}/secrets/some`],
      ['get', '--raw', `${there}/secrets?watch=true&timeoutSeconds=1`],
      ['annotate', 'secret', 'some', 'a=b', '-n', NAMESPACE],
      ['delete', 'secrets', '--all', '-n', 'default'],
      ['get', '--raw', '/api/v1/namespaces/default/secrets'],
      ['get', '--raw', '/api/v1/secrets'],
      ['create', 'secret', 'generic', 'x', '-n', 'default'],
      ['create', 'secret', 'generic', 'x', '-n', 'curfew-broker'],
      ['delete', '--raw', `${there}/secrets`],
      // tokens of other ServiceAccounts, its own among them
      ['create', 'token', 'stranger', '-n', NAMESPACE],
      ['create', 'token', 'curfew-broker', '-n', 'curfew-broker'],
      ['create', 'token', 'default', '-n', 'default'],
      // ServiceAccounts, rights, other people
      ['create', 'serviceaccount', 'x', '-n', NAMESPACE],
      ['get', '--raw', `${there}/serviceaccounts`],
      [
        'create',
        'rolebinding',
        'x',
        '--clusterrole',
        'curfew-sre',
        '--serviceaccount',
        `${NAMESPACE}:readers`,
        '-n',
        NAMESPACE,
      ],
      ['create', 'clusterrolebinding', 'x', '--clusterrole', 'curfew-sre', '--serviceaccount', `${NAMESPACE}:readers`],
      ['get', '--raw', '/api/v1/nodes', '--as', 'system:admin'],
      ['get', '--raw', '/api/v1/namespaces', '--as', `system:serviceaccount:${NAMESPACE}:editors`],
      // all else
      ['get', '--raw', '/api/v1/namespaces'],
      ['get', '--raw', `${there}/pods`],
      ['get', '--raw', `${there}/configmaps`],
      ['create', 'configmap', 'x', '-n', NAMESPACE],
      ['get', '--raw', '/apis/rbac.authorization.k8s.io/v1/clusterroles/curfew-sre'],
      ['delete', 'clusterrole', 'curfew-sre'],
      ['delete', 'validatingadmissionpolicy', 'curfew-no-credentials'],
      ['get', '--raw', '/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies'],
    ];
    for (const args of beyond) {
      const { code, stderr } = await asBroker(...args);
      assert.notEqual(code, 0, args.join(' '));
      assert.match(stderr, /forbidden/i, `${args.join(' ')}: ${stderr}`);
    }
    const list = await asBroker('auth', 'can-i', '--list', '--no-headers', '-n', NAMESPACE);
    const granted = list.stdout.split('\n').filter((line) => /^(secrets|serviceaccounts)/.test(line));
    assert.deepEqual(
      granted.map((line) => line.replaceAll(/\s+/g, ' ').trim()).sort(),
      [
        'secrets [] [] [create list delete]',
        'serviceaccounts/token [] [editors] [create]',
        'serviceaccounts/token [] [readers] [create]',
      ],
      list.stdout,
    );
  });

  async function uidOf(name: string): Promise<string> {
    return (await plane.adminKubectl(['get', 'secret', name, '-n', NAMESPACE, '-o', 'jsonpath={.metadata.uid}']))
      .stdout;
  }
});

describe('an unexpired token is dead within 11 s of the end of its session', () => {
  test('ended by its owner, by an administrator, by idleness, by max_age', async () => {
    const cases: readonly (() => Promise<readonly [string, number]>)[] = [
      async () => {
        const emil = await loggedIn('emil');
        const token = await tokenOf(emil);
        assert.equal(await statusWith(token), 200);
        assert.equal((await emil.curfew(['sessions', 'end', sidOf('emil')])).code, 0);
        return ['owner', await diesAfter(token, Date.now())];
      },
      async () => {
        const fred = await loggedIn('fred');
        const token = await tokenOf(fred);
        assert.equal(await statusWith(token), 200);
        const root = await loggedIn('root');
        const { code, stderr } = await root.curfew(['sessions', 'end', '--user', 'fred@example.com']);
        assert.equal(code, 0, stderr);
        return ['administrator', await diesAfter(token, Date.now())];
      },
      async () => {
        const gina = await loggedIn('gina');
        const token = await tokenOf(gina);
        assert.equal(await statusWith(token), 200);
        // Whole seconds: the last use counts from the end of its second on.
        const end = (Number(rows('gina', 'mint').at(-1)?.at) + IDLE) * 1000;
        await sleep(end - Date.now());
        return ['idle', await diesAfter(token, end)];
      },
      async () => {
        const hugo = await loggedIn('hugo', 3600 - 45);
        const token = await tokenOf(hugo);
        assert.equal(await statusWith(token), 200);
        const end = (Number(rows('hugo', 'login').at(-1)?.auth_time) + 3600) * 1000;
        await sleep(end - Date.now());
        return ['max_age', await diesAfter(token, end)];
      },
    ];
    const measured = await Promise.all(cases.map((one) => one()));
    for (const [cause, seconds] of measured) {
      // The token's own end is minutes away: only the Secret's can have been it.
      assertKept(seconds * 1000, DEAD_WITHIN * 1000, cause);
    }
    assert.deepEqual(await Promise.all(['emil', 'fred', 'gina', 'hugo'].map((name) => secretOf(name))), [
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
    // The Secret goes at the end itself; the row of an end that nobody asked for comes with the next sweep, within 10 s.
    const reasons = await Promise.all(['emil', 'fred', 'gina', 'hugo'].map(reasonOfEnd));
    assert.deepEqual(reasons, ['owner', 'administrator', 'inactivity_timeout', 'max_age']);
  });
});

async function reasonOfEnd(name: string): Promise<unknown> {
  const reason = () => rows(name, 'end').at(-1)?.reason;
  await until(() => reason() !== undefined, `no end of ${name} is recorded`);
  return reason();
}

function sidOf(name: string): string {
  return String(rows(name, 'login').at(-1)?.sid);
}

describe('a Secret goes whatever happens meanwhile', () => {
  test('the API server hangs at the end of the session: the deletion is tried until it is done', async () => {
    const ivan = await loggedIn('ivan');
    await tokenOf(ivan);
    assert.ok(await secretOf('ivan'));
    const apiServer = plane.pids[1] ?? 0;
    process.kill(apiServer, 'SIGSTOP');
    try {
      assert.equal((await ivan.curfew(['logout'])).code, 0);
      // The first try gives up after its own deadline.
      await until(async () => /could not be deleted/.test(world.broker.log()), 'no try failed');
    } finally {
      process.kill(apiServer, 'SIGCONT');
    }
    await until(async () => (await secretOf('ivan')) === undefined, 'the Secret is still there');
    assert.equal(rows('ivan', 'secret_deleted').length, 1);
  });

  test('the broker is killed between the end and the deletion: it goes at the next start', async () => {
    const jane = await loggedIn('jane');
    await tokenOf(jane);
    const apiServer = plane.pids[1] ?? 0;
    process.kill(apiServer, 'SIGSTOP');
    try {
      assert.equal((await jane.curfew(['logout'])).code, 0);
      await world.broker.kill();
    } finally {
      process.kill(apiServer, 'SIGCONT');
    }
    assert.ok(await secretOf('jane'), 'the Secret outlived the broker');
    await world.restartBroker();
    await until(async () => (await secretOf('jane')) === undefined, 'the Secret is still there');
  });

  test('the broker is killed between the Secret and its row: the session continues with that one, and ends with it', async () => {
    world.idp.setUser('kate', { email: 'kate@example.com', email_verified: true, groups: ['dev'] });
    const client = holder();
    const { nonce } = client;
    const handle = (await client.exchange(world.idp.issueIdToken('kate', { nonce }))).granted.refresh_token ?? '';
    const gate = await startGate(world.authority, plane);
    try {
      const { clusters } = parse(readFileSync(world.site.configFile, 'utf8')) as { clusters: readonly object[] };
      const behind = clusters.map((one) => ({ ...one, server: gate.url, ca_file: world.authority.caFile }));
      await world.restartBroker({ clusters: behind });
      gate.answered = async (method, path) => {
        if (method === 'POST' && path.endsWith('/secrets')) await world.broker.kill();
      };
      await assert.rejects(client.renew(handle, 'managed'));
    } finally {
      await gate.stop();
    }
    const made = (await secretOf('kate'))?.metadata.name;
    assert.ok(made, 'the API server had made it');
    await world.restartBroker();
    const { access_token: token } = (await client.renew(handle, 'managed')).granted;
    assert.equal(await statusWith(token), 200);
    assert.deepEqual(
      (await secretsOf('kate')).map(({ metadata }) => metadata.name),
      [made],
    );
    assert.equal((await client.revoke(handle)).status, 200);
    assertKept((await diesAfter(token, Date.now())) * 1000, DEAD_WITHIN * 1000);
    assert.equal(await secretOf('kate'), undefined);
  });

  test('one that no row knows is found by its label, and goes; what is not ours stays', async () => {
    const secret = (name: string, issuer: string) =>
      `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"${name}","namespace":"${NAMESPACE}","labels":${issuer}}}`;
    const known = (await secrets()) as unknown as { metadata: { labels: Record<string, string> } }[];
    const [labels] = known.map(({ metadata }) => metadata.labels);
    assert.ok(labels, 'no Secret to learn the labels from');
    const others = { ...labels, 'curfew.internal/issuer': '0123456789abcdef' };
    for (const [name, own] of [
      ['left-over', labels],
      ['of-another-broker', others],
    ] as const) {
      const made = await plane.adminKubectl(['apply', '-f', '-'], { input: secret(name, JSON.stringify(own)) });
      assert.equal(made.code, 0, made.stderr);
    }
    await world.restartBroker();
    const names = async () => (await secrets()).map(({ metadata }) => metadata.name);
    await until(async () => !(await names()).includes('left-over'), 'the left-over is still there');
    assert.ok((await names()).includes('of-another-broker'));
  });

  test('after 200 sessions that were opened and ended, none is left', async () => {
    const before = (await secrets()).length;
    const names = Array.from({ length: 200 }, (_, i) => `p${i}`);
    for (const name of names) {
      world.idp.setUser(name, { password: 'x', email: `${name}@example.com`, email_verified: true, groups: ['dev'] });
    }
    const sessions: { client: Holder; handle: string }[] = [];
    for (let from = 0; from < names.length; from += 20) {
      const opened = names.slice(from, from + 20).map(async (name) => {
        const client = holder();
        const { nonce } = client;
        const { granted } = await client.exchange(world.idp.issueIdToken(name, { nonce }), { audience: 'managed' });
        assert.equal(granted.issued_token_type, 'urn:ietf:params:oauth:token-type:jwt');
        sessions.push({ client, handle: granted.refresh_token ?? '' });
      });
      await Promise.all(opened);
    }
    assert.equal((await secrets()).length, before + 200);
    await Promise.all(sessions.map(({ client, handle }) => client.revoke(handle)));
    await until(async () => (await secrets()).length === before, 'Secrets are left');
  });
});

describe('everything before now is over', () => {
  test('S22 store accept on a store that was put back takes away every Secret of ours, also those that it does not know', async () => {
    const file = `${world.dir}/curfew.db`;
    const put = async (name: string, labels: object) => {
      const metadata = { name, namespace: NAMESPACE, labels };
      const input = JSON.stringify({ apiVersion: 'v1', kind: 'Secret', metadata });
      const { code, stderr } = await plane.adminKubectl(['apply', '-f', '-'], { input });
      assert.equal(code, 0, stderr);
    };
    const opened = async (name: string) => {
      world.idp.setUser(name, { email: `${name}@example.com`, email_verified: true, groups: ['dev'] });
      const client = holder();
      const id_token = world.idp.issueIdToken(name, { nonce: client.nonce });
      const { access_token: token, refresh_token: handle = '' } = (
        await client.exchange(id_token, { audience: 'managed' })
      ).granted;
      assert.equal(await statusWith(token), 200);
      const secret = (await secretOf(name))?.metadata;
      assert.ok(secret);
      return { client, handle, token, secret: secret as typeof secret & { readonly labels: Record<string, string> } };
    };
    const known = await opened('liam');
    const copy = new DatabaseSync(file, { readOnly: true });
    copy.exec(`vacuum into '${file}.copy'`);
    copy.close();
    const unknown = await opened('mona');
    await world.broker.kill();
    const { labels } = unknown.secret;
    await put('of-nobody', labels);
    await put('of-another', { ...labels, 'curfew.internal/issuer': '0123456789abcdef0123456789abcdef' });
    await put('without-labels', {});
    for (const part of ['-wal', '-shm']) rmSync(file + part, { force: true });
    copyFileSync(`${file}.copy`, file);

    const refused = await world.site.command('serve');
    assert.match(refused.stderr, /put back to an earlier state/);
    const accepted = await world.site.command('store', 'accept');
    const since = Date.now();
    assert.equal(accepted.code, 0, accepted.stdout + accepted.stderr);
    const names = (await secrets()).map(({ metadata }) => metadata.name);
    const ours = ['of-nobody', known.secret.name, unknown.secret.name];
    assert.deepEqual(
      names.filter((name) => name.startsWith('curfew-') || ours.includes(name)),
      [],
    );
    assert.ok(names.includes('of-another') && names.includes('without-labels'), names.join(' '));
    for (const { token } of [known, unknown]) {
      assertKept((await diesAfter(token, since)) * 1000, DEAD_WITHIN * 1000);
    }
    await world.restartBroker();
    for (const { client, handle } of [known, unknown]) {
      assert.notEqual((await client.renew(handle, 'managed')).status, 200);
    }
    const again = await opened('mona');
    assert.notEqual(again.secret.name, unknown.secret.name);
  });
});
