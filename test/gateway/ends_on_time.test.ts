// Ends come by the broker's clock, whatever the clocks of this machine do.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BrokerClock } from '../../gateway/authority/clock.ts';
import { seconds } from '../../shared/time.ts';
import { startLoneGateway } from '../support/lone_gateway.ts';
import { assertKept, until } from '../support/patience.ts';
import { STAND_IN_LIMITS } from '../support/stand_in_broker.ts';

const WATCH = '/api/v1/namespaces/dev/pods?watch=1';

describe('G15 an end is on time', () => {
  for (const [how, wall_ahead] of [
    ['5 min ahead', 300_000],
    ['5 min behind', -300_000],
  ] as const) {
    test(`where the machine's clock is ${how}, and is put right meanwhile`, async () => {
      const lone = await startLoneGateway({}, wall_ahead);
      try {
        const { broker, ahead } = lone;
        const end = broker.now() + 3;
        broker.facts.set('old', { auth_time: seconds(end - STAND_IN_LIMITS.max_age) });
        const [watch, theirs] = [await lone.client('old').watch(WATCH), await lone.client('other').watch(WATCH)];
        assert.equal(watch.status, 200);
        ahead.wall = 0;
        await until(() => watch.closed, 'it goes on');
        assert.ok(broker.now() >= end, 'before its end');
        assertKept((broker.now() - end) * 1_000, 1_000, 'the cut');
        assert.match(watch.text, /curfew: login is too old/);
        assert.equal(theirs.closed, false);
      } finally {
        await lone.stop();
      }
    });
  }

  test('after a machine that slept: nothing passes by what was known before', async () => {
    const lone = await startLoneGateway();
    try {
      const client = lone.client('one');
      assert.equal((await client.get('/api/v1/pods')).status, 200);
      lone.broker.facts.set('one', { ended: { at: lone.broker.now(), reason: 'administrator' } });
      // The clock that is never set stands still meanwhile.
      lone.ahead.wall += 3_600_000;
      const { status, text } = await client.get('/api/v1/pods');
      assert.deepEqual([status, /ended by an administrator/.test(text)], [401, true]);
      assert.equal(lone.log.filter((line) => line.includes('all leases are void')).length, 1);
    } finally {
      await lone.stop();
    }
  });
});

describe("G15 the broker's clock, as its answers tell", () => {
  let elapsed: number;
  const clockAt = (broker_time: number) => {
    elapsed = 50_000;
    const clock = new BrokerClock(() => elapsed);
    clock.learn(seconds(broker_time), elapsed);
    return clock;
  };

  test('is not put back by an answer that took long', () => {
    const clock = clockAt(1_000);
    elapsed += 6_000;
    assert.equal(clock.now(), 1_006);
    clock.learn(seconds(1_000), elapsed - 6_000);
    assert.equal(clock.now(), 1_006);
  });

  test('is put back where the broker says so, and ahead at once', () => {
    const clock = clockAt(1_000);
    clock.learn(seconds(998), elapsed);
    assert.equal(clock.now(), 998);
    clock.learn(seconds(1_300), elapsed - 2_000);
    assert.equal(clock.now(), 1_300);
  });
});
