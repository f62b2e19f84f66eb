// A gateway before a cluster whose own tokens are used: a token names its Secret, and the broker says whose session that is.

import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { type FakeApiServer, startFakeApiServer } from '../support/fake_api_server.ts';
import { askLeases, denialIn, GATEWAY_CLUSTERS, leaseIn, openFeed } from '../support/gateway.ts';
import { claimsOf, type Holder } from '../support/holder.ts';
import { until } from '../support/patience.ts';
import { startTestService, type TestService } from '../support/service.ts';

const ACCOUNTS = [
  { group: 'sre', namespace: 'people', name: 'editors' },
  { group: 'dev', namespace: 'people', name: 'readers' },
];

let dir: string;
let api: FakeApiServer;
let service: TestService;
let people = 0;
let holder: Holder;
let who: { readonly sub: string; readonly email: string };
let handle: string;
let sid: string;
let secret_uid: string;

before(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'curfew-secrets-'));
  api = await startFakeApiServer(dir);
  await writeFile(path.join(dir, 'broker-token'), 'the-brokers-own-token-at-the-cluster', { mode: 0o600 });
  const managed = {
    ...{ name: 'managed', server: api.url, ca_file: api.caFile, audience: 'managed', allowed_groups: ['*'] },
    ...{ credential: 'service-account', service_accounts: ACCOUNTS, broker_token_file: path.join(dir, 'broker-token') },
    gateway: { url: 'https://managed.example.com', token_file: 'dev-gateway' },
  };
  service = await startTestService({ clusters: [managed, GATEWAY_CLUSTERS[1]] });
});
after(async () => {
  await service?.stop();
  await api?.stop();
  await rm(dir, { recursive: true, force: true });
});
beforeEach(async () => {
  service.advance(60);
  people += 1;
  who = { sub: `person-${people}`, email: `person-${people}@example.com` };
  holder = service.holder();
  const { granted } = await service.login(holder, who, { audience: 'managed' });
  [sid, handle, secret_uid] = [granted.session.sid, granted.refresh_token ?? '', uidOf(granted.access_token)];
});

/** What the gateway reads in the token. */
function uidOf(token: string): string {
  return (claimsOf(token)['kubernetes.io'] as { secret: { uid: string } }).secret.uid;
}
const ask = (uid = secret_uid, cluster = 'dev') =>
  askLeases(service.url, service.gateway_tokens[cluster], { asks: [{ secret_uid: uid, targets: [{}] }] });

describe('a lease by the uid of a Secret', () => {
  test('is of its session, and says whom its tokens speak as', async () => {
    const lease = leaseIn(await ask());
    assert.deepEqual(
      { secret_uid: lease.secret_uid, judged_sid: lease.judged_sid, username: lease.username, acts_as: lease.acts_as },
      {
        ...{ secret_uid, judged_sid: sid, username: `curfew:${who.email}` },
        acts_as: 'system:serviceaccount:people:editors',
      },
    );
    service.advance(100);
    await askLeases(service.url, service.gateway_tokens.dev, { uses: [{ sid: lease.judged_sid, age_ms: 0 }] });
    assert.equal(leaseIn(await ask()).facts.last_used, service.now);
  });

  test('follows a newer login of the same person', async () => {
    service.advance(5);
    const { session } = (await service.login(holder, who, { audience: 'managed' })).granted;
    assert.equal(leaseIn(await ask()).judged_sid, session.sid);
  });

  test('S6 is of no use once the session is over, be the Secret gone or not; the feed tells of the end', async () => {
    const feed = await openFeed(service.url, service.gateway_tokens.dev);
    const deleted = new Promise<void>((resolve) => {
      api.before = (asked) => {
        if (asked === 'delete') resolve();
      };
    });
    await holder.revoke(handle);
    const { sessions } = await ask();
    const [lease] = sessions;
    assert.ok(lease?.denied === 'unknown_session' || (lease?.denied === undefined && lease?.facts.ended), 'it goes on');
    await until(() => feed.of('end').some((end) => end.sid === sid), 'the end is not told');
    await deleted;
    await until(async () => (await ask()).sessions[0]?.denied === 'unknown_session', 'it is still known');
    await feed.close();
  });

  test('S11 is denied once the person acts as somebody else there', async () => {
    service.advance(10);
    const claims = { ...service.claims(holder, { ...who, groups: ['dev'] }), auth_time: service.now - 10 };
    const id_token = service.issuer.sign({ ...claims, nonce: undefined });
    const { access_token } = (await holder.renew(handle, 'managed', { id_token })).granted;
    const refused = (await ask()).sessions[0]?.denied;
    assert.ok(refused === 'not_admitted' || refused === 'unknown_session', String(refused));
    assert.equal(leaseIn(await ask(uidOf(access_token))).acts_as, 'system:serviceaccount:people:readers');
  });

  test('G4 is for the gateway of its own cluster alone, and there is none for a uid that nobody knows', async () => {
    assert.equal(denialIn(await ask(secret_uid, 'prod-eu')).denied, 'unknown_session');
    for (const uid of ['0', sid, 'null', secret_uid.toUpperCase()])
      assert.equal(denialIn(await ask(uid)).denied, 'unknown_session', uid);
  });
});
