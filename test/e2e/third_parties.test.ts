// H10 on real API servers: what others can have them ask about somebody's session, by reviews and by impersonation. And that an
// API server with TokenReview as it is by default (v1beta1) shows the token's id as one that verifies tokens itself does.

import assert from 'node:assert/strict';
import { request } from 'node:https';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { stringify } from 'yaml';
import { claimsOf } from '../support/holder.ts';
import { tokenOf as heldToken, logIn } from '../support/log_in.ts';
import { until } from '../support/patience.ts';
import type { Person } from '../support/person.ts';
import { sessionRow } from '../support/store_row.ts';
import { startWorld, type World } from '../support/world.ts';

const NOT_PROVEN = /curfew: not a request with a valid token of this session/;
const RBAC = 'rbac.authorization.k8s.io';
/** What bob may do beside reading: ask about others, and act as them. */
const RULES = [
  {
    apiGroups: ['authorization.k8s.io'],
    resources: ['localsubjectaccessreviews', 'subjectaccessreviews'],
    verbs: ['create'],
  },
  { apiGroups: [''], resources: ['users', 'groups'], verbs: ['impersonate'] },
  { apiGroups: ['authentication.k8s.io'], resources: ['*'], verbs: ['impersonate'] },
];

let world: World;
let alice: Person;
let bob: Person;
let bobsToken: string;
before(async () => {
  world = await startWorld({
    planes: [
      { name: 'dev', webhook: { on_failure: 'deny' } },
      {
        name: 'edge',
        webhook: { on_failure: 'deny', authentication: true },
        flags: ['--authentication-token-webhook-version=v1beta1'],
      },
    ],
  });
  const name = 'asks-about-others';
  const objects = [
    { apiVersion: `${RBAC}/v1`, kind: 'ClusterRole', metadata: { name }, rules: RULES },
    {
      ...{ apiVersion: `${RBAC}/v1`, kind: 'ClusterRoleBinding', metadata: { name } },
      roleRef: { apiGroup: RBAC, kind: 'ClusterRole', name },
      subjects: [{ kind: 'User', apiGroup: RBAC, name: 'curfew:bob@example.com' }],
    },
  ];
  const input = objects.map((object) => stringify(object)).join('---\n');
  assert.equal((await world.planes.dev?.adminKubectl(['apply', '-f', '-'], { input }))?.code, 0);
  [alice, bob] = [await loggedIn('alice'), await loggedIn('bob')];
  bobsToken = await tokenOf(bob);
});
after(() => world?.stop());

const loggedIn = (name: string) => logIn(world, name);

const tokenOf = (person: Person, cluster = 'dev') => heldToken(world, person, { cluster });

const row = (sid: string) => sessionRow(path.join(world.dir, 'curfew.db'), sid);

/** A request at the API server of `dev` with bob's token. */
function asBob(
  method: string,
  where: string,
  headers: Readonly<Record<string, string>>,
  body?: object,
): Promise<string> {
  const options = { method, ca: world.plane.caPem, headers: { authorization: `Bearer ${bobsToken}`, ...headers } };
  return new Promise((resolve, reject) => {
    const sent = request(`${world.plane.server}${where}`, options, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => {
        text += part;
      });
      response.once('end', () => resolve(text)).once('error', reject);
    });
    sent.once('error', reject).end(body && JSON.stringify(body));
  });
}

/** A review by bob about alice. @returns its status */
async function review(kind: 'SubjectAccessReview' | 'LocalSubjectAccessReview', sid: string, jti?: string) {
  const local = kind === 'LocalSubjectAccessReview';
  const extra = {
    'curfew.internal/session-id': [sid],
    ...(jti !== undefined && { 'authentication.kubernetes.io/credential-id': [`JTI=${jti}`] }),
  };
  const resourceAttributes = { verb: 'get', version: 'v1', resource: 'configmaps', namespace: 'default' };
  const asked = {
    ...{ apiVersion: 'authorization.k8s.io/v1', kind, metadata: local ? { namespace: 'default' } : {} },
    spec: { user: 'curfew:alice@example.com', groups: ['curfew:dev'], extra, resourceAttributes },
  };
  const where = local ? '/namespaces/default/localsubjectaccessreviews' : '/subjectaccessreviews';
  const headers = { 'content-type': 'application/json' };
  const answer = JSON.parse(await asBob('POST', `/apis/authorization.k8s.io/v1${where}`, headers, asked));
  assert.equal(answer.kind, kind, JSON.stringify(answer));
  return answer.status as { allowed: boolean; denied?: boolean; reason?: string };
}

describe('a person who may ask about others, and act as them', () => {
  test('H10 learns nothing of a session and keeps it from no idle end, whether it is active or over', async () => {
    const token = await tokenOf(alice);
    const { sid, jti } = claimsOf(token) as { sid: string; jti: string };
    assert.equal((await alice.kubectl(['get', 'configmaps'])).code, 0);
    await until(() => Number(row(sid).last_used) > Number(row(sid).auth_time), 'her own request is not a use');
    const [random = '', exp = '', mac = ''] = jti.split('.');
    const forged = [
      undefined,
      '',
      'x',
      String(claimsOf(bobsToken).jti),
      claimsOf(await tokenOf(alice, 'edge')).jti as string,
      `${random}.${Number(exp) + 60}.${mac}`,
      `${random}.${exp}.${mac.slice(0, -1)}${mac.endsWith('A') ? 'E' : 'A'}`,
    ];
    const denied = async (about: string) => {
      for (const id of forged) {
        for (const kind of ['SubjectAccessReview', 'LocalSubjectAccessReview'] as const) {
          const { allowed, denied, reason = '' } = await review(kind, about, id);
          assert.deepEqual([allowed, denied], [false, true], `${id}`);
          assert.match(reason, NOT_PROVEN);
          assert.doesNotMatch(reason, /over|too old|not used|no such/);
        }
        const answer = await asBob('GET', '/api/v1/namespaces/default/configmaps', {
          'Impersonate-User': 'curfew:alice@example.com',
          'Impersonate-Extra-curfew.internal%2Fsession-id': about,
          ...(id && { 'Impersonate-Extra-authentication.kubernetes.io%2Fcredential-id': `JTI=${id}` }),
        });
        assert.match(answer, NOT_PROVEN);
        assert.doesNotMatch(answer, /is over|too old|not used|no such/);
      }
    };
    // A renewal is a use as well: until all are written. What comes from now on would be seen, as seconds go by.
    await sleep(5_000);
    const { last_used } = row(sid);
    await denied(sid);
    await denied('no-such-session');
    assert.equal((await alice.curfew(['logout'])).code, 0);
    assert.equal(row(sid).last_used, last_used);
    await denied(sid);
    // Whoever shows the token itself is told why.
    assert.match((await review('SubjectAccessReview', sid, jti)).reason ?? '', /session is over: logged out/);
    const denials = world.broker.audit().filter((line) => line.event === 'denial' && line.reason === 'token_id');
    assert.ok(denials.length > 0 && denials.length <= 42, `${denials.length} rows`);
  });
});

test('H10 an API server that asks by TokenReview, in v1beta1 as by default, passes the id on: its requests are uses', async () => {
  const token = await tokenOf(bob, 'edge');
  const { sid, jti } = claimsOf(token) as { sid: string; jti: string };
  const context = (await bob.kubectl(['config', 'get-contexts', '-o', 'name'])).stdout
    .split('\n')
    .find((name) => name.includes('edge'));
  assert.ok(context);
  const whoami = await bob.kubectl(['--context', context, 'auth', 'whoami', '-o', 'json']);
  assert.equal(whoami.code, 0, whoami.stderr);
  const { extra, username } = JSON.parse(whoami.stdout).status.userInfo;
  assert.equal(username, 'curfew:bob@example.com');
  assert.deepEqual(extra['curfew.internal/session-id'], [sid]);
  assert.match(extra['authentication.kubernetes.io/credential-id'][0], /^JTI=[\w-]{22}\.\d+\.[\w-]{43}$/);
  assert.ok(jti);
  const { last_used } = row(sid);
  const listed = await bob.kubectl(['--context', context, 'get', 'configmaps']);
  assert.equal(listed.code, 0, listed.stderr);
  await until(() => Number(row(sid).last_used) >= Number(last_used), 'no use');
});
