// What became of streams, on its way to the audit log: each once and in its order, bounded, and never a reason to keep a stream open or to
// cut one.

import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { type Broker, createBroker } from '../../gateway/authority/ask.ts';
import { Events, type NewEvent } from '../../gateway/authority/events.ts';
import { startLoneGateway } from '../support/lone_gateway.ts';
import { until } from '../support/patience.ts';
import { type StandInBroker, startStandInBroker } from '../support/stand_in_broker.ts';

const MOST = 10_000;
const WATCH = '/api/v1/namespaces/dev/pods?watch=1';
const opened = (n: number): NewEvent => {
  return { type: 'opened', stream: `s-${n}`, sid: 'sid-1', kind: 'exec', resource: 'pods/exec' };
};

describe('G17 events of streams', () => {
  let stand_in: StandInBroker;
  let broker: Broker;
  let events: Events;
  let elapsed_ms: number;
  beforeEach(async () => {
    elapsed_ms = 0;
    stand_in = await startStandInBroker();
    broker = createBroker(stand_in.place);
    events = new Events({ broker, elapsed: () => elapsed_ms, instance: 'gateway-1' });
  });
  afterEach(async () => {
    broker.close();
    await stand_in.stop();
  });

  const flush = () => events.flush().catch(() => undefined);
  const streams = () => stand_in.events.flatMap((event) => (event.type === 'lost' ? [] : [event.stream]));
  const names = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => `s-${from + i}`);

  test('are each told once, in their order, whatever is lost on the way', async () => {
    const insteads = [{ before: 503 }, { before: 'no answer' }, { after: 'no answer' }, { after: 503 }] as const;
    let tries = 0;
    stand_in.onEvents = () => insteads[tries++] ?? {};
    for (let n = 1; n <= 1_200; n += 1) events.tell(opened(n));
    for (let i = 0; i < insteads.length; i += 1) {
      await flush();
      events.tell(opened(1_201 + i));
    }
    await flush();
    assert.equal(events.waiting, 0);
    assert.deepEqual(streams(), names(1, 1_204));
  });

  test('say how long ago they were, however late they arrive', async () => {
    events.tell(opened(1));
    elapsed_ms += 90_000;
    events.tell(opened(2));
    await flush();
    assert.deepEqual(
      stand_in.events.map(({ age_ms }) => age_ms),
      [90_000, 0],
    );
  });

  test(`wait in a number of ${MOST} at most: of those beyond one event says how many they were`, async () => {
    stand_in.onEvents = () => ({ before: 503 });
    for (let n = 1; n <= MOST + 321; n += 1) events.tell(opened(n));
    await flush();
    assert.equal(events.waiting, MOST);
    stand_in.onEvents = () => ({});
    await flush();
    assert.equal(events.waiting, 0);
    assert.deepEqual(streams(), names(1, MOST));
    assert.deepEqual(
      stand_in.events.flatMap((event) => (event.type === 'lost' ? [event.count] : [])),
      [321],
    );
  });

  test('that the broker never takes keep no others from it: they are counted as lost', async () => {
    stand_in.onEvents = ({ first }) => (first === 1 ? { before: 400 } : {});
    for (let n = 1; n <= 700; n += 1) events.tell(opened(n));
    await flush();
    assert.deepEqual(streams(), names(501, 700));
    assert.deepEqual(
      stand_in.events.flatMap((event) => (event.type === 'lost' ? [event.count] : [])),
      [500],
    );
  });
});

test('G17 a broker that takes no events keeps no stream open, and cuts none', async () => {
  const lone = await startLoneGateway();
  try {
    const { broker } = lone;
    let told = 0;
    broker.onEvents = ({ events }) => {
      told += events.length;
      return { before: 503 };
    };
    const [one, other] = [await lone.client('one').watch(WATCH), await lone.client('other').watch(WATCH)];
    await until(() => told > 0, 'no event is told');
    broker.tell({ type: 'end', sid: 'one', reason: 'logout', since: broker.now(), place: '1.a.b' });
    await until(() => one.closed, 'it goes on');
    assert.match(one.text, /logged out/);
    assert.equal(other.closed, false);
    assert.equal(lone.status(), 'ok');
    broker.onEvents = () => ({});
    await until(() => broker.events.length >= 3, 'what waited is not told');
    assert.deepEqual(
      broker.events.map(({ type }) => type),
      ['opened', 'opened', 'cut'],
    );
  } finally {
    await lone.stop();
  }
});

test('G17 which kinds of streams are told of is what the broker wants', async () => {
  const lone = await startLoneGateway();
  try {
    const { broker } = lone;
    broker.record = ['exec'];
    const { length } = broker.asked;
    await until(() => broker.asked.length > length + 1, 'it is not asked');
    const client = lone.client('one');
    const [watch, exec] = [await client.watch(WATCH), await client.exec('shell')];
    watch.close();
    exec.close();
    await until(() => broker.events.length === 2, 'no event is told');
    assert.deepEqual(
      broker.events.map((event) =>
        event.type === 'lost' ? '' : `${event.type} ${event.kind} ${'name' in event ? event.name : ''}`,
      ),
      ['opened exec shell', 'closed exec shell'],
    );
  } finally {
    await lone.stop();
  }
});
