// What the broker is asked for leases: few questions at a time, whatever comes, and none that it would not take. Whoever waits is answered,
// or sent away for a moment.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { isRefusal, prepare } from '../../gateway/admit.ts';
import type { Authority } from '../../gateway/authority/authority.ts';
import { batches, type Entry } from '../../gateway/authority/lease_entries.ts';
import { isLeaseRequest, LARGEST_REPORT_BYTES } from '../../shared/gateway_wire.ts';
import { plus, seconds } from '../../shared/time.ts';
import type { ClientStream } from '../support/gateway_client.ts';
import { withAuthority } from '../support/lone_authority.ts';
import { type LoneGateway, startLoneGateway } from '../support/lone_gateway.ts';
import { assertKept, until } from '../support/patience.ts';
import { USER } from '../support/stand_in_broker.ts';

const SESSIONS = 5_000;
/** Milliseconds that a request waits at most. */
const LONGEST_WAIT = 5_000;
const none = () => undefined;

/** A request of each session, all at once. @returns how many passed, and what the others were told */
async function everybody(authority: Authority, now: number) {
  const verify = async (token: string) => ({
    ...({ kind: 'session', asked: { sid: token }, user: USER, for_gateway: false } as const),
    ...{ exp: plus(seconds(now), seconds(600)), not_before: seconds(now) },
  });
  const parts = { authority, verifier: { verify }, other_credentials: 'refuse' } as const;
  const answers = await Promise.all(
    Array.from({ length: SESSIONS }, async (_, i) => {
      const headers = [['authorization', `Bearer sid-${i}`]] as const;
      const prepared = await prepare(parts, { method: 'GET', url: '/api/v1/namespaces/dev/pods', headers });
      return isRefusal(prepared) ? prepared : prepared.decide();
    }),
  );
  const refused = answers.filter(isRefusal);
  return { passed: answers.length - refused.length, refused };
}

describe(`G18 ${SESSIONS} new sessions at once`, () => {
  test('are few questions, two under way at most, and all of them pass', async () => {
    await withAuthority(async (broker, authority) => {
      broker.onAsk = () => sleep(100).then(none);
      const before = broker.asked.length;
      const { passed, refused } = await everybody(authority, broker.now());
      assert.deepEqual([passed, refused], [SESSIONS, []]);
      assert.ok(broker.most_at_once <= 2, `${broker.most_at_once} questions at a time`);
      const questions = broker.asked.slice(before).filter(({ asks }) => asks.length > 0);
      const asked = new Set(questions.flatMap(({ asks }) => asks.map(({ sid }) => sid)));
      assert.equal(asked.size, SESSIONS);
      assert.ok(questions.length <= 2 * Math.ceil(SESSIONS / 1_000) + 2, `${questions.length} questions`);
    });
  });

  test('at a broker that takes its time: each passes, or is sent away within a bounded time, and passes when it comes again', async () => {
    await withAuthority(async (broker, authority) => {
      broker.onAsk = ({ asks }) => (asks.length > 100 ? sleep(1_800).then(none) : undefined);
      const began = performance.now();
      const { passed, refused } = await everybody(authority, broker.now());
      assertKept(performance.now() - began, LONGEST_WAIT, 'the last of them');
      assert.ok(passed > 0 && refused.length > 0, `${passed} passed`);
      for (const { status, code, retry_after } of refused)
        assert.deepEqual([status, code, retry_after], [503, 'lost_broker', 1]);
      assert.ok(broker.most_at_once <= 2, `${broker.most_at_once} questions at a time`);
      broker.onAsk = none;
      await until(async () => (await everybody(authority, broker.now())).refused.length === 0, 'some never pass');
    });
  });
});

describe('G18 what one person asks for', () => {
  let lone: LoneGateway;
  before(async () => {
    lone = await startLoneGateway();
  });
  after(() => lone?.stop());

  test('is no question that the broker refuses: everybody else goes on', async () => {
    const [one, other] = [lone.client('long'), lone.client('other')];
    const watch = await other.watch('/api/v1/namespaces/dev/pods?watch=1');
    const long = 'a'.repeat(300);
    for (const path of [`/api/v1/${long}`, `/api/v1/namespaces/${long}/pods`, `/api/v1/namespaces/dev/pods/x/${long}`])
      assert.equal((await one.get(path)).status, 200, path.slice(0, 30));
    const asked = lone.broker.asked.length;
    await until(() => lone.broker.asked.length > asked + 2, 'the broker is asked no more');
    assert.equal(lone.status(), 'ok');
    assert.equal((await other.get('/api/v1/namespaces/dev/pods')).status, 200);
    assert.equal(watch.closed, false);
    watch.close();
  });

  test('in more places than a question holds for one session is cut at its end all the same, with its words', async () => {
    const client = lone.client('many');
    const watches: ClientStream[] = [];
    for (let i = 0; i < 130; i += 1) watches.push(await client.watch(`/apis/example.com/v1/kind${i}?watch=1`));
    lone.broker.facts.set('many', { ended: { at: lone.broker.now(), reason: 'logout' } });
    lone.broker.tell({ type: 'end', sid: 'many', reason: 'logout', since: lone.broker.now(), place: '1.a.b' });
    await until(() => watches.every(({ closed }) => closed), 'some go on');
    for (const { text } of watches)
      assert.match(text, /curfew: session is over: logged out; run: kubectl curfew login/);
  });

  test('fits into questions of the size that the broker takes, in their order', () => {
    const entries = Array.from({ length: 60 }, (_, i): Entry => {
      const targets = Array.from({ length: 100 }, (_, n) => ({
        ...{ target: { namespace: `n-${n}`.padEnd(63, 'x'), resource: `r-${n}`.padEnd(256, 'x') }, limits: undefined },
      }));
      return {
        ...{
          asked: { sid: `sid-${i}` },
          lease: undefined,
          known: undefined,
          asked_at: 0,
          void_since: 0,
          wanted_at: 0,
          use: undefined,
        },
        targets: new Map(targets.map((one) => [JSON.stringify(Object.values(one.target)), one])),
      };
    });
    const all = batches(entries);
    assert.deepEqual(all.flat(), entries);
    for (const batch of all) {
      const asks = batch.map(({ asked, targets }) => ({
        ...asked,
        targets: [...targets.values()].map(({ target }) => target),
      }));
      const request = JSON.stringify({ asks, uses: [] });
      assert.ok(isLeaseRequest(JSON.parse(request)) && request.length < LARGEST_REPORT_BYTES);
    }
  });
});
