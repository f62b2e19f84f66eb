// The identity provider's word, end to end: real kubectl and kube-apiservers (one with the webhook, one whose own tokens are used), a
// certified OIDC provider that sends its own logout tokens and gives refresh tokens, transmitters with real signatures, broker and
// plugin as shipped.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Agent, fetch as undiciFetch } from 'undici';
import { getToken as askToken, tokenOf as heldToken, logIn } from '../support/log_in.ts';
import { assertKept, nextSecond, until } from '../support/patience.ts';
import type { Person } from '../support/person.ts';
import { startTransmitter, type Transmitter } from '../support/transmitter.ts';
import { startWorld, type World } from '../support/world.ts';

const NAMES = [
  'ada',
  'ben',
  'cid',
  'dan',
  'eve',
  'fay',
  'gus',
  'hal',
  'ida',
  'jon',
  'kim',
  'leo',
  'mia',
  'vera',
  'wim',
];
const users = Object.fromEntries(
  NAMES.map((name) => [
    name,
    { password: `${name}-pw`, email: `${name}@example.com`, email_verified: true, groups: ['dev'] },
  ]),
);
/** Seconds. */
const REVALIDATE = 8;
const vouched = ['vera', 'wim'].map((name) => ({
  ...{ name: `vouched-${name}`, when: `user.name == "${name}@example.com"` },
  limits: { revalidate: `${REVALIDATE}s`, token_ttl: '4s' },
}));

let world: World;
let pushes: Transmitter;
let polled: Transmitter;
let dir: string;
const bearer = randomBytes(32);

before(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'curfew-signals-'));
  pushes = await startTransmitter('RS256');
  polled = await startTransmitter('ES256');
  const [push, poll] = [path.join(dir, 'push'), path.join(dir, 'poll')];
  await writeFile(push, bearer.toString('base64'), { mode: 0o600 });
  await writeFile(poll, polled.poll_token, { mode: 0o600 });
  world = await startWorld({
    users,
    backchannel: true,
    idp: { sid: true, refreshTokens: true },
    identityProvider: { scopes: ['openid', 'email', 'groups', 'offline_access'] },
    policy: { limits: { max_age: '1h', inactivity_timeout: '30m', token_ttl: '5m' }, rules: vouched },
    planes: [
      { name: 'dev', webhook: { on_failure: 'deny' } },
      {
        name: 'managed',
        serviceAccounts: [
          { group: 'sre', namespace: 'people', name: 'editors' },
          { group: 'dev', namespace: 'people', name: 'readers' },
        ],
      },
    ],
  });
  const ssf = [
    { issuer: pushes.issuer, audience: pushes.audience, issuers: [world.idp.issuer], push: { token_file: push } },
    {
      ...{ issuer: polled.issuer, audience: polled.audience, issuers: [world.idp.issuer] },
      poll: { url: polled.poll_url, token_file: poll },
    },
  ];
  await world.restartBroker({ ssf });
  for (const [account, role] of [
    ['readers', 'curfew-dev'],
    ['editors', 'curfew-sre'],
  ]) {
    const bind = ['create', 'clusterrolebinding', `people-${account}`, '--clusterrole', `${role}`];
    const bound = await world.planes.managed?.adminKubectl([...bind, '--serviceaccount', `people:${account}`]);
    assert.equal(bound?.code, 0, bound?.stderr);
  }
});
after(async () => {
  await world?.stop();
  await Promise.all([pushes.stop(), polled.stop()]);
  await rm(dir, { recursive: true });
});

const loggedIn = (name: string) => logIn(world, name);

const getToken = (person: Person, cluster: string, interactive = false, args: readonly string[] = []) =>
  askToken(world, person, { cluster, interactive, args });

const tokenOf = (person: Person, cluster: string) => heldToken(world, person, { cluster });

/** A request with a token, and no plugin that could get another. */
async function ask(cluster: string, token: string): Promise<{ status: number; body: string }> {
  const plane = world.planes[cluster];
  assert.ok(plane);
  const dispatcher = new Agent({ connect: { ca: plane.caPem } });
  try {
    const headers = { authorization: `Bearer ${token}` };
    const response = await undiciFetch(`${plane.server}/api/v1/namespaces`, { headers, dispatcher });
    return { status: response.status, body: await response.text() };
  } finally {
    await dispatcher.destroy();
  }
}

async function dies(cluster: string, token: string): Promise<void> {
  const begin = performance.now();
  await until(async () => (await ask(cluster, token)).status === 401, 'the token lives on');
  assertKept(performance.now() - begin, 11_000);
}

const subject = (name: string) => ({ format: 'iss_sub', iss: world.idp.issuer, sub: `sub-${name}` });
const rows = (name: string, event: string) =>
  world.broker.audit().filter((row) => row.event === event && row.username === `curfew:${name}@example.com`);
const endOf = (name: string) => rows(name, 'end').at(-1)?.reason;
const push = (token: string) =>
  pushes.push(`${world.brokerUrl}/ssf/events`, token, {
    ...{ bearer: bearer.toString('base64url'), ca: world.authority.caPem, tries: 5 },
  });

/** What needs a new token at a terminal asks the person, and not only the IdP's living session. */
async function comesInPerson(name: string, person: Person): Promise<void> {
  // In the very second of the end, a login would be made once more: a person is asked twice then, rightly.
  await nextSecond();
  const forms = world.idp.forms;
  const asked = () => world.idp.requests.filter(({ path }) => path === '/auth').length;
  const before = asked();
  const { code, stderr } = await getToken(person, 'dev', true, ['--max-age', '57m']);
  assert.equal(code, 0, `${name}: ${stderr}`);
  assert.equal(world.idp.forms, forms + 1, `${name}: the times somebody was asked for a password`);
  // Known from the reason: the living session was not tried first.
  assert.equal(asked(), before + 1, `${name}: asked twice`);
}

describe('a logout at the identity provider', () => {
  test('L1 ends the sessions of that person at once, by oidc-provider’s own logout token; S13 nothing brings them back', async () => {
    const [ada, ben] = [await loggedIn('ada'), await loggedIn('ben')];
    const [held, bound, others] = await Promise.all([
      tokenOf(ada, 'dev'),
      tokenOf(ada, 'managed'),
      tokenOf(ben, 'dev'),
    ]);
    for (const [cluster, token] of [
      ['dev', held],
      ['managed', bound],
      ['dev', others],
    ] as const) {
      assert.equal((await ask(cluster, token)).status, 200);
    }
    assert.deepEqual(await world.idp.logOut('ada'), [{ status: 200, body: '' }]);
    // Durably before the answer: the very next request.
    const denied = await ask('dev', held);
    assert.equal(denied.status, 403);
    assert.match(denied.body, /session is over: logged out at the identity provider; run: kubectl curfew login/);
    assert.equal(endOf('ada'), 'idp_logout');
    await dies('managed', bound);
    assert.equal((await ask('dev', others)).status, 200);
    assert.equal(endOf('ben'), undefined);
    await comesInPerson('ada', ada);
  });

  test('L1 ends nothing of a session that was opened in another session of the IdP', async () => {
    const first = await loggedIn('cid');
    const kept = await tokenOf(first, 'dev');
    // The browser of the first keeps its session; only the second's is logged out.
    world.idp.endSessions('cid');
    const second = await loggedIn('cid');
    const gone = await tokenOf(second, 'dev');
    assert.equal((await world.idp.logOut('cid')).length, 1);
    assert.equal((await ask('dev', gone)).status, 403);
    assert.equal((await ask('dev', kept)).status, 200);
  });
});

describe('a security event that is pushed', () => {
  const cases = [
    ['dan', 'session-revoked', 'session_revoked', 'end'],
    ['eve', 'account-disabled', 'account_disabled', 'end'],
    ['fay', 'account-purged', 'account_purged', 'end'],
    ['gus', 'device-compliance-change', 'device_compliance_change', 'end'],
    ['hal', 'credential-change', 'credential_change', 'login'],
    ['ida', 'assurance-level-change', 'assurance_level_change', 'login'],
  ] as const;
  for (const [name, event, reason, action] of cases) {
    test(`L2 ${event} does what the policy says, and S13 the IdP’s living SSO does not undo it`, async () => {
      const person = await loggedIn(name);
      const [held, bound] = await Promise.all([tokenOf(person, 'dev'), tokenOf(person, 'managed')]);
      assert.deepEqual((await push(pushes.set(event, subject(name)).token)).status, 202);
      const { status, body } = await ask('dev', held);
      if (action === 'end') {
        assert.equal(endOf(name), reason);
        assert.equal(status, 403);
        assert.match(body, /curfew: session is over/);
        if (name === 'dan') await dies('managed', bound);
      } else {
        assert.equal(status, 200);
        const refused = await person.kubectl(['--context', 'dev', '--request-timeout', '5s', 'get', 'namespaces']);
        // The cached token goes on; a new one is not to be had.
        assert.equal(refused.code, 0, refused.stderr);
        const renewed = await getToken(person, 'dev', false, ['--max-age', '59m']);
        assert.equal(renewed.code, 77);
        assert.equal(endOf(name), reason);
        // The token that was out is judged by the session, which is over now.
        assert.equal((await ask('dev', held)).status, 403);
      }
      await comesInPerson(name, person);
    });
  }

  test('L2 of a key that was rotated in a moment ago, again and again, while the broker is away: it acts once', async () => {
    const jon = await loggedIn('jon');
    const held = await tokenOf(jon, 'dev');
    await pushes.rotateKeys();
    const { token } = pushes.set('session-revoked', subject('jon'));
    // The keys were read a moment ago: it is told to come again, and does.
    await until(async () => (await push(token)).status === 202, 'not taken');
    assert.equal((await ask('dev', held)).status, 403);
    await comesInPerson('jon', jon);
    assert.equal((await push(token)).status, 202);
    assert.equal((await ask('dev', await tokenOf(jon, 'dev'))).status, 200);
    const stranger = await push(
      pushes.set('session-revoked', subject('jon'), { key: 'stranger', header: { kid: 'x' } }).token,
    );
    assert.notEqual(stranger.status, 202);
    assert.equal((await ask('dev', await tokenOf(jon, 'dev'))).status, 200);
  });
});

describe('security events that are polled', () => {
  test('L2 act before they are acknowledged, in whatever order, as often as they come; what is wrong is said', async () => {
    const [kim, leo] = [await loggedIn('kim'), await loggedIn('leo')];
    const [held, others] = [await tokenOf(kim, 'dev'), await tokenOf(leo, 'dev')];
    await until(() => polled.polls > 0, 'never polled');
    polled.redeliver = true;
    polled.reversed = true;
    polled.batch = 2;
    const good = polled.set('session-revoked', subject('kim'));
    const older = polled.set('verification', { format: 'opaque', id: 'stream' });
    const wrong = polled.set('session-revoked', subject('leo'), { claims: { aud: 'another' } });
    const unknown = polled.set('session-revoked', subject('nobody'));
    polled.queue(older, good, wrong, unknown);
    const said = () => world.broker.log().split('\n').slice(-6).join('\n');
    await until(() => polled.acknowledged.includes(good.jti), `not acknowledged: ${said()}`);
    assert.equal((await ask('dev', held)).status, 403);
    await until(() => polled.errors.has(wrong.jti), 'not refused');
    assert.equal(polled.errors.get(wrong.jti)?.err, 'invalid_audience');
    polled.redeliver = false;
    await until(() => polled.pending.length === 0, `left: ${polled.pending}`);
    assert.equal((await ask('dev', others)).status, 200);
    const signals = world.broker.audit().filter((row) => row.event === 'signal' && row.jti === good.jti);
    assert.equal(signals.length, 1);
    await comesInPerson('kim', kim);
  });

  test('L2 are asked for again after a transmitter failed, rotated its keys, or the broker was killed', async () => {
    const mia = await loggedIn('mia');
    const held = await tokenOf(mia, 'dev');
    polled.fault = '500';
    await world.broker.kill();
    const event = polled.set('account-disabled', subject('mia'));
    polled.queue(event);
    await world.restartBroker({ ...(await sections()) });
    await until(() => /could not be polled/.test(world.broker.log()), 'no failed poll');
    assert.equal((await ask('dev', held)).status, 200);
    polled.fault = undefined;
    await until(() => polled.acknowledged.includes(event.jti), 'not acknowledged');
    assert.equal((await ask('dev', held)).status, 403);
    await polled.rotateKeys();
    const later = polled.set('verification', { format: 'opaque', id: 'stream' });
    polled.queue(later);
    await until(() => polled.acknowledged.includes(later.jti), 'not acknowledged with its new key');
  });

  async function sections() {
    const common = { issuers: [world.idp.issuer] };
    return {
      ssf: [
        { ...common, issuer: pushes.issuer, audience: pushes.audience, push: { token_file: path.join(dir, 'push') } },
        {
          ...{ ...common, issuer: polled.issuer, audience: polled.audience },
          poll: { url: polled.poll_url, token_file: path.join(dir, 'poll') },
        },
      ],
    };
  }
});

describe('revalidation', () => {
  const whoami = (person: Person, cluster: string, what: string) =>
    person.kubectl(['--context', cluster, 'auth', 'whoami', '-o', `jsonpath={.status.userInfo.${what}}`]);

  test('changed groups change the next token, and whom the person acts as elsewhere; auth_time stays', async () => {
    const vera = await loggedIn('vera');
    const login = rows('vera', 'login').at(-1);
    assert.equal((await whoami(vera, 'managed', 'username')).stdout, 'system:serviceaccount:people:readers');
    const before = await tokenOf(vera, 'managed');
    world.idp.setUser('vera', { groups: ['dev', 'sre'] });
    await until(async () => /curfew:sre/.test((await whoami(vera, 'dev', 'groups')).stdout), 'the groups stay');
    assert.equal((await whoami(vera, 'managed', 'username')).stdout, 'system:serviceaccount:people:editors');
    await dies('managed', before);
    const { auth_time } = JSON.parse(
      Buffer.from((await tokenOf(vera, 'dev')).split('.')[1] ?? '', 'base64url').toString(),
    );
    assert.equal(auth_time, login?.auth_time);
    assert.equal(rows('vera', 'login').length, 1);
    assert.ok(rows('vera', 'revalidation').length >= 1);
  });

  test('a disabled account stops there, and nothing but an enabled one brings it back', async () => {
    const wim = await loggedIn('wim');
    assert.equal((await whoami(wim, 'dev', 'username')).stdout, 'curfew:wim@example.com');
    world.idp.setUser('wim', { disabled: true });
    const refused = async () => (await wim.kubectl(['--context', 'dev', 'get', 'namespaces'])).stderr;
    await until(async () => /no longer confirms the login/.test(await refused()), 'the plugin does not say so');
    const mints = rows('wim', 'mint').length;
    assert.match(await refused(), /curfew: hint: run: kubectl curfew login/);
    assert.equal(rows('wim', 'mint').length, mints);
    assert.equal(endOf('wim'), undefined);
    world.idp.setUser('wim', { disabled: false });
    await comesInPerson('wim', wim);
  });
});
