// H13: who is taken while there is too much, who is sent away, and that this is remembered of a bounded number.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { classOfRoute } from '../../broker/traffic/classes.ts';
import { Episode } from '../../broker/traffic/episode.ts';
import { FAILURES_A_SECOND, FAILURES_AT_ONCE, FailingNetworks } from '../../broker/traffic/failing.ts';
import { InFlight } from '../../broker/traffic/in_flight.ts';
import { Shedding } from '../../broker/traffic/shedding.ts';
import { watchLoopDelay } from '../../serving/net/loop_delay.ts';

const stopwatch = () => performance.now() / 1000;

test('H13 ends come before judgements, those before renewals; what nothing is there for comes last', () => {
  for (const [method, route, with_token, expected] of [
    ['POST', '/revoke', false, 'end'],
    ['POST', '/backchannel-logout', false, 'end'],
    ['POST', '/ssf/events', true, 'end'],
    ['DELETE', '/v1/sessions/:sid', false, 'end'],
    ['GET', '/v1/sessions', false, 'renewal'],
    ['POST', '/webhooks/authorize', true, 'judgement'],
    ['POST', '/v1/gateway/sessions', true, 'judgement'],
    ['POST', '/introspect', true, 'judgement'],
    ['POST', '/introspect', false, 'renewal'],
    ['POST', '/token', true, 'judgement'],
    ['POST', '/token', false, 'token'],
    ['GET', '/jwks', false, 'judgement'],
    ['GET', '/readyz', false, 'free'],
    ['GET', '/v1/gateway/ends', true, 'free'],
    ['GET', undefined, false, 'other'],
  ] as const)
    assert.equal(classOfRoute(method, route, with_token), expected, `${method} ${route}`);
});

describe('requests that are under way', () => {
  test('H13 of one network fill what is shared, and others still get in, each up to a share', () => {
    const some = new InFlight({ shared: 8, reserved: 4 });
    const noisy = Array.from({ length: 100 }, () => some.take('noisy'));
    assert.equal(noisy.filter(Boolean).length, 8);
    const others = ['a', 'b', 'c', 'd', 'e'].map((name) => some.take(name));
    assert.equal(others.filter(Boolean).length, 4, 'what is reserved is bounded, too');
    assert.equal(some.take('noisy'), undefined);
    others[0]?.();
    assert.ok(some.take('f'));
    for (const leave of noisy) leave?.();
    assert.ok(some.take('noisy'));
    assert.equal(some.size, 5);
  });
});

describe('requests that are no good', () => {
  test('H13 of one network are so many at once and so many a second; another network waits for none of them', () => {
    const failing = new FailingNetworks();
    for (let n = 0; n < FAILURES_AT_ONCE; n++) {
      assert.equal(failing.waits('one', 100), undefined);
      failing.note('one', 100);
    }
    assert.equal(failing.waits('one', 100), 1);
    assert.equal(failing.waits('two', 100), undefined);
    // However many more come: who stops is not kept out for long.
    for (let n = 0; n < 50 * FAILURES_AT_ONCE; n++) failing.note('one', 100);
    assert.equal(failing.waits('one', 100), 2);
    assert.equal(failing.waits('one', 102), undefined);
    assert.equal(failing.waits('one', 100 + FAILURES_AT_ONCE / FAILURES_A_SECOND + 1), undefined);
  });

  test('H13 are remembered of a bounded number of networks, the newest', () => {
    const failing = new FailingNetworks();
    for (let n = 0; n < 50_000; n++) failing.note(`network ${n}`, 100);
    assert.equal(failing.size, 20_000);
    // What is forgiven is forgotten once it is asked about.
    assert.equal(failing.waits('network 49999', 200), undefined);
    assert.equal(failing.size, 19_999);
  });
});

describe('an event loop that is late', () => {
  test('H13 sends away who asks much first, then everybody who logs in, then who renews; ends and judgements never', () => {
    const taken = (delay: number, much: boolean) => {
      const shedding = new Shedding(() => delay, stopwatch);
      const classes = ['end', 'judgement', 'renewal', 'login', 'other'] as const;
      return classes.filter((name) => shedding.take(name, 'network', much) !== undefined);
    };
    assert.deepEqual(taken(0, true), ['end', 'judgement', 'renewal', 'login', 'other']);
    assert.deepEqual(taken(200, true), ['end', 'judgement', 'renewal', 'login']);
    assert.deepEqual(taken(300, true), ['end', 'judgement']);
    assert.deepEqual(taken(300, false), ['end', 'judgement', 'renewal', 'login']);
    assert.deepEqual(taken(800, false), ['end', 'judgement', 'renewal']);
    assert.deepEqual(taken(60_000, false), ['end', 'judgement']);
  });

  test('H13 a network asks much that asks often in one second, and not in the next', () => {
    let instant = 100;
    const shedding = new Shedding(
      () => 0,
      () => instant,
    );
    const asked = Array.from({ length: 200 }, () => shedding.asks('noisy'));
    assert.equal(asked[0], false);
    assert.equal(asked.at(-1), true);
    assert.equal(shedding.asks('quiet'), false);
    instant += 1;
    assert.equal(shedding.asks('noisy'), false);
  });

  test('H13 has requests sent elsewhere until it is in time again: not yes and no in turn', () => {
    let delay = 600;
    const shedding = new Shedding(() => delay, stopwatch);
    assert.equal(shedding.overloaded(), true);
    delay = 200;
    assert.equal(shedding.overloaded(), true);
    delay = 50;
    assert.equal(shedding.overloaded(), false);
    delay = 200;
    assert.equal(shedding.overloaded(), false);
  });

  test('is seen while it is stuck again and again, and not for one pause', async () => {
    const delay = watchLoopDelay(stopwatch);
    const stuck = (ms: number) => {
      const end = performance.now() + ms;
      while (performance.now() < end);
    };
    try {
      stuck(600);
      await sleep(0);
      stuck(1);
      // One sample of nine, whatever it is.
      const once = delay.ms();
      for (let n = 0; n < 8; n++) {
        stuck(200);
        await sleep(1);
      }
      const often = delay.ms();
      assert.ok(often >= 100, `${often} ms`);
      assert.ok(once < often, `${once} ms, then ${often} ms`);
    } finally {
      delay.stop();
    }
  });
});

test('H13 a time in which requests are sent away is said once when it begins, and once when it is over', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  let instant = 100;
  const said: string[] = [];
  const log = {
    warn: (facts: object, text: string) => said.push(`${text} ${JSON.stringify(facts)}`),
    info: (facts: object, text: string) => said.push(`${text} ${JSON.stringify(facts)}`),
  };
  const episode = new Episode(
    log as never,
    () => 400,
    () => instant,
  );
  const pass = (seconds: number) => {
    for (let n = 0; n < seconds; n++) {
      instant += 1;
      t.mock.timers.tick(1000);
    }
  };
  for (let n = 0; n < 500; n++) episode.sentAway();
  pass(5);
  episode.sentAway();
  pass(9);
  assert.deepEqual(said, ['more is asked than can be answered: requests are sent away {"loop_delay_ms":400}']);
  pass(1);
  assert.deepEqual(said.slice(1), ['all that is asked is answered again {"requests":501,"seconds":5}']);
  pass(60);
  assert.equal(said.length, 2);
  episode.sentAway();
  assert.equal(said.length, 3);
  episode.stop();
});
