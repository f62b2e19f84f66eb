// What gateways are told of sessions, and what their word moves: leases and uses.

import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { decide } from '../../shared/decide.ts';
import { LARGEST_REPORT_BYTES, MOST_ASKS, MOST_TARGETS, MOST_TARGETS_IN_ALL } from '../../shared/gateway_wire.ts';
import { askLeases, denialIn, GATEWAY_CLUSTERS, type LeaseQuestion, leaseIn } from '../support/gateway.ts';
import type { Holder } from '../support/holder.ts';
import { askAuthorization, post } from '../support/review.ts';
import { startTestService, TEST_POLICY, type TestService } from '../support/service.ts';
import { openStoreDatabase } from '../support/store_database.ts';

const CLUSTERS = [
  { ...GATEWAY_CLUSTERS[0], webhook: { token_file: 'dev-hook', on_failure: 'deny' } },
  { ...GATEWAY_CLUSTERS[1], webhook: { token_file: 'prod-eu-hook', on_failure: 'deny' } },
];
const SEGMENTS = [
  ...TEST_POLICY.segments,
  { name: 'vault', match: { namespaces: ['vault'] }, limits: { max_age: '5m' } },
  { name: 'shells', match: { resources: ['pods/exec'] }, limits: { inactivity_timeout: '2m' } },
  {
    ...{ name: 'batch', match: { clusters: ['dev'], namespaces: ['batch*'] }, limits: { inactivity_timeout: '5m' } },
    inactivity: { output_counts: ['log', 'exec', 'watch'] },
  },
  {
    ...{ name: 'quiet', match: { clusters: ['dev'], namespaces: ['batch-jobs'] }, limits: { max_age: '50m' } },
    inactivity: { output_counts: ['log'] },
  },
];

let service: TestService;
let holder: Holder;
let sid: string;
let handle: string;

before(async () => {
  service = await startTestService({ clusters: CLUSTERS, policy: { ...TEST_POLICY, segments: SEGMENTS } });
});
after(() => service.stop());
beforeEach(async () => {
  service.advance(7200);
  holder = service.holder();
  const { granted } = await service.login(holder);
  [sid, handle] = [granted.session.sid, granted.refresh_token ?? ''];
});

const ask = (question: LeaseQuestion, cluster = 'dev') =>
  askLeases(service.url, service.gateway_tokens[cluster], question);
const lease = async (cluster = 'dev', of = sid, ...targets: readonly object[]) =>
  leaseIn(await ask({ asks: [{ sid: of, targets }] }, cluster));
const use = (age_ms: number, cluster = 'dev', of = sid) => ask({ uses: [{ sid: of, age_ms }] }, cluster);
const stored = (of = sid) => {
  using database = openStoreDatabase(service.storeFile);
  const row = database.prepare('select last_used, ended_at from session where sid = ?').get(of);
  return { last_used: Number(row?.last_used), ended: row?.ended_at !== null };
};
const rows = (event: string) => service.audit.filter((row) => row.event === event && row.sid === sid);

describe('a lease', () => {
  test('tells whose the session is, its facts, and the limits of each target in their order', async () => {
    const targets = [{}, { namespace: 'vault', resource: 'pods' }, { namespace: 'shop', resource: 'pods/exec' }];
    const reply = await ask({ asks: [{ sid, targets }] });
    assert.equal(reply.broker_time, service.now);
    assert.deepEqual(reply.record, ['exec', 'attach', 'portforward']);
    const { limits, facts, ...who } = leaseIn(reply);
    assert.deepEqual(who, {
      ...{ sid, judged_sid: sid, username: 'curfew:alice@example.com', groups: ['curfew:dev', 'curfew:sre'] },
    });
    assert.deepEqual([facts.auth_time, facts.last_used, facts.ended], [service.now, service.now, undefined]);
    assert.deepEqual(
      limits.map(({ target, segment }) => [segment, target.max_age, target.inactivity_timeout]),
      [
        [undefined, 3600, 1800],
        ['vault', 300, 1800],
        ['shells', 3600, 120],
      ],
    );
    assert.equal((await lease('prod-eu', sid, { namespace: 'shop' })).limits[0]?.target.max_age, 900);
  });

  test('G3 says which streams may put off their idle cut by what arrives: what every segment allows that matches', async () => {
    const { limits } = await lease(
      ...(['dev', sid] as const),
      { namespace: 'batch', resource: 'pods' },
      { namespace: 'batch-jobs', resource: 'pods' },
      { namespace: 'batch', resource: 'pods/exec' },
      { namespace: 'shop', resource: 'pods' },
      { namespace: '*', resource: 'pods' },
    );
    assert.deepEqual(
      limits.map(({ output_counts }) => output_counts),
      [['exec', 'log', 'watch'], ['log'], undefined, undefined, undefined],
    );
    const elsewhere = (await lease('prod-eu', sid, { namespace: 'batch', resource: 'pods' })).limits[0];
    assert.equal(elsewhere?.output_counts, undefined);
  });

  test('S1 the engine says by it what the broker says, to the second', async () => {
    const targets = [{ namespace: 'vault', resource: 'pods' }];
    for (const [after, allow] of [
      [299, true],
      [1, false],
    ] as const) {
      service.advance(after);
      const { facts, limits } = await lease('dev', sid, ...targets);
      const [resolved] = limits;
      assert.ok(resolved);
      assert.equal(decide(resolved, facts, service.now).allow, allow);
    }
  });

  test('is of the session that replaced it, and of an ended one says how it ended', async () => {
    service.advance(5);
    const { granted } = await service.login(holder);
    assert.equal((await lease()).judged_sid, granted.session.sid);
    await holder.revoke(granted.refresh_token ?? '');
    const { judged_sid, facts } = await lease();
    assert.equal(judged_sid, granted.session.sid);
    assert.deepEqual(facts.ended, { at: service.now, reason: 'logout' });
  });

  test('S11 follows a tighter policy and a smaller circle at once', async () => {
    const [dev, prod] = CLUSTERS;
    await service.reload({ clusters: [{ ...dev, allowed_groups: ['others'] }, prod] });
    assert.equal(denialIn(await ask({ asks: [{ sid, targets: [] }] })).denied, 'not_admitted');
    await service.reload({ policy: { ...TEST_POLICY, limits: { ...TEST_POLICY.limits, max_age: '20m' } } });
    assert.equal((await lease('dev', sid, {})).limits[0]?.session.max_age, 1200);
    await service.reload({});
  });

  test('G4 there is none for a session that is not known, nor for one of a person whom the cluster does not admit', async () => {
    const dev_only = { sub: 'dora', email: 'dora@example.com', groups: ['dev'] };
    const { session } = (await service.login(service.holder(), dev_only)).granted;
    const asks = [session.sid, 'no-such-session'].map((one) => ({ sid: one, targets: [{}] }));
    const { sessions } = await ask({ asks }, 'prod-eu');
    assert.deepEqual(sessions, [
      { sid: session.sid, denied: 'not_admitted', message: 'you are not admitted to this cluster any more' },
      { sid: 'no-such-session', denied: 'unknown_session', message: 'there is no such session' },
    ]);
    assert.equal((await lease('dev', session.sid)).username, 'curfew:dora@example.com');
  });

  test('S20 there is none while the clock of the broker is not believed', async () => {
    service.setClock(-600);
    const { status, body } = await post(`${service.url}/v1/gateway/sessions`, service.gateway_tokens.dev, {
      ...{ asks: [{ sid, targets: [] }], uses: [] },
    });
    service.setClock(600);
    assert.deepEqual([status, (body as { reason?: string }).reason], [503, 'clock']);
    assert.ok(await lease());
  });
});

describe('a use', () => {
  test('is on disk when it is answered, as of when it was', async () => {
    const opened = service.now;
    service.advance(100);
    await use(4_000);
    assert.equal(stored().last_used, opened + 96);
    assert.equal((await lease()).facts.last_used, opened + 96);
    await use(0);
    assert.equal(stored().last_used, opened + 100);
  });

  test('keeps the session: without one it is over, with one it is not', async () => {
    const silent = service.holder();
    const other = (await service.login(silent)).granted.refresh_token ?? '';
    service.advance(1_795);
    await use(1_000);
    service.advance(10);
    assert.ok((await holder.renew(handle, 'dev')).granted);
    assert.equal((await silent.renew(other, 'dev')).refused.reason, 'idle_too_long');
  });

  test('S16 of before the end counts, of after it changes nothing, be the end noticed or not', async () => {
    service.advance(1_802);
    await use(1_000);
    assert.deepEqual(stored(), { last_used: service.now - 1_802, ended: false }, 'after the end, which nobody noticed');
    await use(3_000);
    assert.deepEqual(stored(), { last_used: service.now - 3, ended: false }, 'before it');
    await holder.revoke(handle);
    const { last_used } = stored();
    service.advance(2);
    await use(0);
    assert.deepEqual(stored(), { last_used, ended: true });
  });

  test('G3 that is older than 10 s, or of a time to come, is none', async () => {
    const { last_used } = stored();
    service.advance(60);
    await use(10_001);
    assert.equal(stored().last_used, last_used);
    const negative = await post(`${service.url}/v1/gateway/sessions`, service.gateway_tokens.dev, {
      ...{ asks: [], uses: [{ sid, age_ms: -1 }] },
    });
    assert.equal(negative.status, 400);
    await use(10_000);
    assert.equal(stored().last_used, last_used + 50);
  });

  test('G4 is none where the cluster of the gateway does not admit the person, or is over for them', async () => {
    const dev_only = { sub: 'dora', email: 'dora@example.com', groups: ['dev'] };
    const { session } = (await service.login(service.holder(), dev_only)).granted;
    const before = stored(session.sid);
    service.advance(60);
    await use(0, 'prod-eu', session.sid);
    await use(0, 'prod-eu', 'no-such-session');
    assert.deepEqual(stored(session.sid), before);
    const { last_used } = stored();
    service.advance(900);
    await use(0, 'prod-eu');
    assert.equal(stored().last_used, last_used, 'the login is too old for this cluster');
    await use(0, 'dev');
    assert.equal(stored().last_used, service.now);
    assert.deepEqual(rows('end'), []);
  });

  test('of the session that was replaced is one of the session that judges', async () => {
    service.advance(5);
    const { granted } = await service.login(holder);
    service.advance(60);
    await use(0);
    assert.equal(stored(granted.session.sid).last_used, service.now);
  });

  test('counts beside what the webhook saw, which is not lost', async () => {
    service.advance(50);
    const asked = { user: 'curfew:alice@example.com', sid, jti: service.tokenId(sid) };
    assert.equal((await askAuthorization(service.url, service.webhook_tokens.dev ?? '', asked)).denied, false);
    await use(5_000);
    assert.equal((await lease()).facts.last_used, service.now);
  });
});

describe('the caller', () => {
  const path = '/v1/gateway/sessions';
  const nothing = { asks: [], uses: [] };

  test('G4 is the gateway of its cluster, known by its token alone; a webhook is none', async () => {
    const { dev } = service.webhook_tokens;
    for (const token of [undefined, '', 'x', dev, `${service.gateway_tokens.dev}=`]) {
      const { status, body } = await post(service.url + path, token, nothing);
      assert.deepEqual([status, (body as { reason?: string }).reason], [401, 'gateway_token'], String(token));
    }
    assert.equal((await post(service.url + path, service.gateway_tokens.dev, nothing)).status, 200);
    const hook = await post(`${service.url}/webhooks/authorize`, service.gateway_tokens.dev, {});
    assert.equal(hook.status, 401, 'nor is a gateway an API server');
    const refusals = service.audit.filter((row) => row.event === 'refusal' && row.reason === 'gateway_token');
    assert.equal(refusals.length, 1, 'one row for all of them');
  });

  test('G6 who sends too much, or what cannot be read, is refused', async () => {
    const send = async (body: unknown) => (await post(service.url + path, service.gateway_tokens.dev, body)).status;
    const one = { sid, targets: [] };
    for (const body of ['', '{', '[]', '{}', { asks: [] }, { asks: [{ sid }], uses: [] }, { asks: {}, uses: [] }])
      assert.equal(await send(body), 400, JSON.stringify(body));
    assert.equal(await send({ asks: Array(MOST_ASKS + 1).fill(one), uses: [] }), 400);
    const asking = (asks: number, targets: number) => ({
      asks: Array(asks).fill({ sid, targets: Array(targets).fill({}) }),
      uses: [],
    });
    assert.equal(await send(asking(1, MOST_TARGETS)), 200);
    assert.equal(await send(asking(1, MOST_TARGETS + 1)), 400);
    assert.equal(await send(asking(MOST_TARGETS_IN_ALL / MOST_TARGETS, MOST_TARGETS)), 200);
    assert.equal(await send(asking(MOST_TARGETS_IN_ALL / MOST_TARGETS + 1, MOST_TARGETS)), 400);
    assert.equal(await send('x'.repeat(LARGEST_REPORT_BYTES + 1)), 400);
    assert.equal(await send({ asks: Array(MOST_ASKS).fill(one), uses: [] }), 200);
    assert.equal(service.log.filter((line) => line.includes(service.gateway_tokens.dev ?? 'x')).length, 0);
  });
});
