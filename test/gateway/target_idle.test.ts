// A connection to a target is idle by what is sent on it, whatever its session does elsewhere; what arrives counts only where the policy says
// so, and is a use of nothing.

import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { type Seconds, seconds } from '../../shared/time.ts';
import { type LoneTargetGateway, startLoneTargetGateway } from '../support/lone_target_gateway.ts';
import { until } from '../support/patience.ts';
import { STAND_IN_LIMITS } from '../support/stand_in_broker.ts';
import type { TargetClient } from '../support/target_client.ts';

const IDLE = seconds(600);

let gateway: LoneTargetGateway;
let ahead = 0;
/** Of the person, wherever that is: of now, unless it is told. */
let used: Seconds | undefined;
beforeEach(async () => {
  gateway = await startLoneTargetGateway();
  const { broker } = gateway;
  const { now } = broker;
  [ahead, used] = [0, undefined];
  broker.now = () => seconds(now() + ahead);
  broker.limits = { session: STAND_IN_LIMITS, target: { ...STAND_IN_LIMITS, inactivity_timeout: IDLE } };
  const last_used = () => used ?? broker.now();
  broker.facts.set('s1', {
    get last_used() {
      return last_used();
    },
  });
});
afterEach(() => gateway.stop());

interface Opened {
  readonly client: TargetClient;
  readonly socket: Socket;
}

async function open(name: string, kind: 'postgres' | 'tcp' = 'postgres'): Promise<Opened> {
  let socket: Socket | undefined;
  const port = await gateway.listen((accepted) => {
    socket = accepted;
    accepted.pipe(accepted);
  });
  gateway.targets.set(name, { kind, port });
  const client = await gateway.connect('s1', name);
  await until(() => socket !== undefined, 'the target is not reached');
  return { client, socket: socket as Socket };
}

/** The broker's clock, and with its next answer the gateway's: which is asked for at once. */
async function pass(time: number): Promise<void> {
  ahead += time;
  const { length } = gateway.broker.asked;
  gateway.broker.tell({ type: 'reload' });
  await until(() => gateway.broker.asked.slice(length).some(({ asks }) => asks.length > 0), 'no leases are asked for');
}

async function send({ client }: Opened, text: string): Promise<void> {
  client.send(text);
  await client.untilText(text);
}

const IS_IDLE = 'idle_too_long: nothing was sent on this connection for 10m; connect again';

describe('G23 a connection', () => {
  test('without input of its own is cut, though its session is used elsewhere', async () => {
    const [idle, busy] = [await open('a'), await open('b')];
    await pass(400);
    await send(busy, 'hello');
    assert.equal(idle.client.closed, undefined);
    await pass(250);
    const { code, reason } = await idle.client.untilClosed();
    assert.deepEqual([code, reason], [4401, IS_IDLE]);
    await send(busy, 'still here');
    await pass(500);
    await send(busy, 'and now');
    await pass(300);
    await pass(350);
    assert.equal((await busy.client.untilClosed()).reason, IS_IDLE);
  });

  test('is not kept by what arrives, nor by pings of either side', async () => {
    const { client, socket } = await open('a');
    await pass(400);
    client.socket.ping();
    client.socket.pong();
    socket.write('a line of a log');
    await client.untilText('a line of a log');
    await pass(250);
    assert.equal((await client.untilClosed()).reason, IS_IDLE);
  });

  test('is kept by what arrives where that counts for its kind, and no other', async () => {
    gateway.broker.limits = { ...gateway.broker.limits, output_counts: ['postgres'] };
    const [dump, other] = [await open('a'), await open('b', 'tcp')];
    await pass(400);
    for (const { socket } of [dump, other]) socket.write('row');
    for (const { client } of [dump, other]) await client.untilText('row');
    await pass(250);
    assert.equal((await other.client.untilClosed()).reason, IS_IDLE);
    assert.equal(dump.client.closed, undefined);
    await pass(500);
    assert.equal((await dump.client.untilClosed()).reason, IS_IDLE);
  });

  test('is cut where the session is idle for its target, unless what arrives counts there; where it is idle everywhere always', async () => {
    gateway.broker.limits = {
      session: { ...STAND_IN_LIMITS, inactivity_timeout: seconds(900) },
      target: { ...STAND_IN_LIMITS, inactivity_timeout: IDLE },
      output_counts: ['postgres'],
    };
    const [dump, other] = [await open('a'), await open('b', 'tcp')];
    used = gateway.broker.now();
    await pass(400);
    for (const { socket } of [dump, other]) socket.write('row');
    for (const { client } of [dump, other]) await client.untilText('row');
    await pass(250);
    assert.match((await other.client.untilClosed()).reason, /^idle_too_long: session is idle for too long: /);
    dump.socket.write('more');
    await dump.client.untilText('more');
    assert.equal(dump.client.closed, undefined);
    await pass(300);
    assert.match((await dump.client.untilClosed()).reason, /^idle_too_long: session is idle for too long: /);
  });
});

describe('G23 a use', () => {
  const usesSince = (length: number) =>
    gateway.broker.asked.slice(length).flatMap(({ uses }) => uses.map(({ sid }) => sid));

  test('is what is sent, told within seconds; what arrives, a ping and an end are none', async () => {
    const one = await open('a', 'tcp');
    // The connection itself was one.
    await until(() => usesSince(0).length > 0, 'the connection is no use');
    let { length } = gateway.broker.asked;
    one.client.socket.ping();
    one.socket.write('row');
    await one.client.untilText('row');
    one.client.say('eof');
    const reports = length + 3;
    await until(() => gateway.broker.asked.length >= reports, 'nothing is reported');
    assert.deepEqual(usesSince(length), []);

    const other = await open('b');
    ({ length } = gateway.broker.asked);
    for (let i = 0; i < 50; i += 1) await send(other, `line ${i}`);
    await until(() => usesSince(length).length > 0, 'what is sent is no use');
    assert.ok(usesSince(length).length <= gateway.broker.asked.length - length, 'once in each report');
    assert.deepEqual([...new Set(usesSince(length))], ['s1']);
  });
});

test('G23 a client is pinged, so that what is between keeps the connection, and its pings are answered', async () => {
  await gateway.stop();
  gateway = await startLoneTargetGateway({}, { ping_ms: 20 });
  const { client, socket } = await open('a');
  await until(() => client.pings > 2, 'no ping comes');
  let pongs = 0;
  client.socket.on('pong', () => {
    pongs += 1;
  });
  client.socket.ping();
  await until(() => pongs === 1, 'no answer to a ping');
  // The target sees none of it.
  assert.equal(socket.bytesRead, 0);
});
