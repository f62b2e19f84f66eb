// What passes between a client and a target: all of it, in its order, and no faster than it is taken.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { TargetStream } from '../../shared/gateway_events.ts';
import { type LoneTargetGateway, startLoneTargetGateway } from '../support/lone_target_gateway.ts';
import { until } from '../support/patience.ts';

const MIB = 1024 * 1024;
/** What the kernel keeps of two connections on the loopback is a few of these. */
const [LARGE, MUCH_LESS] = [96 * MIB, 48 * MIB];

let gateway: LoneTargetGateway;
before(async () => {
  gateway = await startLoneTargetGateway();
});
after(() => gateway.stop());

/** @returns what the target was connected by, once somebody is */
async function targetOf(kind: 'tcp' | 'ssh' | 'postgres', name: string): Promise<readonly Socket[]> {
  const sockets: Socket[] = [];
  const port = await gateway.listen((socket) => void sockets.push(socket));
  gateway.targets.set(name, { kind, port });
  return sockets;
}

async function only(sockets: readonly Socket[]): Promise<Socket> {
  await until(() => sockets.length > 0, 'the target is not reached');
  return sockets[0] as Socket;
}

const digest = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

/** All that comes, until it ends. */
async function takeAll(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** How the connection ended, as the broker is told. */
async function toldOf(target: string) {
  const find = () =>
    gateway.broker.events.find((event) => event.type !== 'lost' && (event as TargetStream).target === target);
  await until(() => find() !== undefined, `nothing is told of ${target}`);
  return find();
}

describe('G28 bytes', () => {
  test('go both ways to the byte, and are counted', async () => {
    const sockets = await targetOf('tcp', 'both');
    const client = await gateway.connect('s1', 'both');
    const socket = await only(sockets);
    const [up, down] = [randomBytes(3 * MIB + 17), randomBytes(2 * MIB + 3)];
    const came: Buffer[] = [];
    client.socket.on('message', (data: Buffer, is_binary) => is_binary && came.push(data));
    const taken = takeAll(socket);
    for (let at = 0; at < up.length; at += 60_000) client.send(up.subarray(at, at + 60_000));
    client.say('eof');
    socket.end(down);
    assert.equal(digest(await taken), digest(up));
    assert.equal((await client.untilClosed()).code, 1000);
    assert.equal(digest(Buffer.concat(came)), digest(down));
    const { seconds, ...told } = (await toldOf('both')) as { readonly seconds: number };
    assert.ok(Number.isInteger(seconds));
    const [stream] = gateway.connections('both');
    assert.deepEqual(
      { ...told, age_ms: 0 },
      {
        ...{ type: 'closed', stream, sid: 's1', kind: 'tcp', target: 'both', age_ms: 0 },
        ...{ bytes_sent: up.length, bytes_received: down.length },
      },
    );
  });

  test('of a target that sends before it is asked are there, and what a client sends before the target is reached', async () => {
    const port = await gateway.listen((socket) => {
      socket.write('hello\n');
      socket.pipe(socket);
    });
    gateway.targets.set('speaks', { kind: 'ssh', port });
    const client = await gateway.connect('s1', 'speaks');
    client.send('first');
    await client.untilText('hello\nfirst');
  });
});

describe('G28 an end', () => {
  test('of one side of a tcp connection leaves the other open', async () => {
    const sockets = await targetOf('tcp', 'half');
    const client = await gateway.connect('s1', 'half');
    const socket = await only(sockets);
    let asked = '';
    socket.on('data', (bytes) => {
      asked += bytes;
    });
    const ended = new Promise((resolve) => socket.once('end', resolve));
    client.send('question');
    client.say('eof');
    await ended;
    assert.equal(asked, 'question');
    assert.equal(client.closed, undefined);
    socket.write('answer');
    await client.untilText('answer');
    socket.end('!');
    assert.equal((await client.untilClosed()).code, 1000);
    assert.ok(client.text.endsWith('answer!'));
    assert.deepEqual(client.texts, ['eof']);
  });

  test('of the target first is told by a frame of text, and what the client still says arrives', async () => {
    const sockets = await targetOf('tcp', 'deaf');
    const client = await gateway.connect('s1', 'deaf');
    const socket = await only(sockets);
    const taken = takeAll(socket);
    socket.end('bye');
    await until(() => client.texts.length > 0, 'its end is not told');
    assert.deepEqual([client.texts, client.text], [['eof'], 'bye']);
    client.send('and more');
    client.say('eof');
    assert.equal(String(await taken), 'and more');
    assert.equal((await client.untilClosed()).code, 1000);
  });

  for (const kind of ['ssh', 'postgres'] as const) {
    test(`of either side is that of the whole, for ${kind}`, async () => {
      const sockets = await targetOf(kind, `${kind}-ends`);
      const client = await gateway.connect('s1', `${kind}-ends`);
      (await only(sockets)).end('last words');
      assert.equal((await client.untilClosed()).code, 1000);
      assert.deepEqual([client.text, client.texts], ['last words', []]);

      const other = await gateway.connect('s1', `${kind}-ends`);
      await until(() => sockets.length === 2, 'the target is not reached');
      const taken = takeAll(sockets[1] as Socket);
      other.send('goodbye');
      other.socket.close(1000);
      assert.equal(String(await taken), 'goodbye');
    });
  }

  test('without a goodbye resets the target: half a file does not look whole', async () => {
    const sockets = await targetOf('tcp', 'torn');
    const client = await gateway.connect('s1', 'torn');
    const socket = await only(sockets);
    const failed = new Promise<NodeJS.ErrnoException>((resolve) => socket.once('error', resolve));
    client.send('half a');
    await new Promise((resolve) => socket.once('data', resolve));
    client.terminate();
    assert.equal((await failed).code, 'ECONNRESET');
    assert.equal((await toldOf('torn'))?.type, 'closed');
  });

  test('by a target that breaks off is told as such, after what it sent; one that cannot be reached too', async () => {
    const sockets = await targetOf('tcp', 'broken');
    const client = await gateway.connect('s1', 'broken');
    const socket = await only(sockets);
    socket.write('half a');
    await client.untilText('half a');
    socket.resetAndDestroy();
    const { code, reason } = await client.untilClosed();
    assert.equal(code, 4502);
    assert.match(reason, /^target_lost: /);
    const told = await toldOf('broken');
    assert.deepEqual(told && 'reason' in told && [told.reason, told.bytes_received], ['target_lost', 6]);

    gateway.targets.set('nowhere', { kind: 'tcp', port: 1 });
    const away = await gateway.connect('s1', 'nowhere');
    const closed = await away.untilClosed();
    assert.equal(closed.code, 4502);
    assert.match(closed.reason, /^target_unreachable: /);
    assert.equal(((await toldOf('nowhere')) as { readonly reason?: string }).reason, 'target_unreachable');
  });
});

describe('G28 whoever does not read', () => {
  test('a client holds no memory: its target waits, and all of it arrives once it reads', async () => {
    const sockets = await targetOf('tcp', 'dump');
    const client = await gateway.connect('s1', 'dump');
    const socket = await only(sockets);
    client.socket.pause();
    const part = randomBytes(MIB);
    const hash = createHash('sha256');
    client.socket.on('message', (data: Buffer, is_binary) => is_binary && hash.update(data));
    const before = await held();
    const written = writeMuch(socket, part);
    await stands(() => written.bytes);
    assert.ok(written.bytes < MUCH_LESS, `${written.bytes} bytes were taken of it`);
    const more = (await held()) - before;
    assert.ok(more < 4 * MIB, `${more} bytes are held`);
    client.socket.resume();
    client.say('eof');
    await client.untilClosed();
    const whole = createHash('sha256');
    for (let i = 0; i < LARGE / MIB; i += 1) whole.update(part);
    assert.equal(client.received, LARGE);
    assert.equal(hash.digest('hex'), whole.digest('hex'));
  });

  test('a target does not either: its client waits', async () => {
    const sockets = await targetOf('postgres', 'busy');
    const client = await gateway.connect('s1', 'busy');
    const socket = await only(sockets);
    const part = randomBytes(64 * 1024);
    const total = LARGE;
    let sent = 0;
    const send = () => {
      for (; sent < total && client.socket.bufferedAmount < MIB; sent += part.length) client.socket.send(part, send);
    };
    socket.pause();
    const before = await held();
    send();
    await stands(() => sent);
    assert.ok(sent < MUCH_LESS, `${sent} bytes were taken of it`);
    // What waits in the client is in this process, too.
    const more = (await held()) - before;
    assert.ok(more < 4 * MIB, `${more} bytes are held`);
    let came = 0;
    socket.on('data', (bytes) => {
      came += bytes.length;
    });
    socket.resume();
    await until(() => came === total, `of ${total} bytes ${came} arrive`);
  });
});

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** Bytes that this process holds once its garbage is collected: client, gateway and target are in it. */
async function held(): Promise<number> {
  collect();
  // What buffers held beside the heap is given back meanwhile.
  await nextTurn();
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

interface Written {
  bytes: number;
}

/** As fast as it is taken; then its end. */
function writeMuch(socket: Socket, part: Buffer): Written {
  const written: Written = { bytes: 0 };
  const write = () => {
    while (written.bytes < LARGE) {
      written.bytes += part.length;
      if (!socket.write(part)) return void socket.once('drain', write);
    }
    socket.end();
  };
  write();
  socket.resume();
  return written;
}

/** Until it has been the same for long enough that nothing moves any more. */
async function stands(count: () => number): Promise<void> {
  let [last, same] = [-1, 0];
  await until(() => {
    same = count() === last ? same + 1 : 0;
    last = count();
    return same >= 50;
  }, 'it never stands still');
}
