// Sessions that are found by the Secret of a ServiceAccount's token: the Secret goes with its session, and the broker knows whose it was no
// longer. The words stay.

import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { BrokerClock } from '../../gateway/authority/clock.ts';
import { Leases } from '../../gateway/authority/leases.ts';
import type { Lease, NoLease } from '../../shared/gateway_wire.ts';
import { plus, seconds } from '../../shared/time.ts';
import { STAND_IN_LIMITS } from '../support/stand_in_broker.ts';

const ASKED = { secret_uid: 'uid' };
const USER = 'system:serviceaccount:people:editors';
const TARGET = { namespace: 'dev', resource: 'pods' };
const T0 = seconds(1_800_000_000);
const IDLE = STAND_IN_LIMITS.inactivity_timeout;
const LEASE: Lease = {
  ...{ ...ASKED, judged_sid: 'sid', username: 'alice', groups: [], acts_as: USER },
  ...{ facts: { auth_time: T0, last_used: T0 }, limits: [{ session: STAND_IN_LIMITS, target: STAND_IN_LIMITS }] },
};
const GONE: NoLease = { ...ASKED, denied: 'unknown_session', message: 'there is no such session' };

let elapsed: number;
let answer: { broker_time: number; sessions: readonly (Lease | NoLease)[] };
let leases: Leases;
const judged = () => leases.judge({ asked: ASKED, user: USER }, TARGET);
const message = () => {
  const judgement = judged();
  return judgement.kind === 'denied' ? judgement.refusal.message : judgement.kind;
};

beforeEach(async () => {
  elapsed = 100_000;
  answer = { broker_time: T0, sessions: [LEASE] };
  leases = new Leases({
    broker: { post: async () => ({ status: 200, body: { ...answer, record: [] } }) },
    ...{ cluster: 'dev', clock: new BrokerClock(() => elapsed), elapsed: () => elapsed },
  });
  await leases.obtain(ASKED, TARGET);
  assert.equal(message(), 'allowed');
});

/** Its Secret is gone so many seconds after its last use. */
async function goes(after: number): Promise<void> {
  elapsed += after * 1_000;
  answer = { broker_time: plus(T0, seconds(after)), sessions: [GONE] };
  // Something is open.
  leases.want(ASKED, TARGET);
  await leases.report([]);
}

describe('G1 a session whose Secret is gone', () => {
  test('is over for the reason that the feed told, before and after', async () => {
    leases.end('sid', 'administrator', plus(T0, seconds(5)));
    const words = 'curfew: session is over: ended by an administrator; run: kubectl curfew login';
    assert.equal(message(), words);
    await goes(5);
    assert.equal(message(), words);
    assert.equal(leases.sidOf(ASKED), 'sid', 'what was cut is told of');
  });

  for (const [when, after] of [
    ['a second before, as far as is known here', IDLE - 1],
    ['then', IDLE],
    ['later', IDLE + 60],
  ] as const)
    test(`was idle, where that is heard of ${when}`, async () => {
      await goes(after);
      assert.match(message(), /curfew: session is idle for too long: not used for .*; run: kubectl curfew login/);
    });

  test('is denied all the same where nothing says why', async () => {
    await goes(5);
    assert.equal(message(), 'curfew: there is no such session');
    assert.equal(judged().kind === 'denied' && 'denied' in judged(), false, 'no output keeps it');
  });
});
