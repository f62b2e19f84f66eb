// A broker that is lost: what it said before is not relied on, and what was asked for before its feed began is asked for again. The clock is
// fake.

import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { type Broker, createBroker } from '../../gateway/authority/ask.ts';
import { Authority } from '../../gateway/authority/authority.ts';
import { seconds } from '../../shared/time.ts';
import { until } from '../support/patience.ts';
import { type StandInBroker, startStandInBroker, USER } from '../support/stand_in_broker.ts';

const NOW = seconds(1_800_000_000);
const SPEAKER = { asked: { sid: 'sid-1' }, user: USER };

describe('a broker whose feed says nothing', () => {
  let elapsed_ms: number;
  let stand_in: StandInBroker;
  let broker: Broker;
  let authority: Authority;

  beforeEach(async () => {
    elapsed_ms = 1_000_000;
    stand_in = await startStandInBroker();
    stand_in.now = () => NOW;
    broker = createBroker(stand_in.place);
    const none = () => undefined;
    authority = new Authority({
      ...{ broker, cluster: 'prod', instance: 'i', elapsed: () => elapsed_ms, wall: () => elapsed_ms },
      ...{ log: { info: none, warn: none, error: none }, onEnd: none, onKeyRevoked: none, onLeases: none },
    });
    await until(() => stand_in.afters.length === 1, 'the feed is not read');
    // No time has passed on this clock since it began: then nothing is late yet.
    elapsed_ms += 1;
  });
  afterEach(async () => {
    const stopped = authority.stop();
    stand_in.breakFeeds();
    await stopped;
    broker.close();
    await stand_in.stop();
  });

  const lost = () => authority.lost()?.why;

  test('is lost from the start: that it took the question says nothing, and it is asked again', async () => {
    await until(() => lost() === 'feed', 'it counts as heard from, or never answered');
    // In small steps, as time passes: who stood still looks again first.
    await until(() => {
      elapsed_ms += 50;
      return stand_in.afters.length === 2;
    }, 'the feed is not read again');
    assert.equal(lost(), 'feed');
    stand_in.tell({ type: 'heartbeat' });
    await until(() => lost() === undefined, 'it is lost although it speaks');
  });

  test('is lost 3 s after its last line', async () => {
    stand_in.tell({ type: 'heartbeat' });
    await until(() => lost() === undefined, 'it is lost although it speaks');
    elapsed_ms += 3_000;
    assert.equal(lost(), undefined);
    elapsed_ms += 1;
    assert.equal(lost(), 'feed');
  });

  test('a lease that was asked for before its first line counts no more: an end before that line is not told', async () => {
    const judged = () => authority.leases.judge(SPEAKER, {}).kind;
    await authority.leases.obtain(SPEAKER.asked, {});
    assert.equal(judged(), 'allowed');
    stand_in.facts.set('sid-1', { ended: { at: NOW, reason: 'logout' } });
    elapsed_ms += 1;
    stand_in.tell({ type: 'heartbeat', place: '7.abc.def' });
    await until(() => judged() !== 'allowed', 'a lease of before the feed began is still judged by');
    await until(() => judged() === 'denied', 'it is not asked for again');
  });
});
