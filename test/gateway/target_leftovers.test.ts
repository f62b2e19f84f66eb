// However connections to targets end, nothing of them is left: no socket on either side, nothing that counts as open, one event for each.

import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { after, before, test } from 'node:test';
import type { TargetKind } from '../../shared/targets.ts';
import { type LoneTargetGateway, startLoneTargetGateway } from '../support/lone_target_gateway.ts';
import { until } from '../support/patience.ts';
import type { TargetClient } from '../support/target_client.ts';

const EACH = 8;

let gateway: LoneTargetGateway;
/** Of the target: those that are open. */
const sockets = new Set<Socket>();
before(async () => {
  gateway = await startLoneTargetGateway();
  const port = await gateway.listen((socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    // By what it is told.
    socket.on('data', (bytes) => {
      if (String(bytes) === 'end') socket.end();
      else if (String(bytes) === 'reset') socket.resetAndDestroy();
      else if (String(bytes) === 'flood') socket.write(Buffer.alloc(2 * 1024 * 1024));
    });
    socket.once('end', () => socket.end());
    socket.write('.');
  });
  for (const kind of ['tcp', 'ssh'] as const) gateway.targets.set(kind, { kind, port });
  gateway.targets.set('nowhere', { kind: 'tcp', port: 1 });
});
after(() => gateway?.stop());

let people = 0;

async function open(target: string): Promise<{ readonly client: TargetClient; readonly sid: string }> {
  const sid = `s${++people}`;
  const client = await gateway.connect(sid, target);
  if (target !== 'nowhere') await client.untilText('.');
  return { client, sid };
}

const WAYS: Readonly<Record<string, (client: TargetClient, sid: string) => void>> = {
  'the client says goodbye': ({ socket }) => socket.close(1000),
  'the client closes without a word': ({ socket }) => socket.close(),
  'the client is gone': (client) => client.terminate(),
  'the client is gone while it does not read': (client) => {
    client.send('flood');
    client.socket.pause();
    setTimeout(() => client.terminate(), 20);
  },
  'the target ends': (client) => {
    client.send('end');
    client.say('eof');
  },
  'the target breaks off': (client) => client.send('reset'),
  'a frame is not taken': (client) => client.say('what'),
  'its session is over': (_client, sid) =>
    gateway.broker.tell({ type: 'end', sid, reason: 'logout', since: gateway.broker.now() }),
  'its session is over while the client does not read': (client, sid) => {
    client.send('flood');
    client.socket.pause();
    gateway.broker.tell({ type: 'end', sid, reason: 'logout', since: gateway.broker.now() });
  },
};

async function sumOf(metric: string): Promise<number> {
  const lines = (await gateway.metrics()).split('\n').filter((line) => line.startsWith(metric));
  return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

async function assertNothingLeft(): Promise<void> {
  for (const metric of [
    'curfew_gateway_streams{',
    'curfew_gateway_connections ',
    'curfew_gateway_pending_connections ',
  ])
    await until(async () => (await sumOf(metric)) === 0, `${metric} stays at ${await sumOf(metric)}`);
  await until(() => sockets.size === 0, `${sockets.size} sockets of the target stay`);
  const told = () => gateway.broker.events.filter(({ type }) => type === 'closed' || type === 'cut');
  await until(() => told().length >= people, 'an end is not told');
  const streams = told().map((event) => 'stream' in event && event.stream);
  assert.equal(streams.length, people);
  assert.equal(new Set(streams).size, people);
}

for (const kind of ['tcp', 'ssh'] satisfies TargetKind[]) {
  for (const [what, end] of Object.entries(WAYS)) {
    test(`G29 nothing is left of connections of kind ${kind} where ${what}`, async () => {
      const all = await Promise.all(Array.from({ length: EACH }, () => open(kind)));
      for (const { client, sid } of all) end(client, sid);
      await assertNothingLeft();
    });
  }
}

test('G29 nothing is left of connections to a target that cannot be reached', async () => {
  const all = await Promise.all(Array.from({ length: EACH }, () => open('nowhere')));
  for (const { client } of all) assert.equal((await client.untilClosed()).code, 4502);
  await assertNothingLeft();
});
