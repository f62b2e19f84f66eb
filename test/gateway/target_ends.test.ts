// Connections to targets end with their sessions, whatever ends these: the target first, then the client, with the reason.

import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TargetStream } from '../../shared/gateway_events.ts';
import type { TargetKind } from '../../shared/targets.ts';
import { plus, seconds } from '../../shared/time.ts';
import { type LoneTargetGateway, startLoneTargetGateway } from '../support/lone_target_gateway.ts';
import { until } from '../support/patience.ts';
import { STAND_IN_LIMITS } from '../support/stand_in_broker.ts';
import type { Refused, TargetClient } from '../support/target_client.ts';

let gateway: LoneTargetGateway;
beforeEach(async () => {
  gateway = await startLoneTargetGateway();
});
afterEach(() => gateway.stop());

/** What a target saw of a connection. */
interface Seen {
  readonly socket: Socket;
  text: string;
  /** Whether nothing more comes, as it was told. */
  ended: boolean;
  /** How it broke. */
  end: string | undefined;
}

interface Open {
  readonly client: TargetClient;
  readonly seen: Seen;
}

async function open(sid: string, name = 'db', kind: TargetKind = 'postgres'): Promise<Open> {
  let seen: Seen | undefined;
  const port = await gateway.listen((socket) => {
    const one: Seen = { socket, text: '', ended: false, end: undefined };
    seen = one;
    socket.on('data', (bytes) => {
      one.text += bytes;
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      one.end = error.code;
    });
    socket.once('end', () => {
      one.ended = true;
    });
    socket.write('.');
  });
  gateway.targets.set(name, { kind, port, account: 'orders_rw' });
  const client = await gateway.connect(sid, name);
  await client.untilText('.');
  assert.ok(seen);
  return { client, seen };
}

const endOf = (sid: string, reason = 'logout') => ({ type: 'end', sid, reason, since: gateway.broker.now() }) as const;

describe('G22 an end that is told', () => {
  test('resets the target, then closes the client with the reason, and is told with what passed', async () => {
    const { client, seen } = await open('s1');
    client.send('select 1');
    await until(() => seen.text === 'select 1', 'it does not arrive');
    gateway.broker.tell(endOf('s1'));
    const closed = await client.untilClosed();
    assert.equal(closed.code, 4401);
    assert.equal(closed.reason, 'logout: session is over: logged out; run: kubectl curfew login');
    await until(() => seen.end !== undefined, 'the target still has it');
    assert.equal(seen.end, 'ECONNRESET');
    const told = () => gateway.broker.events.find((event) => event.type === 'cut') as TargetStream & { reason: string };
    await until(() => told() !== undefined, 'it is not told');
    const { age_ms: _, seconds: length, ...rest } = told() as never as Record<string, unknown>;
    assert.ok(Number.isInteger(length));
    assert.deepEqual(rest, {
      ...{ type: 'cut', reason: 'logout', stream: gateway.connections('db')[0], sid: 's1', kind: 'postgres' },
      ...{ target: 'db', account: 'orders_rw', bytes_sent: 8, bytes_received: 1 },
    });
    assert.match(await gateway.metrics(), /curfew_gateway_cuts_total\{reason="logout"\} 1/);
  });

  test('cuts that session alone, and what replaced it goes on', async () => {
    const one = await open('s1', 'a');
    const other = await open('s2', 'b');
    const third = await open('s3', 'c');
    gateway.broker.replaced_by.set('s3', 's4');
    gateway.broker.tell({ ...endOf('s3', 'replaced'), replaced_by: 's4' }, endOf('s1'));
    assert.equal((await one.client.untilClosed()).code, 4401);
    for (const { client, seen } of [other, third]) {
      client.send('on');
      await until(() => seen.text === 'on', 'it does not go on');
    }
    gateway.broker.tell(endOf('s4'));
    assert.equal((await third.client.untilClosed()).code, 4401);
    assert.equal(other.client.closed, undefined);
  });

  test('is not put off by a client that reads nothing: the target is free at once', async () => {
    const { client, seen } = await open('s1');
    client.socket.pause();
    const part = Buffer.alloc(1024 * 1024);
    let taken = 0;
    const write = () => {
      while (seen.socket.write(part)) taken += 1;
      seen.socket.once('drain', write);
    };
    write();
    let last = -1;
    await until(() => {
      const stands = last === taken;
      last = taken;
      return stands;
    }, 'it takes without end');
    seen.socket.on('data', () => undefined);
    gateway.broker.tell(endOf('s1'));
    await until(() => seen.end !== undefined, 'the target is held');
    assert.equal(seen.end, 'ECONNRESET');
    // Its own connection is gone, too, though it never said goodbye.
    await until(async () => /curfew_gateway_connections 0/.test(await gateway.metrics()), 'the client is held');
  });

  test('resets a target whose client has said its end, also while that waits behind what the target does not read', async () => {
    for (const [sid, bytes] of [
      ['s1', 0],
      ['s2', 32 * 1024 * 1024],
    ] as const) {
      const { client, seen } = await open(sid, 'half', 'tcp');
      if (bytes > 0) seen.socket.pause();
      for (let sent = 0; sent < bytes; sent += 65_536) client.send(Buffer.alloc(65_536));
      client.say('eof');
      if (bytes === 0) await until(() => seen.ended, 'its end is not told');
      gateway.broker.tell(endOf(sid));
      await client.untilClosed();
      seen.socket.resume();
      // What goes nowhere any more is refused by the gateway's system.
      await until(() => {
        seen.socket.write('x');
        return seen.end !== undefined && seen.socket.destroyed;
      }, 'the target still has it');
      assert.match(String(seen.end), /^(ECONNRESET|EPIPE)$/);
      assert.ok(bytes === 0 || seen.text.length < bytes, 'all of it arrives');
    }
  });

  test('is not passed by: nothing that a client sends after it reaches the target', async () => {
    const { client, seen } = await open('s1');
    gateway.broker.tell(endOf('s1'));
    for (; !client.closed; await sleep(1)) client.send('x');
    const { text } = seen;
    await until(() => seen.end !== undefined, 'the target still has it');
    assert.equal(seen.text, text);
  });

  test('while the target is not reached yet refuses, and the target is left alone', async () => {
    const { broker } = gateway;
    const answer = broker.onConnection;
    broker.onConnection = (request) => {
      const reply = answer(request);
      // It is told before the answer arrives: the answer was decided before.
      broker.tell(endOf('s1'));
      return sleep(100).then(() => reply);
    };
    let reached = 0;
    const port = await gateway.listen(() => {
      reached += 1;
    });
    gateway.targets.set('db', { kind: 'tcp', port });
    await assert.rejects(gateway.connect('s1', 'db'), (error: Refused) => {
      assert.deepEqual([error.status, error.code], [401, 'logout']);
      return true;
    });
    assert.equal(reached, 0);
    await until(() => broker.events.some(({ type }) => type === 'cut'), 'how it ended is not told');
  });
});

describe('G22 what lasts', () => {
  test("is judged by its session, never by its token's exp", async () => {
    const { client, seen } = await open('s1');
    const { broker } = gateway;
    let ahead = 0;
    const now = broker.now;
    broker.now = () => seconds(now() + ahead);
    ahead = 300;
    const { length } = broker.asked;
    await until(() => broker.asked.length > length + 2, 'no lease is asked for');
    client.send('still here');
    await until(() => seen.text === 'still here', 'it is cut');
    const end = plus(broker.now(), seconds(2));
    broker.facts.set('s1', { auth_time: seconds(end - STAND_IN_LIMITS.max_age) });
    assert.match((await client.untilClosed()).reason, /^login_too_old: /);
    assert.ok(broker.now() >= end, 'before its end');
  });

  test('ends when its target is not the person’s any more, and others of the session go on', async () => {
    const one = await open('s1', 'a');
    const other = await open('s1', 'b');
    const denied = { denied: 'not_admitted', message: 'you are not admitted to this target any more' } as const;
    gateway.broker.limitsOf = ({ target }) => (target === 'a' ? denied : undefined);
    gateway.broker.tell({ type: 'reload' });
    const { code, reason } = await one.client.untilClosed();
    assert.deepEqual([code, reason], [4401, 'not_admitted: you are not admitted to this target any more']);
    other.client.send('on');
    await until(() => other.seen.text === 'on', 'it does not go on');
  });

  test('ends with the key that signed its token', async () => {
    const { client } = await open('s1');
    const kid = gateway.broker.rotateKey();
    let other: Awaited<ReturnType<typeof open>> | undefined;
    // It looks for a key that it does not know every two seconds at most.
    await until(async () => {
      other = await open('s2', 'b').catch(() => undefined);
      return other !== undefined;
    }, 'the new key is not taken');
    gateway.broker.tell({ type: 'key_revoked', kid });
    assert.match((await client.untilClosed()).reason, /^key_revoked: /);
    assert.equal(other?.client.closed, undefined);
  });

  test('ends when the broker is lost for long, and nothing new is connected meanwhile', async () => {
    const { client, seen } = await open('s1');
    gateway.broker.beat_ms = 0;
    gateway.broker.onAsk = () => 503;
    await until(() => gateway.status() !== 'ok', 'it is not lost');
    await assert.rejects(gateway.connect('s2', 'db'), (error: Refused) => {
      assert.deepEqual([error.status, error.code, error.headers['retry-after']], [503, 'lost_broker', '1']);
      return true;
    });
    const closed = await client.untilClosed();
    assert.equal(closed.code, 4503);
    assert.match(closed.reason, /^lost_broker: /);
    await until(() => seen.end !== undefined, 'the target still has it');
    gateway.broker.beat_ms = 500;
    gateway.broker.onAsk = () => undefined;
    await gateway.untilReady();
    await open('s1');
  });

  test('has the time of a stop, and ends with it', async () => {
    const { client, seen } = await open('s1');
    const stopping = gateway.stopItself();
    await until(() => gateway.status() === 'stopping', 'it does not stop');
    await assert.rejects(gateway.connect('s1', 'db'), (error: Refused) => error.code === 'stopping');
    const closed = await client.untilClosed();
    assert.deepEqual([closed.code, closed.reason.split(':')[0]], [4503, 'stopping']);
    await until(() => seen.end !== undefined, 'the target still has it');
    await stopping;
    assert.ok(gateway.broker.events.some((event) => event.type === 'cut' && event.reason === 'stopping'));
  });
});

test('G22 a limit that a segment has for an account alone is asked for by its target and account', async () => {
  const { client } = await open('s1');
  await until(() => gateway.broker.asked.some(({ asks }) => asks.length > 0), 'no lease is asked for');
  const { asks } = gateway.broker.asked.findLast((request) => request.asks.length > 0) ?? { asks: [] };
  assert.deepEqual(asks, [{ sid: 's1', targets: [{ target: 'db', account: 'orders_rw' }] }]);
  client.socket.close(1000);
});
