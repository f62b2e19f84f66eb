// Who was let in to a target, and sends what no client of ours does: the connection ends, its target is reset, and others go on.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { after, before, beforeEach, describe, test } from 'node:test';
import { CONNECT_PROTOCOL, type TargetKind } from '../../shared/targets.ts';
import { type LoneTargetGateway, startLoneTargetGateway } from '../support/lone_target_gateway.ts';
import { until } from '../support/patience.ts';
import { openRaw, type RawClient, requestText } from '../support/raw_client.ts';
import type { TargetClient } from '../support/target_client.ts';

const UPGRADE = [
  ...['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13'],
  ...['Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==', `Sec-WebSocket-Protocol: ${CONNECT_PROTOCOL}`],
];

let gateway: LoneTargetGateway;
let bystander: TargetClient;
/** The newest connection of the target. */
let target: { readonly socket: Socket; bytes: number; end: string | undefined } | undefined;
before(async () => {
  gateway = await startLoneTargetGateway();
  const port = await gateway.listen((socket) => {
    const one: typeof target = { socket, bytes: 0, end: undefined };
    target = one;
    socket.on('data', (bytes) => {
      one.bytes += bytes.length;
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      one.end ??= error.code;
    });
    socket.once('end', () => {
      one.end ??= 'end';
    });
  });
  for (const kind of ['tcp', 'ssh', 'postgres'] as const) gateway.targets.set(kind, { kind, port });
  const echo = await gateway.listen((socket) => void socket.pipe(socket));
  gateway.targets.set('echo', { kind: 'tcp', port: echo });
  bystander = await gateway.connect('s2', 'echo');
});
after(() => gateway?.stop());
beforeEach(() => {
  target = undefined;
});

async function open(kind: TargetKind = 'tcp'): Promise<RawClient> {
  const client = await openRaw({ url: gateway.url, ca: gateway.ca });
  const { authorization, dpop } = gateway.headers('s1', kind);
  client.send(requestText(`/v1/connect/${kind}`, [...UPGRADE, `Authorization: ${authorization}`, `DPoP: ${dpop}`]));
  assert.equal(await client.status(), 101);
  await until(() => target !== undefined, 'the target is not reached');
  return client;
}

const OPCODE = { continued: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

/** RFC 6455 5.2, with whatever of it is wrong. */
function frame(
  payload: Buffer,
  { opcode = OPCODE.binary as number, fin = true, masked = true, reserved = 0, length = payload.length } = {},
): Buffer {
  const first = (fin ? 0x80 : 0) | (reserved << 4) | opcode;
  const mask = masked ? 0x80 : 0;
  const head =
    length < 126
      ? Buffer.from([first, mask | length])
      : length < 65_536
        ? Buffer.from([first, mask | 126, length >> 8, length & 0xff])
        : Buffer.concat([Buffer.from([first, mask | 127]), big(length)]);
  // All of the mask is 0: what is masked is as it was.
  return Buffer.concat([head, masked ? Buffer.alloc(4) : Buffer.alloc(0), payload]);
}

function big(length: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(length));
  return bytes;
}

/** The code of the close frame that came last. */
function closeCode(client: RawClient): number | undefined {
  const bytes = client.bytes();
  const at = bytes.lastIndexOf(0x88);
  return at < 0 ? undefined : bytes.readUInt16BE(at + 2);
}

/** @param end what the target notices first */
async function assertEnded(client: RawClient, code: number, end = 'ECONNRESET'): Promise<void> {
  await until(() => client.ended, 'it is not closed');
  assert.equal(closeCode(client), code);
  await until(() => target?.end !== undefined, 'the target still has it');
  assert.equal(target?.end, end);
  client.destroy();
  const text = randomBytes(8).toString('hex');
  bystander.send(text);
  await bystander.untilText(text);
}

const some = Buffer.from('some');
const CASES: Readonly<Record<string, readonly [frames: () => Buffer, code: number, kind?: TargetKind]>> = {
  'without a mask': [() => frame(some, { masked: false }), 1002],
  'with reserved bits, as if it were compressed': [() => frame(some, { reserved: 4 }), 1002],
  'of a kind that there is not': [() => frame(some, { opcode: 3 }), 1002],
  'that goes on with nothing': [() => frame(some, { opcode: OPCODE.continued }), 1002],
  'that begins within another': [() => Buffer.concat([frame(some, { fin: false }), frame(some)]), 1002],
  'of control in fragments': [() => frame(some, { opcode: OPCODE.ping, fin: false }), 1002],
  'of control that is long': [() => frame(Buffer.alloc(126), { opcode: OPCODE.ping }), 1002],
  'that says it has 256 KiB and a byte': [() => frame(some, { length: 256 * 1024 + 1 }), 1009],
  'that says it has 2 PiB': [() => frame(some, { length: 2 ** 51 }), 1009],
  'that says it has more than there are numbers for': [
    () => Buffer.concat([Buffer.from([0x82, 0xff]), Buffer.alloc(12, 0xff)]),
    1009,
  ],
  'whose fragments are too much together': [
    () =>
      Buffer.concat(
        Array.from({ length: 5 }, (_, i) => frame(Buffer.alloc(60_000), { fin: false, opcode: i === 0 ? 2 : 0 })),
      ),
    1009,
  ],
  'in 1,000 fragments': [
    () => Buffer.concat(Array.from({ length: 1_000 }, (_, i) => frame(some, { fin: false, opcode: i === 0 ? 2 : 0 }))),
    1008,
  ],
  'in 1,000 fragments of nothing': [
    () =>
      Buffer.concat(
        Array.from({ length: 1_000 }, (_, i) => frame(Buffer.alloc(0), { fin: false, opcode: i === 0 ? 2 : 0 })),
      ),
    1008,
  ],
  'of text that says something else': [() => frame(Buffer.from('EOF'), { opcode: OPCODE.text }), 1003],
  'of text that is none': [() => frame(Buffer.from([0xc3, 0x28]), { opcode: OPCODE.text }), 1007],
  'of text, to SSH, that says its end': [() => frame(Buffer.from('eof'), { opcode: OPCODE.text }), 1003, 'ssh'],
  'of text, to a database, that says its end': [
    () => frame(Buffer.from('eof'), { opcode: OPCODE.text }),
    1003,
    'postgres',
  ],
  'after its end': [() => Buffer.concat([frame(Buffer.from('eof'), { opcode: OPCODE.text }), frame(some)]), 1003],
  'of its end again': [
    () => Buffer.concat(Array.from({ length: 2 }, () => frame(Buffer.from('eof'), { opcode: OPCODE.text }))),
    1003,
  ],
};

describe('G27 a frame', () => {
  for (const [what, [frames, code, kind]] of Object.entries(CASES)) {
    test(`${what} ends the connection`, async () => {
      const client = await open(kind);
      client.send(frames());
      await assertEnded(client, code, what.startsWith('after') || what.includes('again') ? 'end' : 'ECONNRESET');
    });
  }

  test('of nothing is taken, is no use, and says nothing', async () => {
    const client = await open();
    client.send(Buffer.concat([...Array.from({ length: 1_000 }, () => frame(Buffer.alloc(0))), frame(some)]));
    await until(() => target?.bytes === some.length, 'it does not arrive');
    client.destroy();
  });

  test('in a few fragments is one, with pings between', async () => {
    const client = await open();
    const parts = [frame(some, { fin: false }), frame(some, { opcode: OPCODE.ping }), frame(some, { opcode: 0 })];
    client.send(Buffer.concat(parts));
    await until(() => target?.bytes === 2 * some.length, 'it does not arrive');
    await until(() => client.bytes().includes(Buffer.from('\x8a\x04some', 'latin1')), 'the ping is not answered');
    client.destroy();
  });

  test('that comes a byte at a time arrives', async () => {
    const client = await open();
    for (const byte of frame(some)) client.send(Buffer.from([byte]));
    await until(() => target?.bytes === some.length, 'it does not arrive');
    client.destroy();
  });
});

test('G27 pings of whoever does not read are not kept', async () => {
  const client = await open();
  client.socket.pause();
  const pings = Buffer.concat(Array.from({ length: 500 }, () => frame(Buffer.alloc(125), { opcode: OPCODE.ping })));
  let over = false;
  client.socket.once('close', () => {
    over = true;
  });
  for (let i = 0; i < 2_000 && !over && target?.end === undefined; i += 1) {
    if (!client.socket.write(pings)) await Promise.race([drained(client.socket), ended()]);
  }
  await until(() => target?.end !== undefined, 'it goes on');
  client.destroy();
  bystander.send('after the flood');
  await bystander.untilText('after the flood');
});

const drained = (socket: RawClient['socket']) =>
  new Promise<void>((resolve) => {
    socket.once('drain', resolve);
    socket.once('close', resolve);
  });
const ended = () => until(() => target?.end !== undefined, 'neither is read nor ended');
