// A gateway whose broker goes away and comes back, and one that is stopped, killed or drained: it fails closed, misses no end, and tells
// everything once. Gateway and broker are processes.

import assert from 'node:assert/strict';
import path from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { GATEWAY_PATHS } from '../../shared/gateway_wire.ts';
import { type GatewayBetween, makeGatewayBetween } from '../support/gateway_between.ts';
import type { ClientStream, GatewayClient } from '../support/gateway_client.ts';
import { type LoneBroker, makeLoneBroker } from '../support/lone_broker.ts';
import { assertKept, until } from '../support/patience.ts';
import { openStoreDatabase } from '../support/store_database.ts';

const MAX_AGE = 3_600;
const CUT_AFTER = 5;
const MORE = { on_lost_broker: { cut_after: `${CUT_AFTER}s` }, drain: '3s' };
const PODS = '/api/v1/namespaces/dev/pods';
const WATCH = `${PODS}?watch=1`;
const AWAY = /curfew: the gateway does not reach the broker, so nothing passes; try again/;

let lone: LoneBroker;
let between: GatewayBetween;

before(async () => {
  between = await makeGatewayBetween(() => lone.url);
  lone = await makeLoneBroker({ name: 'gateway-faults', sections: between.sections });
  await between.prepare(lone.folder);
  await lone.start();
  await between.startGateway(MORE);
});
after(async () => {
  await between?.stop();
  await lone?.remove();
});
beforeEach(async () => {
  between.gate.how = () => 'pass';
  await until(async () => (await between.gateway.status()) === 'ok', 'the gateway is not ready');
});

let people = 0;
const logIn = (age = 0) => between.logIn(lone.issuer, `p-${++people}`, age);
const answers = async (client: GatewayClient) => (await client.get(PODS)).status;

/** Both kinds, which is seen to work. */
async function open(client: GatewayClient): Promise<readonly ClientStream[]> {
  const streams = [await client.watch(WATCH), await client.exec(`pod-${++people}`)];
  assert.deepEqual(
    streams.map(({ status }) => status),
    [200, 101],
  );
  return streams;
}

async function assertCut(streams: readonly ClientStream[], words: RegExp): Promise<void> {
  await until(() => streams.every(({ closed }) => closed), 'some go on');
  for (const { text } of streams) assert.match(text, words);
}
const assertOpen = (streams: readonly ClientStream[]) =>
  assert.ok(
    streams.every(({ closed }) => !closed),
    'some ended',
  );
const cutOf = (streams: readonly ClientStream[]) => Math.max(...streams.map(({ closed_at }) => closed_at));

describe('G13 a broker that was killed', () => {
  test('nothing new passes, ends that are known come on time, what is open is cut after a while, and all is well soon after it is back', async () => {
    const [one, old] = [await logIn(), await logIn(MAX_AGE - 6)];
    const [theirs, ending] = [await open(one.client), await open(old.client)];
    const gone_at = performance.now();
    await lone.process.kill();
    await until(async () => (await answers(one.client)) === 503, 'requests pass');
    const refused = await one.client.get(PODS);
    assert.match(refused.text, AWAY);
    assert.equal(refused.headers['retry-after'], '1');
    assert.equal((await one.client.exec('new')).status, 503);
    await assertCut(ending, /curfew: login is too old: .* run: kubectl curfew login/);
    assertOpen(theirs);
    await assertCut(theirs, AWAY);
    // Silence counts as loss after 3 s.
    assert.ok(cutOf(theirs) - gone_at >= CUT_AFTER * 1_000, 'too early');
    assertKept(cutOf(theirs) - gone_at, (CUT_AFTER + 4) * 1_000, 'the cut');
    await lone.start();
    const back_at = performance.now();
    await until(async () => (await answers(one.client)) === 200, 'requests do not pass again');
    assertKept(performance.now() - back_at, 3_000, 'coming back');
    assert.equal(await answers(old.client), 401);
    const metrics = await between.gateway.metrics();
    assert.match(metrics, /curfew_gateway_cuts_total\{reason="lost_broker"\} 2/);
  });
});

describe('G14 no end is missed', () => {
  test('by a feed that broke off alone: it goes on where it was', async () => {
    const { gate } = between;
    const [one, other] = [await logIn(), await logIn()];
    const [theirs, streams] = [await open(other.client), await open(one.client)];
    // Neither the feed nor leases tell anything for a moment.
    gate.how = (asked) => (asked === GATEWAY_PATHS.events ? 'pass' : 'lose');
    const { length } = gate.asked;
    assert.equal(gate.breakFeeds(), 1);
    await one.logOut();
    await sleep(1_000);
    assertOpen(streams);
    gate.how = (asked) => (asked === GATEWAY_PATHS.sessions ? 'lose' : 'pass');
    await assertCut(streams, /curfew: session is over: logged out; run: kubectl curfew login/);
    assertOpen(theirs);
    const feeds = gate.asked.slice(length).filter((asked) => asked.startsWith(GATEWAY_PATHS.ends));
    assert.ok(feeds.length > 0 && feeds.every((asked) => /\?after=\d+\./.test(asked)), feeds.join(' '));
    for (const stream of theirs) stream.close();
  });

  test('by a gateway that was killed: what was open is gone, what ended meanwhile is over, the others go on', async () => {
    const [one, other] = [await logIn(), await logIn()];
    const streams = [...(await open(one.client)), ...(await open(other.client))];
    await between.gateway.kill();
    await until(() => streams.every(({ closed }) => closed), 'something is still open');
    await one.logOut();
    await between.startGateway(MORE);
    const { status, text } = await one.client.get(PODS);
    assert.deepEqual([status, /logged out/.test(text)], [401, true]);
    for (const stream of await open(other.client)) stream.close();
  });

  test('by one that stood still for longer than a lease lasts: what ended is cut at once, with its words, and nothing new of it passes', async (t) => {
    const [one, old, other] = [await logIn(), await logIn(MAX_AGE - 8), await logIn()];
    const [over, aged, theirs] = [await open(one.client), await open(old.client), await open(other.client)];
    between.gateway.signal('SIGSTOP');
    try {
      await one.logOut();
      await sleep(11_200);
    } finally {
      between.gateway.signal('SIGCONT');
    }
    const on_at = performance.now();
    assert.notEqual(await answers(one.client), 200);
    await assertCut(over, /curfew: session is over: logged out/);
    // The broker may have found it over first.
    await assertCut(aged, /curfew: (login is too old|session is over: the login reached its longest age)/);
    t.diagnostic(`cut ${Math.round(cutOf([...over, ...aged]) - on_at)} ms after it went on`);
    assertKept(cutOf([...over, ...aged]) - on_at, 1_000, 'the cut');
    await until(async () => (await answers(other.client)) === 200, 'requests of others do not pass again');
    assertOpen(theirs);
    for (const stream of theirs) stream.close();
  });
});

describe('G17 the audit log', () => {
  const steps = (sid: string) => {
    using database = openStoreDatabase(path.join(lone.folder, 'curfew.db'));
    const rows = database
      .prepare('select data from audit order by seq')
      .all()
      .map((row) => JSON.parse(String(row.data)));
    return rows
      .filter((row) => row.event === 'stream' && row.sid === sid)
      .map(({ step, stream }) => ({ step, stream }));
  };

  test('has each event once, whatever of reports and answers was lost, and though the broker was killed amid them', async () => {
    const { gate } = between;
    const one = await logIn();
    const streams: ClientStream[] = [];
    let reports = 0;
    const fates = ['lose answer', 'lose', 'pass', 'lose answer'] as const;
    gate.how = (asked) => (asked === GATEWAY_PATHS.events ? (fates[reports++ % fates.length] ?? 'pass') : 'pass');
    for (let round = 0; round < 4; round += 1) {
      streams.push(...(await open(one.client)), ...(await open(one.client)));
      await sleep(600);
      if (round !== 1) continue;
      await lone.process.kill();
      await lone.start();
      // The feed is read again after the first that pass, and until then nothing may.
      const passes = async () => (await answers(one.client)) === 200;
      await until(async () => (await passes()) && (await sleep(1_500).then(passes)), 'requests do not pass again');
    }
    streams[0]?.close();
    await one.logOut();
    await assertCut(streams.slice(1), /logged out/);
    gate.how = () => 'pass';
    await until(() => steps(one.sid).length >= streams.length * 2, 'some are not recorded');
    const found = steps(one.sid);
    assert.equal(found.length, streams.length * 2);
    const of = (step: string) => found.filter((row) => row.step === step).map(({ stream }) => stream);
    assert.deepEqual(of('opened').toSorted(), [...of('cut'), ...of('closed')].toSorted());
    assert.equal(new Set(of('opened')).size, streams.length);
    assert.equal(of('closed').length, 1);
  });
});

describe('G13 a gateway that stops', () => {
  afterEach(() => between.startGateway(MORE));

  test('is not ready, takes nothing new, waits for what is open, cuts the rest with words, and tells of it', async () => {
    const { gateway } = between;
    const one = await logIn();
    const [ending, staying] = [await open(one.client), await open(one.client)];
    gateway.signal('SIGTERM');
    const asked_at = performance.now();
    await until(async () => (await gateway.status()) === 'stopping', 'it is ready');
    const refused = await one.client.get(PODS);
    assert.deepEqual([refused.status, refused.headers['retry-after']], [503, '1']);
    assert.match(refused.text, /curfew: this gateway is stopping; try again/);
    const exec = await one.client.exec('late');
    assert.deepEqual([exec.status, /this gateway is stopping/.test(exec.text)], [503, true]);
    assertOpen([...ending, ...staying]);
    for (const stream of ending) stream.close();
    await assertCut(staying, /curfew: this gateway is stopping/);
    assert.ok(cutOf(staying) - asked_at >= 3_000, 'it did not wait');
    assert.equal(await gateway.exit, 0);
    const cut = lone.process.audit().filter(({ sid, step, reason }) => sid === one.sid && step === 'cut' && reason);
    assert.deepEqual(
      cut.map(({ reason }) => reason),
      ['stopping', 'stopping'],
    );
  });
});
