// Connections to targets, as their gateway asks for them: what a person shows is worth something once, to whoever holds its key, for what it
// names, while the session is active.

import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { after, before, beforeEach, describe, test } from 'node:test';
import { askAuthorization } from '../support/review.ts';
import { startTestService, TEST_POLICY, type TestService } from '../support/service.ts';
import { openStoreDatabase } from '../support/store_database.ts';
import { DATABASES } from '../support/stores.ts';
import { type Somebody, TargetPeople } from '../support/target_people.ts';
import { type ConnectionAsked, proofOf, signedToken, TARGETS, targetToken } from '../support/targets.ts';

const TARGET = 'curfew-target+jwt';
const SEGMENTS = [
  ...TEST_POLICY.segments,
  { name: 'shells', match: { targets: ['bastion'] }, limits: { max_age: '20m', inactivity_timeout: '5m' } },
  { name: 'deploys', match: { accounts: ['deploy'] }, limits: { max_age: '10m' } },
];
const POLICY = { ...TEST_POLICY, segments: SEGMENTS };

const CLUSTERS = [
  {
    ...{ name: 'dev', server: 'https://127.0.0.1:1', audience: 'dev', allowed_groups: ['*'] },
    webhook: { token_file: 'dev-hook', on_failure: 'deny' },
  },
];

for (const database of DATABASES) {
  describe(`connections to targets, with ${database}`, () => {
    let service: TestService;
    let alice: Somebody;
    let people: TargetPeople;
    before(async () => {
      service = await startTestService(
        { ...TARGETS, clusters: CLUSTERS, policy: POLICY },
        { postgres: database === 'postgres' },
      );
      people = new TargetPeople(service);
    });
    after(() => service?.stop());
    beforeEach(async () => {
      service.advance(7_200);
      alice = await people.somebody();
    });

    const shown = (...shown: Parameters<TargetPeople['shown']>) => people.shown(...shown);
    const token = (...token: Parameters<TargetPeople['token']>) => people.token(...token);
    const ask = (asked: ConnectionAsked) => people.ask(asked);
    const code = async (asked: ConnectionAsked) => (await ask(asked)).refused.code;
    const rows = (event: string, sid = alice.sid) =>
      service.audit.filter((row) => row.event === event && row.sid === sid);
    const stored = (sid = alice.sid) => {
      using opened = openStoreDatabase(service.storeFile);
      const count = opened.prepare('select id from connection where sid = ?').all(sid).length;
      const row = opened.prepare('select last_used, ended_at from session where sid = ?').get(sid);
      return { open: count, last_used: Number(row?.last_used), ended: row?.ended_at !== null };
    };

    test('C1 is told whose it is, by what it is judged and where it leads, and is on disk before that', async () => {
      service.advance(30);
      const { reply } = await ask(shown(alice, 'bastion', { account: 'guest' }));
      const { connection, facts, limits, ...rest } = reply;
      assert.deepEqual(rest, {
        ...{ sid: alice.sid, judged_sid: alice.sid, username: alice.username, groups: ['curfew:dev', 'curfew:sre'] },
        ...{ target: 'bastion', kind: 'ssh', account: 'guest', address: { host: '10.0.0.7', port: 22 } },
        broker_time: service.now,
      });
      assert.deepEqual([limits.segment, limits.target.max_age, limits.session.max_age], ['shells', 1_200, 3_600]);
      assert.deepEqual([facts.auth_time, facts.last_used], [service.now - 30, service.now], 'it is a use');
      assert.deepEqual(stored(), { open: 1, last_used: service.now, ended: false });
      const [row, ...more] = rows('connect');
      assert.deepEqual(more, []);
      const { jti, ...known } = JSON.parse(JSON.stringify(row));
      assert.match(jti, /^[0-9a-f-]{36}$/);
      assert.deepEqual(known, {
        ...{ event: 'connect', at: service.now, address: '203.0.113.9', sid: alice.sid, iss: service.issuer.issuer },
        ...{ sub: alice.sub, username: alice.username, jkt: alice.holder.jkt, connection },
        ...{ target: 'bastion', kind: 'ssh', account: 'guest', segment: 'shells', session_end: service.now + 300 },
      });
    });

    test('C1 where nothing is on disk nothing is allowed, and the proof is not used up', async () => {
      const asked = shown(alice, 'cache');
      using opened = openStoreDatabase(service.storeFile);
      const allow = opened.refuse('insert on connection');
      const { status } = await ask(asked);
      allow();
      assert.equal(status, 503);
      assert.deepEqual(rows('connect'), []);
      assert.equal((await ask(asked)).status, 200);
    });

    test('C1 a copied token is worth nothing without its key, and nothing by another key', async () => {
      const thief = await people.somebody();
      assert.equal(await code({ ...shown(alice, 'cache'), proof: proofOf(thief.holder) }), 'proof_invalid');
      // Of a key that the session does not have.
      const copied = shown(alice, 'cache', { cnf: { jkt: thief.holder.jkt } }, { jkt: thief.holder.jkt });
      assert.equal(await code(copied), 'another_user');
      assert.equal(stored().open, 0);
    });

    test('C1 a token that the broker gives out opens one connection for each proof, and none for an API server', async () => {
      const { holder, handle } = alice;
      const { access_token, account } = await targetToken(holder, handle, 'bastion', { account: 'guest' });
      assert.equal(account, 'guest');
      for (let i = 0; i < 2; i++) {
        const { reply } = await ask({ token: access_token, target: 'bastion', proof: proofOf(holder) });
        assert.deepEqual([reply.target, reply.account, reply.sid], ['bastion', 'guest', alice.sid]);
      }
      const by_first = (await targetToken(holder, handle, 'bastion')).access_token;
      assert.equal((await ask({ token: by_first, target: 'bastion', proof: proofOf(holder) })).reply.account, 'deploy');
      const answer = await holder.introspect(access_token);
      assert.deepEqual([answer.status, answer.body], [200, { active: false }]);
    });

    test('C1 a proof is taken once, also of many that come at once, and not for another token', async () => {
      const asked = shown(alice, 'cache');
      const answers = await Promise.all(Array.from({ length: 12 }, () => ask(asked)));
      assert.equal(answers.filter(({ status }) => status === 200).length, 1);
      const others = answers.filter(({ status }) => status !== 200);
      assert.deepEqual([...new Set(others.map(({ refused }) => refused.code))], ['proof_replayed']);
      assert.equal(await code({ ...shown(alice, 'cache'), proof: asked.proof }), 'proof_replayed');
      assert.equal(stored().open, 1);
      assert.equal(rows('connect').length, 1);
      assert.ok(rows('refusal').length > 0);
    });

    test('C1 a proof is of now: one of another time, or that could not be remembered, is refused', async () => {
      for (const iat of [service.now - 61, service.now + 61]) {
        assert.equal(await code(shown(alice, 'cache', {}, { iat })), 'proof_invalid', `${iat - service.now}`);
      }
      assert.equal(await code(shown(alice, 'cache', {}, { jti: 'short' })), 'proof_invalid');
      for (const iat of [service.now - 60, service.now + 60])
        assert.equal((await ask(shown(alice, 'cache', {}, { iat }))).status, 200);
    });

    test('C2 a token leads to the target that it names, and to no other', async () => {
      const other = shown(alice, 'cache');
      assert.equal(await code({ ...other, target: 'bastion' }), 'target_token');
      // Of the one by its audience, of the other by its name.
      assert.equal(await code(shown(alice, 'bastion', { aud: 'cache', account: 'guest' })), 'target_token');
      assert.equal(await code({ ...shown(alice, 'nowhere') }), 'invalid_target');
      assert.equal(await code(shown(alice, 'vault')), 'not_admitted');
      assert.equal((await ask(other)).status, 200, 'none of these used it up');
    });

    test('C2 another account than those that are theirs is refused, and so is none where there are some', async () => {
      const dev = await people.somebody(['dev']);
      assert.equal(await code(shown(dev, 'bastion', { account: 'deploy' })), 'not_admitted');
      assert.equal(await code(shown(dev, 'bastion', { account: 'root' })), 'not_admitted');
      assert.equal(await code(shown(dev, 'bastion')), 'not_admitted');
      assert.equal(await code(shown(dev, 'cache', { account: 'guest' })), 'not_admitted');
      assert.equal((await ask(shown(dev, 'bastion', { account: 'guest' }))).status, 200);
    });

    test('C2 another person’s session is refused', async () => {
      const bob = await people.somebody();
      const { holder, sub, username } = bob;
      assert.equal(await code(shown({ ...alice, holder }, 'cache')), 'another_user');
      assert.equal(await code(shown({ ...alice, holder, sub, username }, 'cache')), 'another_user');
      assert.equal(await code(shown({ ...alice, sub, username }, 'cache')), 'another_user', 'another name for it');
      assert.equal(await code(shown({ ...bob, sid: 'no-such-session' }, 'cache')), 'unknown_session');
      assert.deepEqual([stored().open, stored(bob.sid).open], [0, 0]);
    });

    test('C2 what is not such a token of ours, or not good now, is refused', async () => {
      const proof = () => proofOf(alice.holder);
      const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const good = token(alice, 'cache');
      const [head = '', body = '', signature = ''] = good.split('.');
      const { kid } = JSON.parse(Buffer.from(head, 'base64url').toString());
      const kubernetes = (await alice.holder.renew(alice.handle, 'dev')).granted.access_token;
      const foreign = signedToken({ alg: 'ES256', typ: TARGET, kid }, people.claims(alice, 'cache'), privateKey);
      const bad: Readonly<Record<string, string>> = {
        'a token of a cluster': kubernetes,
        'a handle': alice.handle,
        'of another typ': token(alice, 'cache', {}, 'curfew+jwt'),
        'by another key': foreign,
        'without a signature': `${head}.${body}.`,
        'with another body': `${head}.${Buffer.from(JSON.stringify(people.claims(alice, 'vault'))).toString('base64url')}.${signature}`,
        'of another issuer': token(alice, 'cache', { iss: 'https://other.example.com' }),
        'not yet good': token(alice, 'cache', { nbf: service.now + 1 }),
        over: token(alice, 'cache', { iat: service.now - 60, nbf: service.now - 60, exp: service.now }),
        'without a key': token(alice, 'cache', { cnf: undefined }),
        'without a session': token(alice, 'cache', { sid: undefined }),
        'of a target that is no text': token(alice, 'cache', { target: ['cache'] }),
        nothing: 'x',
      };
      for (const [what, presented] of Object.entries(bad))
        assert.equal(await code({ token: presented, target: 'cache', proof: proof() }), 'target_token', what);
      assert.equal((await ask({ token: good, target: 'cache', proof: proof() })).status, 200);
      service.advance(59);
      assert.equal((await ask({ token: good, target: 'cache', proof: proof() })).status, 200, 'its last second');
      service.advance(1);
      assert.equal(await code({ token: good, target: 'cache', proof: proof() }), 'target_token', 'at exp itself');
    });

    test('C3 a session that ended between token and connection opens none', async () => {
      const asked = shown(alice, 'cache');
      await alice.holder.revoke(alice.handle);
      const { code: why, message } = (await ask(asked)).refused;
      assert.equal(why, 'session_ended');
      assert.match(message, /logged out|logout/);
      assert.equal(stored().open, 0);
      const [row] = rows('refusal');
      assert.ok(row?.event === 'refusal');
      assert.deepEqual([row.grant, row.target, row.end_reason], ['connection', 'cache', 'logout']);
    });

    test('C3 what is over by time opens none: of a target that is denied, of the session that is ended', async () => {
      service.advance(299);
      assert.equal((await ask(shown(alice, 'bastion', { account: 'guest' }))).status, 200);
      service.advance(300);
      assert.equal(await code(shown(alice, 'bastion', { account: 'guest' })), 'idle_too_long');
      assert.equal((await ask(shown(alice, 'cache'))).status, 200, 'the session continues');
      const bob = await people.somebody();
      for (const length of [299, 299, 2]) {
        assert.equal((await ask(shown(bob, 'bastion', { account: 'deploy' }))).status, 200);
        service.advance(length);
      }
      assert.equal(await code(shown(bob, 'bastion', { account: 'deploy' })), 'login_too_old');
      assert.equal((await ask(shown(bob, 'bastion', { account: 'guest' }))).status, 200, 'that account alone');
      service.advance(1_800);
      assert.equal(await code(shown(bob, 'cache')), 'idle_too_long');
      await service.outlastDoubt();
      assert.equal(stored(bob.sid).ended, true);
    });

    test('C3 an account, a group or a target that was taken away since opens none', async () => {
      const asked = [shown(alice, 'bastion', { account: 'deploy' }), shown(alice, 'cache')] as const;
      const [bastion, cache, vault] = TARGETS.targets;
      const accounts = [{ account: 'guest', groups: ['*'] }];
      await service.reload({
        ...TARGETS,
        targets: [{ ...bastion, accounts }, { ...cache, allowed_groups: ['x'] }, vault],
      });
      for (const one of asked) assert.equal(await code(one), 'not_admitted');
      await service.reload({ ...TARGETS, targets: [vault] });
      assert.equal(await code(shown(alice, 'cache')), 'invalid_target');
      await service.reload({ ...TARGETS, policy: POLICY });
      assert.equal((await ask(shown(alice, 'cache'))).status, 200);
    });

    test('C3 a use that only the webhook saw counts, be it written or not', async () => {
      service.advance(1_700);
      const asked = { user: alice.username, sid: alice.sid, jti: service.tokenId(alice.sid) };
      assert.equal((await askAuthorization(service.url, service.webhook_tokens.dev ?? '', asked)).denied, false);
      service.advance(200);
      assert.equal((await ask(shown(alice, 'cache'))).status, 200);
    });

    test('of a session that was replaced is judged by the one that replaced it', async () => {
      service.advance(5);
      const newer = await people.again(alice);
      assert.notEqual(newer.sid, alice.sid);
      const { reply } = await ask(shown(alice, 'cache'));
      assert.deepEqual([reply.sid, reply.judged_sid], [alice.sid, newer.sid]);
    });
  });
}
