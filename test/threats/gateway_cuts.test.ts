// What a client gets of a stream that is cut, to the byte: all that the API server has sent up to the end of a frame, then the words, and
// not one byte more of what was still coming. The API server is one that floods.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2, { type ClientHttp2Session, type ClientHttp2Stream } from 'node:http2';
import type { Duplex } from 'node:stream';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { assertKept, until } from '../support/patience.ts';
import { type RawClient, requestText } from '../support/raw_client.ts';
import { type RecordedGateway, startRecordedGateway } from '../support/recorded_gateway.ts';
import { switchProtocols } from '../support/recording_upstream.ts';

const POD = '/api/v1/namespaces/dev/pods/shell';
const EXEC = `${POD}/exec?command=sh&stdin=true&stdout=true&stderr=true`;
const WEBSOCKET = ['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=='];
const CHANNELS = [...WEBSOCKET, 'Sec-WebSocket-Protocol: v5.channel.k8s.io'];
const TUNNEL = [...WEBSOCKET, 'Sec-WebSocket-Protocol: SPDY/3.1+portforward.k8s.io'];
const SPDY = ['Connection: Upgrade', 'Upgrade: SPDY/3.1', 'X-Stream-Protocol-Version: v4.channel.k8s.io'];
const WORDS = 'curfew: session is over: logged out; run: kubectl curfew login';
/** No divisor of a frame's length, so that most cuts fall into the middle of one. */
const PIECE_BYTES = 4_099;

let lone: RecordedGateway;
let sid: string;
let people = 0;
let clients: RawClient[];

before(async () => {
  lone = await startRecordedGateway();
});
after(() => lone?.stop());
beforeEach(() => {
  people += 1;
  sid = `sid-${people}`;
  clients = [];
});
afterEach(() => {
  for (const client of clients) client.destroy();
  lone.upstream.reset();
});

/** A message of a server, of any length up to 64 KiB. */
function webSocket(payload: Buffer, first = 0x82): Buffer {
  const head = Buffer.from([first, 126, 0, 0]);
  head.writeUInt16BE(payload.length, 2);
  return Buffer.concat([payload.length < 126 ? Buffer.from([first, payload.length]) : head, payload]);
}
function spdy(stream: number, payload: Buffer, flags = 0): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32BE(stream, 0);
  head[4] = flags;
  head.writeUIntBE(payload.length, 5, 3);
  return Buffer.concat([head, payload]);
}
/** Different in each, so that no byte too many goes unseen. */
const numbered = (i: number, length = 5_000) => Buffer.from(`${i}:`.repeat(length / 2).slice(0, length));
const close = (code: number, reason = '') =>
  webSocket(Buffer.concat([Buffer.from([code >> 8, code & 0xff]), Buffer.from(reason)]), 0x88);

/** Sends frames without an end, in pieces that are none, as fast as they are taken. @returns all that it has sent */
function flood(to: Duplex, frame: (i: number) => Buffer): () => Buffer {
  const sent: Buffer[] = [];
  let next = 0;
  let waiting = Buffer.alloc(0);
  const go = () => {
    if (to.destroyed || to.writableEnded) return;
    while (waiting.length < PIECE_BYTES) waiting = Buffer.concat([waiting, frame(next++)]);
    const piece = waiting.subarray(0, PIECE_BYTES);
    waiting = waiting.subarray(PIECE_BYTES);
    sent.push(piece);
    if (to.write(piece)) setImmediate(go);
    else to.once('drain', () => setImmediate(go));
  };
  go();
  return () => Buffer.concat(sent);
}

async function open(headers: readonly string[], path = EXEC): Promise<RawClient> {
  const client = await lone.open();
  clients.push(client);
  client.send(requestText(path, [`Authorization: Bearer ${lone.broker.token(sid)}`, ...headers]));
  return client;
}
const afterHead = (client: RawClient) => client.bytes().subarray(client.bytes().indexOf('\r\n\r\n') + 4);
const allClosed = () => lone.upstream.connections.every(({ closed }) => closed);

/** Where a frame ends in what was sent. */
function isEndOfFrame(frame: (i: number) => Buffer, at: number): boolean {
  let end = 0;
  for (let i = 0; end < at; i++) end += frame(i).length;
  return end === at;
}

/** The words that stand behind whole frames of what was sent; `undefined` where a frame was cut off, as nobody sent its rest in time. */
function wordsBehind(got: Buffer, sent: Buffer, frame: (i: number) => Buffer, words: Buffer): true | undefined {
  const same = got.findIndex((byte, i) => byte !== sent[i]);
  const passed = got.subarray(0, got.subarray(-words.length).equals(words) ? got.length - words.length : got.length);
  assert.ok(passed.equals(sent.subarray(0, passed.length)), `byte ${same} is not what was sent`);
  if (passed.length === got.length) return undefined;
  assert.ok(isEndOfFrame(frame, passed.length), 'words stand in the middle of a frame');
  return true;
}

const STATUS = JSON.stringify({
  ...{ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message: WORDS, reason: 'Unauthorized' },
  code: 401,
});
const FORMS = {
  'exec over WebSocket': {
    ...{
      headers: CHANNELS,
      path: EXEC,
      frame: (i: number) => webSocket(Buffer.concat([Buffer.from([1]), numbered(i)])),
    },
    words: Buffer.concat([webSocket(Buffer.from(`\x03${STATUS}`)), close(1000)]),
  },
  'exec over SPDY': {
    ...{ headers: SPDY, path: EXEC, frame: (i: number) => spdy(5, numbered(i)) },
    words: spdy(1, Buffer.from(STATUS), 1),
  },
  'port-forward of SPDY within WebSocket': {
    ...{ headers: TUNNEL, path: `${POD}/portforward`, frame: (i: number) => webSocket(spdy(3, numbered(i))) },
    words: close(1008, WORDS),
  },
  'a WebSocket behind proxy whose path ends as that of an exec': {
    ...{ headers: CHANNELS, path: '/api/v1/namespaces/dev/services/web/proxy/exec' },
    ...{ frame: (i: number) => webSocket(numbered(i)), words: close(1008, WORDS) },
  },
} as const;

describe('G11 a flood that is cut', () => {
  for (const [name, { headers, path, frame, words }] of Object.entries(FORMS)) {
    for (const [what, pause_ms] of [
      ['that is read as it comes', 0],
      ['that is read more slowly than it comes', 2],
    ] as const) {
      test(`${name} ${what} ends with a whole frame and the words, and nothing behind them`, async () => {
        // A machine that stands still for a quarter of a second has no time for the rest of a frame.
        for (let tries = 5; ; tries--) {
          sid = `${name} ${what} ${tries}`;
          let sent: () => Buffer = () => Buffer.alloc(0);
          lone.upstream.upgrade = (connection) => {
            switchProtocols(connection);
            sent = flood(connection.socket, frame);
          };
          const client = await open(headers, path);
          await until(() => afterHead(client).length > 1_000_000 || pause_ms > 0, 'nothing floods');
          const slowly = readSlowly(client, pause_ms);
          if (pause_ms > 0) await until(() => afterHead(client).length > 200_000, 'nothing is read');
          lone.endSession(sid);
          await client.end();
          clearInterval(slowly);
          await until(allClosed, 'the API server is not hung up on');
          if (wordsBehind(afterHead(client), sent(), frame, words)) break;
          assert.ok(tries > 0, 'the words never come');
        }
      });
    }
  }

  for (const [what, length] of [
    ['2^40', 2n ** 40n],
    ['2^63 - 1', 2n ** 63n - 1n],
    ['2^64 - 1', 2n ** 64n - 1n],
  ] as const) {
    test(`G6 in the middle of a frame of ${what} bytes that keeps coming, both ways: it is closed, and nothing of it is kept`, async () => {
      sid = `huge ${what}`;
      const head = (mask: number) => {
        const bytes = Buffer.alloc(10);
        bytes.writeUInt16BE(0x8200 + mask + 127);
        bytes.writeBigUInt64BE(length, 2);
        return bytes;
      };
      const some = Buffer.alloc(64 * 1024, 1);
      let from_client = 0;
      lone.upstream.upgrade = (connection) => {
        switchProtocols(connection);
        connection.socket.on('data', (chunk: Buffer) => {
          from_client += chunk.length;
        });
        connection.socket.write(head(0));
        flood(connection.socket, () => some);
      };
      const client = await open(CHANNELS);
      await until(() => afterHead(client).length > 1_000_000, 'nothing floods');
      client.send(Buffer.concat([head(0x80), Buffer.alloc(4)]));
      const sending = setInterval(() => client.socket.writableLength === 0 && client.send(some), 1);
      await until(() => from_client > 1_000_000, 'nothing passes to the API server');
      lone.endSession(sid);
      await client.end();
      clearInterval(sending);
      await until(allClosed, 'the API server is not hung up on');
    });
  }

  test('in the middle of a frame whose rest never comes: is closed, without a byte more', async () => {
    for (const { headers, path, frame } of Object.values(FORMS)) {
      sid = `half ${path} ${headers.length}`;
      const half = Buffer.concat([frame(0), frame(1).subarray(0, 2_000)]);
      lone.upstream.upgrade = (connection) => {
        switchProtocols(connection);
        connection.socket.write(half);
      };
      const client = await open(headers, path);
      await until(() => afterHead(client).length === half.length, 'it does not come');
      lone.endSession(sid);
      await client.end();
      assert.ok(afterHead(client).equals(half));
      await until(allClosed, 'the API server is not hung up on');
    }
  });

  test('a client that stopped reading is closed, and the API server is hung up on, while others go on', async () => {
    const { headers, path, frame } = FORMS['exec over WebSocket'];
    lone.upstream.upgrade = (connection) => {
      switchProtocols(connection);
      flood(connection.socket, frame);
    };
    const client = await open(headers, path);
    await client.status();
    client.socket.pause();
    const connection = lone.upstream.connections[0];
    await until(() => connection?.socket.writableNeedDrain === true, 'it never stalls');
    const began = performance.now();
    lone.endSession(sid);
    await until(() => connection?.closed === true, 'the API server is not hung up on');
    // It reads nothing: that it was closed shows as it writes.
    await until(() => {
      client.send('x');
      return client.socket.destroyed;
    }, 'it is not closed');
    assertKept(performance.now() - began, 1_500, 'the end of a client that stopped reading');
  });
});

/** Some of it, now and then. */
function readSlowly({ socket }: RawClient, pause_ms: number): NodeJS.Timeout | undefined {
  if (pause_ms === 0) return undefined;
  socket.on('data', () => void socket.pause());
  return setInterval(() => socket.resume(), pause_ms);
}

describe('G11 a watch that is cut', () => {
  const event = (i: number) =>
    Buffer.from(`${JSON.stringify({ type: 'ADDED', object: { i, pad: 'x'.repeat(3_000) } })}\n`);
  const words = Buffer.from(`${JSON.stringify({ type: 'ERROR', object: JSON.parse(STATUS) })}\n`);
  const watch = `${POD.replace('/shell', '')}?watch=true`;
  let sent: () => Buffer;
  beforeEach(() => {
    lone.upstream.answer = ({ stream }) => {
      stream.respond({ ':status': 200, 'content-type': 'application/json' });
      sent = flood(stream, event);
    };
  });

  for (const slowly of [false, true]) {
    test(`over HTTP/2, ${slowly ? 'read slowly' : 'read as it comes'}: whole events and one with the words`, async () => {
      for (let tries = 5; ; tries--) {
        sid = `watch ${slowly} ${tries}`;
        const { session, stream, bytes } = await openByHttp2(watch);
        if (slowly) stream.on('data', () => void stream.pause());
        const reading = setInterval(() => stream.resume(), 20);
        await until(() => bytes().length > 200_000, 'nothing comes');
        lone.endSession(sid);
        await once(stream, 'close');
        clearInterval(reading);
        session.destroy();
        if (wordsBehind(bytes(), sent(), event, words)) break;
        assert.ok(tries > 0, 'the words never come');
      }
    });
  }

  test('over HTTP/1.1: the same', async () => {
    for (let tries = 5; ; tries--) {
      sid = `watch over HTTP/1.1 ${tries}`;
      const client = await open([], watch);
      await until(() => afterHead(client).length > 200_000, 'nothing comes');
      lone.endSession(sid);
      await until(() => client.ended || client.text().endsWith('\r\n0\r\n\r\n'), 'it goes on');
      if (wordsBehind(withoutChunks(afterHead(client)), sent(), event, words)) break;
      assert.ok(tries > 0, 'the words never come');
    }
  });
});

describe('G11 logs that are cut never look whole', () => {
  const log = `${POD}/log?follow=true`;
  beforeEach(() => {
    lone.upstream.answer = ({ stream, path }) => {
      stream.respond({ ':status': 200, 'content-type': 'text/plain' });
      stream.write(`begun ${path}\n`);
    };
  });

  test('over HTTP/2 the connection ends with the reason', async () => {
    const { session, stream, bytes } = await openByHttp2(log);
    await until(() => bytes().includes('begun'), 'nothing comes');
    const away = once(session, 'goaway');
    lone.endSession(sid);
    const [code, , reason] = await away;
    assert.equal(code, http2.constants.NGHTTP2_NO_ERROR);
    assert.equal(String(reason), WORDS);
    await once(stream, 'close');
    // With END_STREAM it would be 0.
    assert.notEqual(stream.rstCode, 0);
  });

  test('over HTTP/2 beside what goes on: RST_STREAM', async () => {
    const other = lone.broker.token('sid-other');
    const { session, stream, bytes } = await openByHttp2(log);
    const theirs = session.request({ ':path': log, authorization: `Bearer ${other}` });
    theirs.on('error', () => undefined).resume();
    await Promise.all([once(theirs, 'response'), until(() => bytes().includes('begun'), 'nothing comes')]);
    let ended = false;
    stream.once('end', () => {
      ended = true;
    });
    const closed = new Promise((resolve) => stream.once('close', resolve));
    lone.endSession(sid);
    await closed;
    assert.deepEqual([stream.rstCode, ended], [http2.constants.NGHTTP2_INTERNAL_ERROR, false]);
    await sleep(200);
    assert.equal(theirs.closed, false);
    session.destroy();
  });

  test('over HTTP/1.1 the last chunk never comes', async () => {
    const client = await open([], log);
    await client.says(/begun/);
    lone.endSession(sid);
    await client.end();
    assert.doesNotMatch(client.text(), /\r\n0\r\n/);
  });
});

async function openByHttp2(path: string): Promise<{
  readonly session: ClientHttp2Session;
  readonly stream: ClientHttp2Stream;
  readonly bytes: () => Buffer;
}> {
  const session = http2.connect(lone.url, { ca: lone.authority.caPem });
  session.on('error', () => undefined);
  const stream = session.request({ ':path': path, authorization: `Bearer ${lone.broker.token(sid)}` });
  const chunks: Buffer[] = [];
  stream.on('error', () => undefined).on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(stream, 'response');
  return { session, stream, bytes: () => Buffer.concat(chunks) };
}

/** RFC 9112 7.1 */
function withoutChunks(bytes: Buffer): Buffer {
  const chunks: Buffer[] = [];
  for (let at = 0; ; ) {
    const end = bytes.indexOf('\r\n', at);
    const size = end < 0 ? 0 : Number.parseInt(bytes.subarray(at, end).toString(), 16);
    if (!(size > 0)) return Buffer.concat(chunks);
    chunks.push(bytes.subarray(end + 2, end + 2 + size));
    at = end + 2 + size + 2;
  }
}
