// The authorization and TokenReview webhooks: who may ask, what they deny, and that they are the clock of use.

import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import type { Holder } from '../support/holder.ts';
import { type Attributes, askAuthentication, askAuthorization, jtiOf, post, reviewOf } from '../support/review.ts';
import { startTestService, type TestService } from '../support/service.ts';
import { openStoreDatabase } from '../support/store_database.ts';

const USER = 'curfew:alice@example.com';
const HOOK = { on_failure: 'deny', authentication: true };
const CLUSTERS = [
  {
    ...{ name: 'dev', server: 'https://127.0.0.1:1', audience: 'dev', allowed_groups: ['*'] },
    webhook: { ...HOOK, token_file: 'dev-hook' },
  },
  {
    ...{ name: 'prod-eu', server: 'https://127.0.0.1:2', audience: 'prod-eu', allowed_groups: ['sre'] },
    webhook: { ...HOOK, token_file: 'prod-eu-hook' },
  },
];
const LIMITS = { max_age: '1h', inactivity_timeout: '30m', token_ttl: '5m' };
const POLICY = {
  limits: LIMITS,
  segments: [
    { name: 'prod', match: { clusters: ['prod-*'] }, limits: { max_age: '15m', inactivity_timeout: '10m' } },
    { name: 'payments', match: { clusters: ['prod-*'], namespaces: ['payments'] }, limits: { max_age: '5m' } },
    { name: 'shells', match: { resources: ['pods/exec', 'pods/attach'] }, limits: { max_age: '10m' } },
    { name: 'vault', match: { namespaces: ['vault'] }, limits: { acr: ['mfa'] } },
    ...['dev-ci', 'dev-tests'].map((name) => ({
      ...{ name, match: { clusters: ['dev'], namespaces: [name] }, limits: { max_age: '50m' } },
      impersonate_service_accounts: name === 'dev-ci',
    })),
  ],
};

let service: TestService;
let holder: Holder;
let sid: string;
let handle: string;

before(async () => {
  service = await startTestService({ clusters: CLUSTERS, policy: POLICY });
});
after(() => service.stop());

/** Each test has a login of its own: nothing of one before it is left but the store. */
beforeEach(async () => {
  service.advance(7200);
  holder = service.holder();
  const { granted } = await service.login(holder);
  [sid, handle] = [granted.session.sid, granted.refresh_token ?? ''];
});

type More = { user?: string; sid?: string | string[]; jti?: string | string[] | undefined };

/** As a request with a token of the session, unless `more` says otherwise. */
function ask(cluster: string, attributes: Attributes = {}, more: More = {}) {
  const jti = service.tokenId(typeof more.sid === 'string' ? more.sid : sid, cluster);
  const token = service.webhook_tokens[cluster] ?? '';
  return askAuthorization(service.url, token, { user: USER, sid, jti, attributes, ...more });
}

const denials = () => service.audit.filter(({ event, sid: whose }) => event === 'denial' && whose === sid);
const ends = () => service.audit.filter(({ event, sid: whose }) => event === 'end' && whose === sid);

/** A Kubernetes token of the session that lives now. */
async function tokenFor(audience: string): Promise<string> {
  return (await holder.renew(handle, audience)).granted.access_token;
}

describe('an opinion', () => {
  test('is none while the session lives, and none about those who have no session', async () => {
    assert.deepEqual(await ask('dev'), { status: 200, denied: false, reason: '' });
    const nobodys = { user: 'system:kube-scheduler' };
    const token = service.webhook_tokens.dev ?? '';
    assert.deepEqual(await askAuthorization(service.url, token, nobodys), { status: 200, denied: false, reason: '' });
  });

  test('is a denial at the second at which max_age ends the session, says why and what to do, and ends it', async () => {
    for (let minute = 1; minute < 60; minute++) {
      service.advance(60);
      assert.equal((await ask('dev')).denied, false);
    }
    service.advance(59);
    assert.equal((await ask('dev')).denied, false);
    service.advance(1);
    assert.deepEqual(await ask('dev'), {
      ...{ status: 200, denied: true },
      reason: 'curfew: login is too old: last login 1h ago, limit 1h; run: kubectl curfew login',
    });
    assert.deepEqual(
      ends().map((end) => end.event === 'end' && [end.reason, end.ended_at]),
      [['max_age', service.now]],
    );
    assert.match((await ask('dev')).reason, /^curfew: session is over: the login reached its longest age; run:/);
  });

  test('S2 a call every 10 s moves no max_age: it ends to the second', async () => {
    for (let i = 1; i < 360; i++) {
      service.advance(10);
      if (i % 30 === 0) await holder.renew(handle, 'dev');
      assert.equal((await ask('dev')).denied, false, `after ${i * 10} s`);
    }
    service.advance(9);
    assert.equal((await ask('dev')).denied, false);
    service.advance(1);
    assert.match((await ask('dev')).reason, /last login 1h ago, limit 1h/);
  });

  test("S1 a segment's limit denies what it is for at its second, and ends nothing", async () => {
    service.advance(299);
    assert.equal((await ask('prod-eu', { namespace: 'payments' })).denied, false);
    service.advance(1);
    assert.deepEqual(await ask('prod-eu', { namespace: 'payments' }), {
      ...{ status: 200, denied: true },
      reason:
        'curfew: login is too old: last login 5m ago, limit 5m (segment payments); run: kubectl curfew login --cluster prod-eu',
    });
    assert.equal((await ask('prod-eu', { namespace: 'orders' })).denied, false);
    assert.equal((await ask('dev', { namespace: 'payments' })).denied, false);
    service.advance(300);
    assert.equal((await ask('prod-eu', { namespace: 'orders', resource: 'pods' })).denied, false);
    assert.match(
      (await ask('dev', { resource: 'pods', subresource: 'exec', verb: 'create' })).reason,
      /segment shells/,
    );
    assert.equal((await ask('dev', { resource: 'pods', subresource: 'log' })).denied, false);
    service.advance(300);
    assert.match((await ask('prod-eu')).reason, /limit 15m \(segment prod\)/);
    assert.equal((await ask('dev')).denied, false);
    assert.deepEqual(ends(), []);
  });

  test('a request over all namespaces meets the limits of each; one outside of namespaces does not', async () => {
    service.advance(300);
    assert.match((await ask('prod-eu', { namespace: '' })).reason, /segment payments/);
    assert.match(
      (await ask('prod-eu', { namespace: '', group: 'example.com', resource: 'widgets' })).reason,
      /payments/,
    );
    assert.equal((await ask('prod-eu', { namespace: '', resource: 'nodes' })).denied, false);
    assert.equal((await ask('prod-eu', { namespace: '', resource: 'namespaces', verb: 'list' })).denied, false);
    // kube-apiserver puts the name there when one namespace is asked for
    assert.equal((await ask('prod-eu', { namespace: 'payments', resource: 'namespaces' })).denied, true);
  });

  test('what everybody may read to find out what the API server can do is not denied, and is not a use; other paths are', async () => {
    const token = service.webhook_tokens.dev ?? '';
    const path = (path: string) =>
      askAuthorization(service.url, token, { user: USER, sid, jti: service.tokenId(sid), path });
    service.advance(1799);
    for (const open of ['/api', '/apis', '/api/v1', '/apis/apps/v1', '/openapi/v3', '/version', '/readyz']) {
      assert.equal((await path(open)).denied, false);
    }
    service.advance(1);
    for (const shut of ['/metrics', '/logs/', '/apiserver', '/healthz/etcd']) {
      assert.match((await path(shut)).reason, /not used for 30m|session is over/);
    }
    assert.equal((await path('/api')).denied, false);
  });

  test('to act as somebody else meets the smallest limits of the cluster', async () => {
    service.advance(299);
    const impersonate = { verb: 'impersonate', namespace: '', resource: 'users' };
    assert.match((await ask('prod-eu', impersonate)).reason, /acr mfa is required/);
    service.advance(1);
    assert.match((await ask('prod-eu', impersonate)).reason, /limit 5m/);
  });

  test('T13 to act as a ServiceAccount, or as an identity of Kubernetes, is denied unless a segment allows it', async () => {
    const strong = service.claims(holder, { acr: 'mfa' });
    sid = (await holder.exchange(service.issuer.sign(strong))).granted.session.sid;
    const as = (resource: string, name: string, namespace = '', verb = 'impersonate', cluster = 'dev') =>
      ask(cluster, { verb, namespace, resource, name });
    const denied = [
      as('serviceaccounts', 'default', 'default'),
      as('serviceaccounts', 'default', 'dev-tests'),
      as('serviceaccounts', 'default', 'dev-ci', 'impersonate', 'prod-eu'),
      as('serviceaccounts', 'default', 'default', 'impersonate:serviceaccount'),
      as('users', 'system:serviceaccount:default:default', '', 'impersonate:user-info'),
      as('users', 'system:serviceaccount:default:default'),
      as('users', 'system:serviceaccount:dev-ci'),
      as('users', 'system:kube-controller-manager'),
      as('nodes', 'n1', '', 'impersonate:arbitrary-node'),
      as('groups', 'system:serviceaccounts'),
      as('groups', 'system:serviceaccounts:default'),
      as('groups', 'system:masters'),
    ];
    for (const { denied: is, reason } of await Promise.all(denied)) {
      assert.ok(is && reason.startsWith('curfew: a session cannot act as a ServiceAccount'), reason);
    }
    const open = [
      as('serviceaccounts', 'default', 'dev-ci'),
      as('serviceaccounts', 'default', 'dev-ci', 'impersonate:serviceaccount'),
      as('users', 'system:serviceaccount:dev-ci:default'),
      as('groups', 'system:serviceaccounts:dev-ci'),
      as('groups', 'system:authenticated'),
      as('users', 'system:anonymous'),
      as('users', 'bob@example.com'),
      as('groups', 'testers'),
      as('userextras', 'scopes'),
    ];
    for (const { denied: is, reason } of await Promise.all(open)) assert.equal(is, false, reason);
    assert.ok(denials().some((row) => row.event === 'denial' && row.reason === 'impersonation'));
    assert.equal((await ask('dev')).denied, false, 'the session continues');
  });

  test('a login that is too weak for a namespace is told which acr is wanted', async () => {
    assert.deepEqual(await ask('dev', { namespace: 'vault' }), {
      ...{ status: 200, denied: true },
      reason: 'curfew: login is too weak: acr mfa is required (segment vault); run: kubectl curfew login --cluster dev',
    });
    assert.equal((await ask('dev')).denied, false);
  });

  test('follows a login that replaced the session, so a step-up cuts nothing; another person on the key ends all', async () => {
    const first = sid;
    service.advance(10);
    const [again, nonce] = [service.claims(holder, { acr: 'mfa' }), holder.nonce];
    assert.equal(again.nonce, nonce);
    const second = (await holder.exchange(service.issuer.sign(again))).granted.session.sid;
    assert.notEqual(second, first);
    assert.equal((await ask('dev', { namespace: 'vault' }, { sid: first })).denied, false);
    service.advance(10);
    const bob = { sub: 'bob-sub', email: 'bob@example.com' };
    assert.ok((await service.login(holder, bob)).granted);
    assert.match((await ask('dev', {}, { sid: first })).reason, /session is over: replaced by a newer login/);
    assert.match((await ask('dev', {}, { sid: second })).reason, /session is over/);
  });

  test('S11 whoever is not admitted any more is denied at once, a tighter policy too', async () => {
    service.advance(600);
    assert.equal((await ask('dev')).denied, false);
    const tighter = { ...POLICY, limits: { ...LIMITS, max_age: '10m' } };
    assert.equal((await service.reload({ policy: tighter })).outcome, 'reloaded');
    assert.match((await ask('dev')).reason, /last login 10m ago, limit 10m/);
    const [end] = ends();
    assert.equal(end?.event === 'end' && end.reason, 'max_age');
    assert.equal((await service.reload({})).outcome, 'reloaded');
    // S14: a looser policy brings nothing back
    assert.match((await ask('dev')).reason, /session is over/);

    ({ sid } = (await service.login(service.holder())).granted.session);
    const others = CLUSTERS.map((cluster) => ({ ...cluster, allowed_groups: ['others'] }));
    await service.reload({ clusters: others });
    assert.match((await ask('dev')).reason, /not admitted to this cluster any more/);
    await service.reload({});
    assert.equal((await ask('dev')).denied, false);
  });
});

describe('the clock of use', () => {
  test('calls keep the session alive beyond its inactivity_timeout; silence ends it to the second', async () => {
    for (let i = 0; i < 3; i++) {
      service.advance(1000);
      assert.equal((await ask('dev')).denied, false);
    }
    service.advance(599);
    assert.equal((await ask('dev')).denied, false, 'before max_age');
    ({ sid } = (await service.login(service.holder())).granted.session);
    service.advance(1799);
    assert.equal((await ask('dev')).denied, false);
    service.advance(1799);
    assert.equal((await ask('dev')).denied, false);
  });

  test('uses that are written together count each: one just before the idle end, one just after it', async () => {
    service.advance(1799);
    assert.equal((await ask('dev')).denied, false);
    service.advance(2);
    assert.equal((await ask('dev')).denied, false);
    await service.restart({});
    assert.equal((await ask('dev')).denied, false, 'written at the stop');
  });

  test('a renewal just after the idle end counts a use just before it, that is not written yet', async () => {
    service.advance(1799);
    assert.equal((await ask('dev')).denied, false);
    service.advance(2);
    assert.equal((await ask('dev')).denied, false);
    assert.equal((await holder.renew(handle, 'dev')).status, 200);
  });

  test('S1 one second before inactivity_timeout a call is allowed; at it, denied, and the session is over', async () => {
    service.advance(1799);
    assert.equal((await ask('dev')).denied, false);
    service.advance(1800);
    const end = service.now;
    assert.match((await ask('dev')).reason, /not used for 30m, limit 30m; run: kubectl curfew login$/);
    await service.outlastDoubt();
    assert.deepEqual(
      ends().map((end) => end.event === 'end' && [end.reason, end.ended_at]),
      [['inactivity_timeout', end]],
    );
    // S13: the single sign-on of the IdP alone does not bring it back
    const old = await service.login(service.holder(), { auth_time: service.now - 100 });
    assert.equal(old.refused.reason, 'login_after');
  });

  test('a use that only the webhook saw counts at the renewal, the sweeper and the next login', async () => {
    service.advance(1700);
    assert.equal((await ask('dev')).denied, false);
    service.advance(1000);
    await service.sweep();
    assert.deepEqual(ends(), [], 'over by what is stored, and yet not ended');
    assert.ok((await holder.renew(handle, 'dev')).granted);
  });

  test('S16 a use after the end, or when idle already, moves nothing', async () => {
    service.advance(1800);
    assert.equal((await ask('dev')).denied, true);
    service.advance(1);
    assert.equal((await ask('dev')).denied, true);
    await service.outlastDoubt();
    assert.equal((await holder.renew(handle, 'dev')).refused.reason, 'session_ended');
    assert.equal(ends().length, 1);
  });

  test('a target that was idle for too long stays denied until the next login, whatever is used elsewhere', async () => {
    service.advance(600);
    assert.match((await ask('prod-eu')).reason, /not used for 10m, limit 10m \(segment prod\)/);
    assert.equal((await ask('dev')).denied, false);
    service.advance(1);
    assert.match((await ask('prod-eu')).reason, /not used for 10m, limit 10m/);
    assert.equal((await holder.renew(handle, 'prod-eu')).refused.reason, 'idle_too_long');
    await service.restart({});
    assert.match((await ask('prod-eu')).reason, /not used for 10m, limit 10m/);
    service.advance(1);
    ({ sid } = (await service.login(service.holder())).granted.session);
    assert.equal((await ask('prod-eu')).denied, false);
  });

  test('uses are written when the service stops, none is lost', async () => {
    service.advance(1700);
    assert.equal((await ask('dev')).denied, false);
    await service.restart({});
    service.advance(1700);
    assert.equal((await ask('dev')).denied, false);
  });
});

describe('who asks', () => {
  test('H6 without a token, with a wrong one, or with a session handle: 401, and nothing of the question is read', async () => {
    for (const token of [undefined, '', 'x', 'A'.repeat(43), handle, await tokenFor('dev')]) {
      for (const path of ['authorize', 'authenticate']) {
        const { status, body } = await post(`${service.url}/webhooks/${path}`, token, 'not even JSON');
        assert.equal(status, 401);
        assert.equal((body as { reason: string }).reason, 'webhook_token');
      }
    }
    const { status } = await post(`${service.url}/webhooks/authorize`, service.webhook_tokens.dev, 'not JSON');
    assert.equal(status, 400);
  });

  test("H6 another cluster's token is judged for that cluster; a user that is not the session's is denied and touches nothing", async () => {
    service.advance(900);
    assert.match((await ask('prod-eu')).reason, /segment prod/);
    const before = service.now;
    service.advance(899);
    assert.deepEqual(await ask('dev', {}, { user: 'curfew:mallory@example.com' }), {
      ...{ status: 200, denied: true },
      reason: 'curfew: the session belongs to another user',
    });
    service.advance(1);
    assert.equal(service.now - before, 900);
    assert.equal((await ask('dev')).denied, true, 'the call in the name of another was no use of the session');
  });

  test('an unknown session, two ids, an empty one: denied', async () => {
    for (const forged of ['nobody', '', [sid, sid], ['']]) assert.ok((await ask('dev', {}, { sid: forged })).denied);
    assert.match((await ask('dev', {}, { sid: 'nobody' })).reason, /no such session/);
  });

  test('what is no SubjectAccessReview is refused, and huge ones are', async () => {
    const url = `${service.url}/webhooks/authorize`;
    const token = service.webhook_tokens.dev;
    const review = reviewOf({ user: USER, sid, jti: service.tokenId(sid) });
    for (const wrong of [
      [],
      {},
      { ...review, kind: 'TokenReview' },
      { ...review, apiVersion: 'v1beta1' },
      { ...review, spec: 1 },
    ]) {
      assert.equal((await post(url, token, wrong)).status, 400);
    }
    assert.ok([400, 413].includes((await post(url, token, { ...review, pad: 'x'.repeat(1024 * 1024) })).status));
  });
});

describe('the audit log', () => {
  test('the first denial of a kind has its row, further ones share the next: each denial is counted once', async () => {
    service.advance(900);
    const id = service.tokenId(sid, 'prod-eu');
    for (let i = 0; i < 500; i++) assert.equal((await ask('prod-eu', {}, { jti: id })).denied, true);
    const [only, ...more] = denials();
    assert.deepEqual(more, []);
    assert.ok(only?.event === 'denial');
    const { reason, cluster, segment, username, verb, namespace, resource, jti, repeated } = only;
    assert.deepEqual(
      { reason, cluster, segment, username, verb, namespace, resource, jti, repeated },
      {
        ...{ reason: 'idle_too_long', cluster: 'prod-eu', segment: 'prod', username: USER, verb: 'get' },
        ...{ namespace: 'default', resource: 'configmaps', jti: id, repeated: undefined },
      },
    );
    service.advance(60);
    await service.sweep();
    const [, rest] = denials();
    assert.equal(rest?.event === 'denial' && rest.repeated, 498);
  });
});

describe('TokenReview', () => {
  const review = (cluster: string, token: string) =>
    askAuthentication(service.url, service.webhook_tokens[cluster] ?? '', token);

  test('a living token of this cluster is its person, with the session id', async () => {
    const token = await tokenFor('dev');
    const { status, authenticated, user } = await review('dev', token);
    assert.deepEqual([status, authenticated], [200, true]);
    assert.deepEqual(user, {
      ...{ username: USER, uid: 'alice-sub', groups: ['curfew:dev', 'curfew:sre'] },
      extra: {
        'curfew.internal/session-id': [sid],
        'authentication.kubernetes.io/credential-id': [`JTI=${jtiOf(token)}`],
      },
    });
  });

  test('S7 a token at its exp, of another cluster, of an ended session, or of anybody else is nobody', async () => {
    const token = await tokenFor('dev');
    assert.equal((await review('prod-eu', token)).authenticated, false);
    for (const foreign of ['', 'x', handle, `${token}x`, token.slice(0, -1)]) {
      assert.deepEqual(await review('dev', foreign), { status: 200, authenticated: false });
    }
    await holder.revoke(handle);
    const { authenticated, error } = await review('dev', token);
    assert.deepEqual([authenticated, error], [false, 'curfew: session is over: logged out']);

    service.advance(1);
    holder = service.holder();
    const { granted } = await service.login(holder);
    [sid, handle] = [granted.session.sid, granted.refresh_token ?? ''];
    const later = await tokenFor('dev');
    service.advance(299);
    assert.equal((await review('dev', later)).authenticated, true);
    service.advance(1);
    assert.equal((await review('dev', later)).authenticated, false);
  });
});

describe('what an API server may ask in', () => {
  const headers = () => ({ 'content-type': 'application/json', authorization: `Bearer ${service.webhook_tokens.dev}` });
  const send = async (path: string, body: unknown, more: Readonly<Record<string, string>> = {}) => {
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    const url = `${service.url}/webhooks/${path}`;
    const answer = await fetch(url, { method: 'POST', headers: { ...headers(), ...more }, body: text });
    return {
      status: answer.status,
      body: (await answer.json()) as { apiVersion?: string; kind?: string; status?: object },
    };
  };
  const lines = () => service.log.filter((line) => line.includes('was refused')).map((line) => JSON.parse(line));

  test('v1beta1, which kube-apiserver sends by default, is answered in v1beta1, and v1 in v1', async () => {
    const token = await tokenFor('dev');
    for (const version of ['v1', 'v1beta1']) {
      const reviewed = `authentication.k8s.io/${version}`;
      // As kube-apiserver 1.37.2 writes it.
      const asked = { metadata: { creationTimestamp: null }, spec: { token, audiences: ['x'] }, status: { user: {} } };
      const answer = await send('authenticate', { kind: 'TokenReview', apiVersion: reviewed, ...asked });
      assert.deepEqual([answer.status, answer.body.apiVersion, answer.body.kind], [200, reviewed, 'TokenReview']);
      assert.equal((answer.body.status as { authenticated: boolean }).authenticated, true);
      const group = `authorization.k8s.io/${version}`;
      const review = { ...reviewOf({ user: USER, sid, jti: service.tokenId(sid) }), apiVersion: group };
      const opinion = await send('authorize', review);
      assert.deepEqual(
        [opinion.status, opinion.body],
        [200, { apiVersion: group, kind: 'SubjectAccessReview', status: { allowed: false } }],
      );
    }
  });

  test('other versions, groups and kinds are refused', async () => {
    const review = reviewOf({ user: USER, sid, jti: service.tokenId(sid) });
    for (const apiVersion of [
      'authorization.k8s.io/v1alpha1',
      'authorization.k8s.io/v2',
      'authentication.k8s.io/v1',
      'v1',
      '',
      7,
      null,
    ]) {
      assert.equal((await send('authorize', { ...review, apiVersion })).status, 400, String(apiVersion));
      const asked = {
        kind: 'TokenReview',
        apiVersion: String(apiVersion).replace('authentication', 'x'),
        spec: { token: 'x' },
      };
      assert.equal((await send('authenticate', asked)).status, 400, String(apiVersion));
    }
  });

  test('what is refused stands in the log with what was wrong, each kind once a minute with a count, and nothing of what was sent', async () => {
    service.advance(3600);
    const secret = 'eyJhbGciOi-not-to-be-logged';
    const wrong: readonly [path: string, body: unknown, headers: Readonly<Record<string, string>>, reason: RegExp][] = [
      [
        'authenticate',
        { kind: 'TokenReview', apiVersion: 'authentication.k8s.io/v2', spec: { token: secret } },
        {},
        /expected a TokenReview .*v1beta1, got a TokenReview of authentication\.k8s\.io\/v2/,
      ],
      ['authenticate', reviewOf({ user: secret, sid }), {}, /got a SubjectAccessReview of authorization\.k8s\.io\/v1/],
      [
        'authenticate',
        { kind: secret, apiVersion: secret },
        {},
        /expected a TokenReview of authentication\.k8s\.io\/v1 or v1beta1$/,
      ],
      ['authorize', secret, {}, /not JSON/],
      ['authorize', [], {}, /expected a SubjectAccessReview/],
      ['authorize', secret, { 'content-type': `text/${secret}` }, /expected application\/json/],
      ['authorize', { pad: secret.repeat(40_000) }, {}, /larger than 512 KiB/],
      ['authorize', {}, { authorization: `Bearer ${secret}` }, /not a webhook token/],
    ];
    const before = lines().length;
    for (let i = 0; i < 3; i++) for (const [path, body, more] of wrong) await send(path, body, more);
    const first = lines().slice(before);
    assert.equal(first.length, wrong.length);
    for (const [i, [path, , more, reason]] of wrong.entries()) {
      assert.match(first[i].reason, reason);
      assert.match(first[i].msg, path === 'authorize' ? /SubjectAccessReview/ : /TokenReview/);
      assert.deepEqual(
        [first[i].level, first[i].cluster, first[i].address],
        [40, 'authorization' in more ? undefined : 'dev', '127.0.0.1'],
      );
    }
    service.advance(60);
    for (const [path, body, more] of wrong) await send(path, body, more);
    const second = lines().slice(before + wrong.length);
    assert.deepEqual(
      second.map(({ repeated }) => repeated),
      wrong.map(() => 2),
    );
    assert.ok(!service.log.join('').includes(secret));
  });

  test('an API server that asks about tokens where that is not switched on stands in the log', async () => {
    const clusters = CLUSTERS.map((cluster) => ({
      ...cluster,
      webhook: { ...cluster.webhook, authentication: false },
    }));
    await service.reload({ clusters });
    const review = await askAuthentication(service.url, service.webhook_tokens.dev ?? '', await tokenFor('dev'));
    await service.reload({});
    assert.equal(review.authenticated, false);
    assert.ok(lines().some(({ reason, cluster }) => cluster === 'dev' && /authentication: true/.test(reason)));
  });
});

test('I6 while the store fails nothing is answered that could be taken for an opinion: 503, and on_failure decides', async () => {
  const broken = await startTestService({ clusters: CLUSTERS, policy: POLICY });
  try {
    const { granted } = await broken.login(broken.holder());
    const url = `${broken.url}/webhooks/authorize`;
    const { sid } = granted.session;
    const review = reviewOf({ user: USER, sid, jti: broken.tokenId(sid) });
    assert.equal((await post(url, broken.webhook_tokens.dev, review)).status, 200);
    using database = openStoreDatabase(broken.storeFile);
    database.exec('alter table session rename to gone');
    const { status, body } = await post(url, broken.webhook_tokens.dev, review);
    assert.deepEqual([status, (body as { reason: string }).reason], [503, 'store']);
    database.exec('alter table gone rename to session');
    assert.equal((await post(url, broken.webhook_tokens.dev, review)).status, 200, 'it heals by itself');
  } finally {
    await broken.stop();
  }
});
