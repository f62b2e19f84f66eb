// What the broker tells reaches what is open already: revoked keys, lowered limits, another configuration, a newer login. The clock stands
// still where it matters, so that no lease grows old and is asked for again by itself.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type LoneGateway, startLoneGateway } from '../support/lone_gateway.ts';
import { until } from '../support/patience.ts';

const WATCH = '/api/v1/namespaces/dev/pods?watch=1';

describe('G16 a key that is revoked', () => {
  let lone: LoneGateway;
  before(async () => {
    lone = await startLoneGateway();
  });
  after(() => lone?.stop());

  test('takes with it what is open by its tokens, and what they were swapped for; other keys go on', async () => {
    const { broker, api } = lone;
    const [old, for_gateway] = [lone.client('one'), lone.client('two', true)];
    const kid = broker.rotateKey();
    const fresh = lone.client('one');
    const reads = async () => (await fresh.get('/api/v1/pods')).status === 200;
    await until(reads, 'the new key is not read');
    const streams = [await old.watch(WATCH), await old.exec('shell'), await for_gateway.watch(WATCH)];
    const theirs = [await fresh.watch(WATCH), await fresh.exec('fresh')];
    const swaps = () => [...api.tokens].filter((token) => token.startsWith('swapped')).length;
    const swapping = lone.client('three', true);
    assert.equal((await swapping.get('/api/v1/pods')).status, 200);
    assert.equal((await swapping.get('/api/v1/pods')).status, 200);
    assert.equal(swaps(), 2, 'each is swapped once');
    broker.tell({ type: 'key_revoked', kid, place: '1.a.b' });
    await until(() => streams.every(({ closed }) => closed), 'some go on');
    for (const { text } of streams) assert.match(text, /curfew: the key of this token was revoked/);
    for (const { closed } of theirs) assert.equal(closed, false);
    for (const client of [old, for_gateway]) {
      const { status, text } = await client.get('/api/v1/pods');
      assert.deepEqual([status, /the key of this token was revoked/.test(text)], [401, true]);
    }
    assert.equal((await old.exec('again')).status, 401);
    assert.equal((await fresh.get('/api/v1/pods')).status, 200);
    assert.equal((await swapping.get('/api/v1/pods')).status, 200);
    assert.equal(swaps(), 3, 'what was swapped before is not used any more');
  });

  test('is not believed again though the broker still shows it', async () => {
    const { broker } = lone;
    const late = lone.client('one');
    const kid = broker.rotateKey();
    broker.tell({ type: 'key_revoked', kid, place: '2.a.b' });
    const newest = lone.client('one');
    await until(async () => (await newest.get('/api/v1/pods')).status === 200, 'the keys are not read again');
    const { status, text } = await late.get('/api/v1/pods');
    assert.deepEqual([status, /the key of this token was revoked/.test(text)], [401, true]);
  });
});

describe('G16 what is open hears', () => {
  let lone: LoneGateway;
  before(async () => {
    lone = await startLoneGateway();
  });
  after(() => lone?.stop());

  test('of lower limits of its own session, of another configuration, and of nothing else', async () => {
    const { broker } = lone;
    const [one, other] = [await lone.client('one').watch(WATCH), await lone.client('other').watch(WATCH)];
    const asked = () => broker.asked.flatMap(({ asks }) => asks.map(({ sid }) => sid));
    await until(() => asked().includes('other'), 'it is not asked for');
    lone.standStill();
    const over = { end_at_most: broker.now() };
    broker.facts.set('one', over).set('other', over);
    broker.tell({ type: 'lowered', sid: 'one', place: '1.a.b' });
    await until(() => one.closed, 'the lower limits do not reach it');
    assert.match(one.text, /curfew: login is too old/);
    assert.equal(other.closed, false);
    broker.tell({ type: 'reload', place: '2.a.b' });
    await until(() => other.closed, 'another configuration does not reach it');
    assert.match(other.text, /curfew: login is too old/);
  });
});

describe('G16 a newer login', () => {
  let lone: LoneGateway;
  before(async () => {
    lone = await startLoneGateway();
  });
  after(() => lone?.stop());

  test('of the same person keeps what is open, until that one ends', async () => {
    const { broker, api } = lone;
    const since = broker.now();
    const client = lone.client('first');
    const [watch, exec] = [await client.watch(WATCH), await client.exec('kept')];
    broker.replaced_by.set('first', 'second');
    const asks = () => broker.asked.filter((request) => request.asks.some(({ sid }) => sid === 'first')).length;
    const before = asks();
    broker.tell({ type: 'end', sid: 'first', reason: 'replaced', since, replaced_by: 'second', place: '1.a.b' });
    await until(() => asks() > before + 1, 'the session that judges on is not asked for');
    exec.send('still here');
    await until(() => /still here/.test(api.heard.get('kept')?.text ?? ''), 'the exec does not go on');
    assert.equal(watch.closed, false);
    broker.tell({ type: 'end', sid: 'second', reason: 'logout', since, place: '2.a.b' });
    await until(() => watch.closed && exec.closed, 'what it has taken over is not cut with it');
    for (const { text } of [watch, exec]) assert.match(text, /curfew: session is over: logged out/);
  });

  test('of another person ends what is open', async () => {
    const { broker } = lone;
    const watch = await lone.client('third').watch(WATCH);
    broker.tell({ type: 'end', sid: 'third', reason: 'replaced', since: broker.now(), place: '3.a.b' });
    await until(() => watch.closed, 'it goes on');
    assert.match(watch.text, /curfew: session is over: replaced by a newer login/);
  });
});
