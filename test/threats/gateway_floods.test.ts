// Whoever is slow on purpose, or floods: cut, by its own deadline or by what its protocol bounds, while others are answered. And readers
// that stall: what they do not take is not kept for them.

import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { assertKept, PATIENCE_MS, until } from '../support/patience.ts';
import { type RawClient, requestText } from '../support/raw_client.ts';
import { type RecordedGateway, startRecordedGateway } from '../support/recorded_gateway.ts';
import { answerList, switchProtocols } from '../support/recording_upstream.ts';

const PODS = '/api/v1/namespaces/dev/pods';
const EXEC = `${PODS}/shell/exec?command=sh&stdout=true`;
const LOG = `${PODS}/shell/log?follow=true`;
const CHUNK = Buffer.alloc(64 * 1024, 'x');

let lone: RecordedGateway;
let bearer: string;

before(async () => {
  lone = await startRecordedGateway();
  bearer = `Authorization: Bearer ${lone.broker.token('sid')}`;
});
after(() => lone?.stop());

async function isWell(): Promise<void> {
  const client = await lone.open();
  client.send(requestText(PODS, [bearer]));
  assert.equal(await client.status(), 200);
  client.destroy();
}

/** How long it is kept, while something comes now and then. */
async function kept(socket: Socket, byte: string | undefined): Promise<number> {
  const began = performance.now();
  while (!socket.destroyed && performance.now() - began < PATIENCE_MS) {
    // That it was closed on the other side shows as something is sent.
    if (byte !== undefined || socket.readableEnded) socket.write(byte ?? 'x');
    await sleep(100);
  }
  return performance.now() - began;
}

const toOpen = async () => {
  const { hostname, port } = new URL(lone.url);
  return connect({ host: hostname, port: Number(port), allowHalfOpen: true })
    .on('error', () => undefined)
    .resume();
};
const BODY = ['Content-Length: 1000000'];

describe('G8 whoever is slow is cut', { concurrency: true }, () => {
  const cases: readonly (readonly [string, number, string | undefined, () => Promise<Socket>])[] = [
    ['a handshake that does not begin', 5_000, undefined, toOpen],
    [
      'a handshake that goes on a byte at a time',
      5_000,
      '\x01',
      async () => {
        const socket = await toOpen();
        socket.write(Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc]));
        return socket;
      },
    ],
    ['no request', 11_000, undefined, async () => (await lone.open()).socket],
    ['no request over HTTP/2', 10_000, undefined, async () => (await lone.open('h2')).socket],
    [
      'an HTTP/2 connection that only pings',
      10_000,
      frame(6, 0, 0, Buffer.alloc(8)).toString('latin1'),
      async () => (await http2Client()).socket,
    ],
    [
      'headers that go on a byte at a time',
      11_000,
      'x',
      async () => {
        const client = await lone.open();
        client.send(`GET ${PODS} HTTP/1.1\r\nHost: gateway\r\nX-Slow: `);
        return client.socket;
      },
    ],
    [
      'a body of a request that is refused',
      5_000,
      'x',
      async () => {
        const client = await lone.open();
        client.send(requestText(PODS, BODY, 'POST'));
        assert.equal(await client.status(), 401);
        return client.socket;
      },
    ],
    [
      'a body of a request that is answered',
      5_000,
      'x',
      async () => {
        const client = await lone.open();
        client.send(requestText(PODS, [bearer, ...BODY], 'POST'));
        assert.equal(await client.status(), 200);
        return client.socket;
      },
    ],
    [
      'a connection that is kept open after what is no request',
      1_000,
      undefined,
      async () => {
        const client = await lone.open();
        client.send('nonsense\r\n\r\n');
        assert.equal(await client.status(), 400);
        return client.socket;
      },
    ],
    [
      'a connection that is kept open after an upgrade that is refused',
      1_000,
      undefined,
      async () => {
        const client = await lone.open();
        client.send(requestText(EXEC, ['Connection: Upgrade', 'Upgrade: websocket']));
        assert.equal(await client.status(), 401);
        return client.socket;
      },
    ],
  ];
  for (const [what, deadline_ms, byte, open] of cases) {
    test(what, async () => {
      const ms = await kept(await open(), byte);
      assertKept(ms, deadline_ms, what);
      await isWell();
    });
  }

  test('and what an admitted client still sends ends with its session', async () => {
    const client = await lone.open();
    client.send(requestText(PODS, [`Authorization: Bearer ${lone.broker.token('sid-slow')}`, ...BODY], 'PUT', 'some'));
    await until(() => lone.upstream.requests.some(({ method }) => method === 'PUT'), 'it is not asked');
    lone.endSession('sid-slow');
    await kept(client.socket, 'x');
    assert.ok(client.socket.destroyed);
  });
});

/** RFC 9113 4.1 */
function frame(type: number, flags: number, stream: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}
const [HEADERS, RST_STREAM, SETTINGS, PING, CONTINUATION] = [1, 3, 4, 6, 9] as const;
const [END_STREAM, END_HEADERS] = [1, 4] as const;

async function http2Client(): Promise<RawClient> {
  const client = await lone.open('h2');
  client.send(Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame(SETTINGS, 0, 0)]));
  return client;
}

/** RFC 7541 6.2.2, with lengths of one byte or two. */
function literal(name: Buffer, text: string): Buffer {
  const { length } = text;
  const size = length < 127 ? [length] : [127, ((length - 127) & 0x7f) | 0x80, (length - 127) >> 7];
  return Buffer.concat([name, Buffer.from(size), Buffer.from(text)]);
}
const [GET, HTTPS, PATH, AUTHORIZATION] = [[0x82], [0x87], [0x04], [0x0f, 0x08]].map((bytes) => Buffer.from(bytes));
const head = () =>
  Buffer.concat([
    ...[GET, HTTPS].map((one) => one ?? Buffer.alloc(0)),
    literal(PATH ?? Buffer.alloc(0), PODS),
    literal(AUTHORIZATION ?? Buffer.alloc(0), bearer.slice('Authorization: '.length)),
  ]);

describe('G8 a flood of', () => {
  const floods: readonly (readonly [string, number, (i: number) => Buffer])[] = [
    ['PING', 20_000, () => frame(PING, 0, 0, Buffer.alloc(8))],
    ['SETTINGS', 20_000, () => frame(SETTINGS, 0, 0, Buffer.from([0, 4, 0, 1, 0, 0]))],
    [
      'CONTINUATION',
      10_000,
      (i) =>
        i === 0
          ? frame(HEADERS, END_STREAM, 1, head())
          : frame(CONTINUATION, 0, 1, literal(Buffer.from([0, 1, 97]), 'b')),
    ],
    [
      'requests that are taken back at once',
      20_000,
      (i) =>
        Buffer.concat([
          frame(HEADERS, END_STREAM | END_HEADERS, 2 * i + 1, head()),
          frame(RST_STREAM, 0, 2 * i + 1, Buffer.from([0, 0, 0, 8])),
        ]),
    ],
    ['headers without an end', 1, () => frame(HEADERS, END_STREAM | END_HEADERS, 1, Buffer.alloc(16_384, 0x40))],
    ['bytes that are no frame', 1, () => Buffer.alloc(100_000, 0xff)],
  ];
  for (const [what, count, make] of floods) {
    test(`${what} ends the connection, and others are answered`, async () => {
      lone.upstream.reset();
      const client = await http2Client();
      client.socket.pause();
      for (let i = 0; i < count && !client.socket.destroyed; i += 100) {
        client.send(Buffer.concat(Array.from({ length: Math.min(100, count - i) }, (_, j) => make(i + j))));
        if (i % 1_000 === 0) await sleep(1);
      }
      await isWell();
      client.socket.resume();
      await client.end();
      assert.ok(lone.upstream.requests.length < 2_000, `${lone.upstream.requests.length} requests got through`);
      await until(
        async () => !/^curfew_gateway_streams\{[^}]*\} [1-9]/m.test(await lone.metrics()),
        'something stays open',
      );
      await isWell();
    });
  }

  test('a request by CONNECT over HTTP/2 leads nowhere', async () => {
    lone.upstream.reset();
    const client = await http2Client();
    const target = Buffer.concat([
      literal(Buffer.from([0x02]), 'CONNECT'),
      literal(Buffer.from([0x01]), '127.0.0.1:1'),
    ]);
    client.send(frame(HEADERS, END_HEADERS, 1, target));
    await until(() => client.bytes().length > 60, 'nothing comes back');
    await isWell();
    assert.equal(lone.upstream.requests.length, 1);
    client.destroy();
  });
});

test('G8 what readers that stall do not take is not taken for them, and others are answered', async () => {
  lone.upstream.reset();
  // More than all buffers on the way hold: whoever takes that much keeps what nobody reads.
  const most = 64 * 1024 * 1024;
  const taken: number[] = [];
  const flood = (to: Duplex) => {
    const index = taken.push(0) - 1;
    const go = () => {
      while (!to.destroyed && (taken[index] ?? 0) < most) {
        taken[index] = (taken[index] ?? 0) + CHUNK.length;
        if (!to.write(CHUNK)) return void to.once('drain', go);
      }
    };
    go();
  };
  lone.upstream.answer = (request) => {
    if (request.path !== LOG) return answerList(request);
    request.stream.respond({ ':status': 200, 'content-type': 'text/plain' });
    flood(request.stream);
  };
  lone.upstream.upgrade = (connection) => {
    switchProtocols(connection);
    flood(connection.socket);
  };
  const [streams, websocket] = [20, ['Connection: Upgrade', 'Upgrade: websocket']];
  const clients = await Promise.all(Array.from({ length: 2 * streams }, () => lone.open()));
  for (const [i, client] of clients.entries()) {
    client.socket.pause();
    client.send(i % 2 === 0 ? requestText(EXEC, [bearer, ...websocket]) : requestText(LOG, [bearer]));
  }
  const total = () => taken.reduce((sum, bytes) => sum + bytes, 0);
  await until(async () => {
    const before_bytes = total();
    await isWell();
    await sleep(500);
    return taken.length === 2 * streams && total() === before_bytes;
  }, 'it goes on');
  assert.ok(
    taken.every((bytes) => bytes < most),
    `${taken.join(' ')} bytes were taken`,
  );
  for (const client of clients) client.destroy();
});
