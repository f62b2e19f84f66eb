// S11: an identity provider that is taken out of the configuration, and another one in its place: whoever came in by it is over at whatever
// asks next, and nobody becomes somebody of before by a name of the new one.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { askLeases, denialIn } from '../support/gateway.ts';
import type { Holder } from '../support/holder.ts';
import { askAuthentication, askAuthorization, jtiOf } from '../support/review.ts';
import { identityProvider, startTestService, type TestService } from '../support/service.ts';
import { type StaticIssuer, startStaticIssuer } from '../support/static_issuer.ts';
import { sessionRow } from '../support/store_row.ts';

const CLUSTERS = [
  {
    ...{ name: 'dev', server: 'https://127.0.0.1:1', audience: 'dev', allowed_groups: ['*'] },
    webhook: { token_file: 'dev-hook', on_failure: 'deny', authentication: true },
    gateway: { url: 'https://dev.example.com', token_file: 'dev-gateway' },
  },
];

let service: TestService;
let other: StaticIssuer;
before(async () => {
  [service, other] = await Promise.all([startTestService({ clusters: CLUSTERS }), startStaticIssuer()]);
  other.date = () => service.now * 1000;
});
after(async () => {
  await service?.stop();
  await other?.stop();
});

/** Each of another person, who is logged in when the identity provider is exchanged. */
const ASKING: Readonly<
  Record<
    string,
    (one: { holder: Holder; handle: string; sid: string; token: string; user: string }) => Promise<unknown>
  >
> = {
  'a renewal': async ({ holder, handle }) => {
    const { refused } = await holder.renew(handle, 'dev');
    assert.equal(refused.reason, 'not_admitted');
  },
  'a request at the API server': async ({ sid, token, user }) => {
    const asked = { user, sid, jti: jtiOf(token) };
    assert.equal((await askAuthorization(service.url, service.webhook_tokens.dev ?? '', asked)).denied, true);
  },
  'a TokenReview': async ({ token }) => {
    const answer = await askAuthentication(service.url, service.webhook_tokens.dev ?? '', token);
    assert.notEqual(answer.authenticated, true);
  },
  'an introspection': async ({ holder, handle, token }) => {
    for (const one of [handle, token]) assert.deepEqual((await holder.introspect(one)).body, { active: false });
  },
  'a question of a gateway': async ({ sid }) => {
    const asks = [{ sid, targets: [{ namespace: 'dev', resource: 'pods' }] }];
    assert.ok(denialIn(await askLeases(service.url, service.gateway_tokens.dev, { asks })));
  },
  'the list of sessions': async ({ holder, handle }) => {
    assert.notEqual((await holder.api(handle)).status, 200);
  },
};

test('S11 when the identity provider is exchanged, whoever came in by the one of before is over at whatever asks next', async () => {
  const people = [];
  for (const what of Object.keys(ASKING)) {
    const holder = service.holder();
    const claims: Readonly<Record<string, string>> = {
      sub: `sub-${what}`,
      email: `${what.replaceAll(' ', '-')}@example.com`,
    };
    const { granted } = await service.login(holder, claims, { audience: 'dev' });
    const { sid, username: user } = granted.session;
    people.push({ what, holder, handle: granted.refresh_token ?? '', sid, token: granted.access_token, user, claims });
  }
  await service.restart({ identity_provider: identityProvider(other.issuer) });
  for (const one of people) await ASKING[one.what]?.(one);
  // Its ID tokens are nothing any more, and its names are not the other's.
  const [first] = people;
  assert.ok(first);
  assert.equal((await service.login(service.holder(), first.claims)).refused.reason, 'id_token_signature');
  const newcomer = service.holder();
  const token = other.sign(service.claims(newcomer, { ...first.claims, iss: other.issuer }));
  const { refused } = await newcomer.exchange(token);
  assert.equal(refused.reason, 'username_taken');
  // What ended by it stays ended when that one is back.
  await service.restart();
  assert.equal((await first.holder.renew(first.handle, 'dev')).refused.reason, 'session_ended');
  assert.equal(sessionRow(service.storeFile, first.sid).end_reason, 'policy');
});
