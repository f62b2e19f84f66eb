// What the gateway of targets is told of sessions, and what its word moves; and that no gateway asks for what is another's.

import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { createClusterApis } from '../../broker/api_servers/apis.ts';
import { accept } from '../../broker/commands/administration_commands.ts';
import { loadConfig } from '../../broker/config/load.ts';
import { decide } from '../../shared/decide.ts';
import type { LeasedLimits, NoLimits } from '../../shared/gateway_wire.ts';
import {
  askLeases,
  denialIn,
  type Feed,
  GATEWAY_CLUSTERS,
  type LeaseQuestion,
  leaseIn,
  openFeed,
} from '../support/gateway.ts';
import { until } from '../support/patience.ts';
import { post } from '../support/review.ts';
import { startTestService, TEST_POLICY, type TestService } from '../support/service.ts';
import { openStoreDatabase } from '../support/store_database.ts';
import { DATABASES } from '../support/stores.ts';
import { type Somebody, TargetPeople } from '../support/target_people.ts';
import { TARGETS } from '../support/targets.ts';

const ON_CALL = { name: 'on-call', when: '"on-call" in user.groups', limits: { inactivity_timeout: '20m' } };
const SEGMENTS = [
  ...TEST_POLICY.segments,
  {
    ...{ name: 'shells', match: { targets: ['bastion'] }, limits: { inactivity_timeout: '5m' } },
    inactivity: { output_counts: ['ssh', 'tcp'] },
  },
  {
    ...{ name: 'deploys', match: { accounts: ['deploy'] }, limits: { max_age: '10m' } },
    inactivity: { output_counts: ['postgres'] },
  },
];
const POLICY = { ...TEST_POLICY, segments: SEGMENTS };
const [BASTION, CACHE, VAULT] = TARGETS.targets;

for (const database of DATABASES) {
  describe(`the gateway of targets, with ${database}`, () => {
    let service: TestService;
    let people: TargetPeople;
    let alice: Somebody;
    const feeds: Feed[] = [];
    before(async () => {
      const sections = { ...TARGETS, clusters: GATEWAY_CLUSTERS, policy: POLICY };
      service = await startTestService(sections, { postgres: database === 'postgres' });
      people = new TargetPeople(service);
    });
    after(() => service?.stop());
    beforeEach(async () => {
      service.advance(7_200);
      alice = await people.somebody();
    });
    afterEach(async () => {
      await Promise.all(feeds.splice(0).map((feed) => feed.close()));
    });

    const ask = (question: LeaseQuestion, of = 'targets') =>
      askLeases(service.url, service.gateway_tokens[of], question);
    const lease = async (of: Somebody, ...targets: readonly object[]) =>
      leaseIn(await ask({ asks: [{ sid: of.sid, targets }] }));
    /** Of each target that is asked for. */
    const deniedOf = async (asked: object, of = 'targets') => {
      const [found] = (await ask({ asks: [asked] }, of)).sessions;
      return found?.denied === undefined ? found?.limits.map(({ denied }) => denied) : found.denied;
    };
    const open = async (of = 'targets', after?: string) => {
      const feed = await openFeed(service.url, service.gateway_tokens[of], after);
      feeds.push(feed);
      return feed;
    };
    const status = async (path: string, of: string, body: unknown) =>
      (await post(`${service.url}/v1/gateway/${path}`, service.gateway_tokens[of], body)).status;
    const last_used = ({ sid }: Somebody) => {
      using opened = openStoreDatabase(service.storeFile);
      return Number(opened.prepare('select last_used from session where sid = ?').get(sid)?.last_used);
    };
    const limitsOf = (limits: LeasedLimits | NoLimits | undefined) => {
      if (!limits || limits.denied !== undefined) throw new Error(`no limits: ${JSON.stringify(limits)}`);
      return limits;
    };

    test('is told the facts of a session, and the limits of each target and account in their order', async () => {
      const bastion = { target: 'bastion', account: 'deploy' };
      const reply = await ask({ asks: [{ sid: alice.sid, targets: [{ target: 'cache' }, bastion] }] });
      assert.deepEqual([reply.broker_time, reply.record], [service.now, ['ssh', 'postgres', 'tcp']]);
      const { limits, facts, ...who } = leaseIn(reply);
      assert.deepEqual(who, {
        ...{ sid: alice.sid, judged_sid: alice.sid, username: alice.username },
        groups: ['curfew:dev', 'curfew:sre'],
      });
      const [cache, shell] = limits.map(limitsOf);
      assert.deepEqual([cache?.segment, cache?.target.max_age, cache?.output_counts], [undefined, 3_600, undefined]);
      assert.deepEqual([shell?.target.max_age, shell?.target.inactivity_timeout], [600, 300]);
      assert.equal(shell?.output_counts, undefined, 'what not every segment allows that matches');
      service.advance(300);
      assert.ok(shell && cache);
      const later = (await lease(alice)).facts;
      assert.deepEqual([facts.last_used, later.last_used], [service.now - 300, service.now - 300]);
      assert.equal(decide(shell, later, service.now).allow, false);
      assert.equal(decide(cache, later, service.now).allow, true);
    });

    test('G3 is told what may put off the idle cut of a target by what arrives', async () => {
      const { limits } = await lease(alice, { target: 'bastion', account: 'guest' }, { target: 'cache' });
      assert.deepEqual(
        limits.map((one) => limitsOf(one).output_counts),
        [['ssh', 'tcp'], undefined],
      );
    });

    test('C4 is told of a target, or an account, that a person may not have any more, from the reload on', async () => {
      const targets = [
        { target: 'bastion', account: 'deploy' },
        { target: 'bastion', account: 'guest' },
        { target: 'cache' },
      ];
      const denied = () => deniedOf({ sid: alice.sid, targets });
      assert.deepEqual(await denied(), [undefined, undefined, undefined]);
      const feed = await open();
      const accounts = [
        { account: 'deploy', groups: ['others'] },
        { account: 'guest', groups: ['*'] },
      ];
      await service.reload({ targets: [{ ...BASTION, accounts }, CACHE, VAULT] });
      await until(() => feed.of('reload').length > 0, 'it is not told of the reload');
      assert.deepEqual(await denied(), ['not_admitted', undefined, undefined]);
      await service.reload({ targets: [CACHE, VAULT] });
      assert.deepEqual(await denied(), ['not_admitted', 'not_admitted', undefined]);
      await service.reload({ targets: [{ ...CACHE, allowed_groups: ['others'] }, VAULT] });
      assert.equal(denialIn(await ask({ asks: [{ sid: alice.sid, targets }] })).denied, 'not_admitted', 'none is left');
      await service.reload();
      assert.deepEqual(await denied(), [undefined, undefined, undefined]);
    });

    test('C4 is told nothing of a person whom none of its targets admits, and moves no clock of theirs', async () => {
      await service.reload({ targets: [VAULT] });
      const feed = await open();
      const asks = [alice.sid, 'no-such-session'].map((sid) => ({ sid, targets: [{ target: 'vault' }] }));
      const { sessions } = await ask({ asks, uses: [{ sid: alice.sid, age_ms: 0 }] });
      assert.deepEqual(
        sessions.map(({ denied }) => denied),
        ['not_admitted', 'unknown_session'],
      );
      assert.equal(JSON.stringify(sessions).includes(alice.username), false);
      service.advance(60);
      await ask({ uses: [{ sid: alice.sid, age_ms: 0 }] });
      assert.equal(last_used(alice), service.now - 60);
      const carol = await people.somebody(['security']);
      await alice.holder.revoke(alice.handle);
      await carol.holder.revoke(carol.handle);
      await until(() => feed.of('end').length > 0, 'the end is not told');
      assert.deepEqual(
        feed.of('end').map(({ sid }) => sid),
        [carol.sid],
      );
      await service.reload();
    });

    test('C4 a use that it tells of counts for its own second, and none of after the end', async () => {
      service.advance(100);
      await ask({ uses: [{ sid: alice.sid, age_ms: 4_000 }] });
      assert.equal(last_used(alice), service.now - 4);
      await alice.holder.revoke(alice.handle);
      service.advance(2);
      await ask({ uses: [{ sid: alice.sid, age_ms: 0 }] });
      assert.equal(last_used(alice), service.now - 6);
    });

    test('C4 is told of ends, of lowered limits, and of all that was missed, as each gateway is', async () => {
      const first = await open();
      const { place } = first;
      await service.reload({ policy: { ...POLICY, rules: [ON_CALL] } });
      await until(() => first.of('reload').length > 0, 'it is not told of the reload');
      const bob = await people.somebody(['dev', 'on-call']);
      await bob.holder.renew(bob.handle, 'dev');
      await service.reload({ policy: { ...POLICY, rules: [{ ...ON_CALL, limits: { inactivity_timeout: '10m' } }] } });
      await bob.holder.renew(bob.handle, 'dev');
      await until(() => first.of('lowered').some(({ sid }) => sid === bob.sid), 'it is not told that less is allowed');
      await bob.holder.revoke(bob.handle);
      await until(() => first.of('end').some(({ sid }) => sid === bob.sid), 'it is not told of the end');
      // Who comes back with a place is told what came since.
      const again = await open('targets', place);
      await until(() => again.of('end').some(({ sid }) => sid === bob.sid), 'what came since is not told');
      const made_up = await open('targets', `${Number(place.split('.')[0])}.AAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAA`);
      await until(() => made_up.of('reset').length > 0, 'a place that nobody was told counts');
      await service.reload();
    });

    test('C4 no gateway asks for what is another’s, and none without its own token', async () => {
      const cluster = { sid: alice.sid, targets: [{ namespace: 'shop', resource: 'pods' }] };
      const target = { sid: alice.sid, targets: [{ target: 'cache' }] };
      assert.deepEqual(await deniedOf(cluster), ['not_admitted']);
      assert.deepEqual(await deniedOf(target, 'dev'), ['not_admitted']);
      const by_secret = { asks: [{ secret_uid: 'some-uid', targets: [] }], uses: [] };
      assert.equal(await status('sessions', 'targets', by_secret), 400);
      const asked = { ...people.shown(alice, 'cache'), address: '203.0.113.9' };
      for (const gateway of ['dev', 'prod-eu', 'nobody'])
        assert.equal(await status('connections', gateway, asked), 401, gateway);
      assert.equal((await people.ask(asked)).status, 200, 'none of these used it up');
      const swap = new URLSearchParams({
        ...{ grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange', audience: 'dev' },
        ...{ subject_token: people.token(alice, 'cache'), subject_token_type: 'urn:ietf:params:oauth:token-type:jwt' },
      });
      const headers = { authorization: `Bearer ${service.gateway_tokens.targets}` };
      const swapped = await fetch(`${service.url}/token`, { method: 'POST', headers, body: swap });
      assert.equal(swapped.status, 401, 'it gets no token of a cluster');
      const refused = service.audit.filter((row) => row.event === 'refusal' && row.grant === 'connection');
      assert.ok(refused.some((row) => row.event === 'refusal' && row.reason === 'gateway_token'));
    });

    test('C6 what it asks is bounded: what cannot be read is refused, and what is too much comes again', async () => {
      const asked = { ...people.shown(alice, 'cache'), address: '203.0.113.9' };
      for (const body of [
        {},
        { ...asked, token: '' },
        { ...asked, token: 'x'.repeat(20_000) },
        { ...asked, target: 'x'.repeat(300) },
        { ...asked, address: 'a\nb' },
        { ...asked, proof: { ...asked.proof, jti: 'x'.repeat(300) } },
        { ...asked, proof: { ...asked.proof, iat: 'now' } },
        { ...asked, proof: undefined },
      ])
        assert.equal(await status('connections', 'targets', body), 400);
      assert.equal(await status('connections', 'targets', asked), 200, 'none of these used it up');
      const flood: Promise<number>[] = [];
      const leases: Promise<unknown>[] = [];
      for (let i = 0; i < 120; i++) {
        flood.push(people.ask(people.shown(alice, 'cache')).then((answer) => answer.status));
        if (i % 12 === 11) leases.push(lease(alice, { target: 'cache' }));
      }
      await Promise.all(leases);
      const statuses = await Promise.all(flood);
      assert.deepEqual(
        statuses.filter((one) => one !== 200 && one !== 503),
        [],
      );
      assert.ok(statuses.filter((one) => one === 200).length >= 64);
    });

    // Which database it is makes no difference to what is not even read there.
    if (database === 'sqlite')
      test('C6 so many are looked at at once, and then as many as a minute brings, with few rows for what is no good', async () => {
        const asked = { ...people.shown(alice, 'cache'), token: 'not-a-token' };
        let taken = 0;
        for (let busy = false; !busy; ) {
          const answers = await Promise.all(Array.from({ length: 50 }, () => people.ask(asked)));
          busy = answers.some((answer) => answer.status === 503);
          for (const answer of answers) if (answer.status !== 503) assert.equal(answer.refused.code, 'target_token');
          taken += answers.filter((answer) => answer.status !== 503).length;
          assert.ok(taken <= 2_000, `${taken} were looked at`);
        }
        assert.equal((await lease(alice, { target: 'cache' })).limits.length, 1);
        service.advance(60);
        assert.equal((await people.ask(people.shown(alice, 'cache'))).status, 200);
        const strangers = service.audit.filter((row) => row.event === 'refusal' && row.reason === 'target_token');
        assert.ok(strangers.length < 100, `${strangers.length} rows`);
      });

    test('C4 is told of revoked keys, and of all being over', async () => {
      const feed = await open();
      const jwks = (await (await fetch(`${service.url}/jwks`)).json()) as { keys: { kid: string }[] };
      const asked = people.shown(alice, 'cache');
      const apis = createClusterApis();
      const quiet = { info: () => undefined, warn: () => undefined, error: () => undefined };
      const config = await loadConfig(service.configFile, { env: process.env });
      await accept('store accept', config, { now: () => service.now, by: 'root', apis, log: quiet });
      await apis.close();
      await until(() => feed.of('reset').length === 1, 'it goes on as if nothing had happened');
      assert.deepEqual(
        feed.of('key_revoked').map(({ kid }) => kid),
        jwks.keys.map(({ kid }) => kid),
      );
      assert.ok(feed.of('end').some(({ sid }) => sid === alice.sid));
      assert.equal((await people.ask(asked)).refused.code, 'target_token');
    });
  });
}
