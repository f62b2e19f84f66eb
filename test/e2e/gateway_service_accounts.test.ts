// A gateway before a cluster whose API server takes no flags: tokens are the cluster's own, and what is open in a session is cut the moment
// it ends, while the API server still believes them. Real kubectl, kube-apiserver and kwok; gateway, broker and plugin as shipped.

import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent, fetch as undiciFetch } from 'undici';
import { parse } from 'yaml';
import { buildBundles } from '../../scripts/bundle.ts';
import { type RunResult, run } from '../../scripts/run.ts';
import type { AuditLine } from '../support/broker_process.ts';
import { type GatewayWorld, startGatewayWorld } from '../support/gateway_world.ts';
import { tokenOf as heldToken, logIn } from '../support/log_in.ts';
import { type OpenStreams, openStreams } from '../support/open_streams.ts';
import { until } from '../support/patience.ts';
import type { Person } from '../support/person.ts';
import { USERS } from '../support/world.ts';

const NAMESPACE = 'curfew-people';
/** Seconds. */
const IDLE = 20;
const ACCOUNTS = [
  { group: 'ops', namespace: NAMESPACE, name: 'editors' },
  { group: 'sre', namespace: NAMESPACE, name: 'editors' },
  { group: 'dev', namespace: NAMESPACE, name: 'readers' },
];
const NAMES = ['dora', 'emil', 'fred', 'gina', 'hugo', 'ivan', 'jane', 'kurt'];
const people = Object.fromEntries(
  NAMES.map((name) => [
    name,
    {
      password: `${name}-pw`,
      email: `${name}@example.com`,
      email_verified: true,
      groups: name === 'hugo' ? ['ops'] : ['sre'],
    },
  ]),
);
const AGAIN = 'run: kubectl curfew login';

let world: GatewayWorld;
/** Of somebody else, who acts as the same ServiceAccount. */
let theirs: OpenStreams;

before(async () => {
  world = await startGatewayWorld({
    users: { ...USERS, ...people },
    policy: {
      limits: { max_age: '1h', inactivity_timeout: '30m', token_ttl: '5m' },
      rules: [
        {
          ...{ name: 'short-idle', when: 'user.name == "gina@example.com"' },
          limits: { inactivity_timeout: `${IDLE}s`, token_ttl: '10s' },
        },
      ],
    },
    sections: { admins: { groups: ['security'], limits: { max_age: '1h' } } },
    backchannel: true,
    plane: { serviceAccounts: ACCOUNTS },
  });
  const bind = ['create', 'clusterrolebinding', 'people-editors', '--clusterrole', 'curfew-sre'];
  const bound = await world.plane.adminKubectl([...bind, '--serviceaccount', `${NAMESPACE}:editors`]);
  assert.equal(bound.code, 0, bound.stderr);
  theirs = await openStreams(world, await loggedIn('jane'), 'dev');
});
after(async () => {
  await theirs?.kill();
  await world?.stop();
});

const loggedIn = (name: string, age = 0) => logIn(world, name, { age });

const rows = (name: string, event: string) =>
  world.broker.audit().filter((row) => row.event === event && row.username === `curfew:${name}@example.com`);
const sidOf = (name: string) => String(rows(name, 'login').at(-1)?.sid);

const tokenOf = (person: Person) => heldToken(world, person);

/** Through the gateway, with a token and no plugin that could get another. */
async function ask(token: string): Promise<{ status: number; message: string }> {
  const dispatcher = new Agent({ connect: { ca: world.authority.caPem } });
  try {
    const headers = { authorization: `Bearer ${token}` };
    const response = await undiciFetch(`${world.gateway.url}/api/v1/namespaces`, { headers, dispatcher });
    const { message = '' } = (await response.json()) as { message?: string };
    return { status: response.status, message };
  } finally {
    await dispatcher.destroy();
  }
}

/** What the audit log has opened of a session it has cut, for that reason. */
async function areTold(sid: string, ...reasons: readonly unknown[]): Promise<void> {
  const told = (step: string) =>
    world.broker.audit().filter((row) => row.event === 'stream' && row.sid === sid && row.step === step);
  const names = (some: readonly AuditLine[]) => some.map(({ stream }) => stream).sort();
  await until(
    () => told('opened').length >= 5 && told('cut').length + told('closed').length >= told('opened').length,
    'not all cuts are told',
  );
  assert.deepEqual(names([...told('cut'), ...told('closed')]), names(told('opened')));
  assert.ok(told('cut').every((row) => reasons.includes(row.reason)));
}

const ENDS: Readonly<
  Record<string, { name: string; age?: number; words: string; end: (person: Person) => Promise<unknown> }>
> = {
  'the person logs out': {
    ...{ name: 'dora', words: `curfew: session is over: logged out; ${AGAIN}` },
    end: (person) => person.curfew(['logout']),
  },
  'an administrator ends the session': {
    ...{ name: 'emil', words: `curfew: session is over: ended by an administrator; ${AGAIN}` },
    async end() {
      const { code, stderr } = await (await loggedIn('carol')).curfew(['sessions', 'end', sidOf('emil')]);
      assert.equal(code, 0, stderr);
    },
  },
  'the identity provider logs the person out': {
    ...{ name: 'fred', words: `curfew: session is over: logged out at the identity provider; ${AGAIN}` },
    end: () => world.idp.logOut('fred'),
  },
};

describe('G1 at a cluster with credential: service-account', { concurrency: 2 }, () => {
  test('what is typed is use there too, and without it the session ends', async () => {
    const person = await loggedIn('gina');
    const streams = await openStreams(world, person, 'dev', { kinds: ['exec over WebSocket', 'exec over SPDY'] });
    try {
      const end = performance.now() + (IDLE + 5) * 1000;
      while (performance.now() < end) {
        await streams.check();
        await sleep(1_000);
      }
      // The broker may see it first.
      const ended = `session is over: it was not used for too long; ${AGAIN}`;
      await streams.assertCut(`session is idle for too long: not used for ${IDLE}s, limit ${IDLE}s; ${AGAIN}`, ended);
    } finally {
      await streams.kill();
    }
  });

  for (const [when, { name, age, words, end }] of Object.entries(ENDS))
    test(`all that is open is cut when ${when}; others who act as the same ServiceAccount go on`, async (t) => {
      const person = await loggedIn(name, age);
      const whoami = await person.kubectl(['auth', 'whoami', '-o', 'jsonpath={.status.userInfo.username}']);
      assert.equal(whoami.stdout, `system:serviceaccount:${NAMESPACE}:editors`, whoami.stderr);
      const token = await tokenOf(person);
      const sid = sidOf(name);
      const streams = await openStreams(world, person, 'dev');
      try {
        assert.equal((await ask(token)).status, 200);
        await end(person);
        for (const row of await streams.assertCut(words)) t.diagnostic(row);
        // Until the lease was asked for again, and its Secret is gone, by which the broker knows whose the token was.
        await until(() => rows(name, 'secret_deleted').length > 0, 'the Secret is still there');
        for (const last = performance.now() + 3_500; performance.now() < last; await sleep(250))
          assert.deepEqual(await ask(token), { status: 401, message: words });
        await theirs.check();
        await areTold(sid, rows(name, 'end').at(-1)?.reason);
      } finally {
        await streams.kill();
      }
    });

  test('what is open is cut when the person acts as somebody else from then on', async () => {
    const person = await loggedIn('hugo');
    const streams = await openStreams(world, person, 'dev');
    try {
      const { clusters } = parse(readFileSync(world.site.configFile, 'utf8')) as { clusters: readonly object[] };
      const [first, ...rest] = ACCOUNTS;
      const service_accounts = [{ ...first, name: 'readers' }, ...rest];
      await world.rewriteConfig({ clusters: clusters.map((one) => ({ ...one, service_accounts })) });
      // Where its Secret is gone already, nobody knows whose it was.
      await streams.assertCut(
        'curfew: you are not admitted to this cluster any more',
        'curfew: there is no such session',
      );
      await areTold(sidOf('hugo'), 'not_admitted', 'unknown_session');
    } finally {
      await streams.kill();
      await world.rewriteConfig({});
    }
  });
});

/** A token of a ServiceAccount, as TokenRequest gives it. */
async function tokenFor(account: string, ...bound: readonly string[]): Promise<string> {
  const asked = ['create', 'token', account, '--namespace', NAMESPACE, ...bound];
  const { code, stdout, stderr } = await world.plane.adminKubectl(asked);
  assert.equal(code, 0, stderr);
  return stdout.trim();
}

/** That of a session, with another's Secret in it. */
function forged(token: string): string {
  const [head, payload = '', signature] = token.split('.');
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString());
  claims['kubernetes.io'].secret.uid = '00000000-0000-4000-8000-000000000000';
  return [head, Buffer.from(JSON.stringify(claims)).toString('base64url'), signature].join('.');
}

/** `curfew-gateway check` with the configuration that the gateway has. */
async function check(): Promise<RunResult> {
  const { gateway } = await buildBundles();
  return run(process.execPath, [gateway, 'check', '--config', path.join(world.dir, 'curfew-gateway.yaml')]);
}

describe('G4 at a cluster with credential: service-account', () => {
  const OTHER = 'curfew: this gateway takes tokens of curfew sessions alone; run: kubectl curfew login';
  const INVALID = 'curfew: not a token that is good here; run: kubectl curfew login';
  const UNKNOWN = 'curfew: there is no such session';

  test('tokens that are not of a session are other credentials, and what could be one of a session never is', async () => {
    const own = await tokenOf(await loggedIn('ivan'));
    const made = await world.plane.adminKubectl(['create', 'secret', 'generic', 'theirs', '--namespace', NAMESPACE]);
    assert.equal(made.code, 0, made.stderr);
    const unbound = await tokenFor('editors');
    const bound = await tokenFor('editors', '--bound-object-kind', 'Secret', '--bound-object-name', 'theirs');
    const answers = async () => Promise.all([own, unbound, bound, forged(own)].map(ask));
    assert.deepEqual(await answers(), [
      { status: 200, message: '' },
      { status: 401, message: OTHER },
      { status: 401, message: UNKNOWN },
      { status: 401, message: INVALID },
    ]);
    assert.match((await check()).stdout, /^ok {5}the broker answers/m);
    await theirs.kill();
    await world.gateway.kill();
    await world.startGateway({ other_credentials: 'pass' });
    assert.deepEqual(await answers(), [
      { status: 200, message: '' },
      { status: 200, message: '' },
      { status: 401, message: UNKNOWN },
      { status: 401, message: INVALID },
    ]);
    await world.gateway.kill();
    // Without the cluster's keys nobody can say which of them are of sessions: what is bound to a Secret does not pass, uncut.
    const { server: url, caFile: ca_file } = world.plane;
    await world.startGateway({ other_credentials: 'pass', api_server: { url, ca_file } });
    assert.deepEqual(await answers(), [
      { status: 401, message: INVALID },
      { status: 200, message: '' },
      { status: 401, message: INVALID },
      { status: 401, message: INVALID },
    ]);
    const { code, stdout } = await check();
    assert.deepEqual([code, /^error {2}api_server\.service_account_keys_file: /m.test(stdout)], [78, true], stdout);
  });

  test('the keys of the cluster are read again when they have changed', async () => {
    const own = await tokenOf(await loggedIn('kurt'));
    const file = path.join(world.dir, 'changed-keys.json');
    const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const before = { keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'before', alg: 'RS256', use: 'sig' }] };
    await writeFile(file, JSON.stringify(before));
    await world.gateway.kill();
    const { server: url, caFile: ca_file } = world.plane;
    await world.startGateway({ api_server: { url, ca_file, service_account_keys_file: file } });
    assert.deepEqual(await ask(own), { status: 401, message: INVALID });
    await writeFile(file, 'half a fil');
    await until(() => /the old ones stay/.test(world.gateway.stdout() + world.gateway.stderr()), 'not looked at');
    await writeFile(file, (await world.plane.adminKubectl(['get', '--raw', '/openid/v1/jwks'])).stdout);
    await until(async () => (await ask(own)).status === 200, 'the new keys are not used');
  });
});
