// An API server of a test's own, which records what it is sent: over HTTP/1.1 every byte, over HTTP/2 each request as it came. What it
// answers is for the test to say.

import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import http2, { type Http2Session, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { Duplex } from 'node:stream';
import { createServer, type TLSSocket } from 'node:tls';
import type { IssuedCertificate } from './certificates.ts';

/** A request over HTTP/2. */
export interface RecordedRequest {
  readonly method: string;
  readonly path: string;
  /** All but pseudo-headers, in their order. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly stream: ServerHttp2Stream;
  /** What its connection is on. */
  readonly socket: TLSSocket;
  /** As far as it has come. */
  body(): Buffer;
  /** Whether the body has come to its end, as the gateway says. */
  readonly ended: boolean;
}

/** A connection over HTTP/1.1: each is for one upgrade. */
export interface RecordedConnection {
  readonly socket: TLSSocket;
  /** All that has come. */
  bytes(): Buffer;
  /** Request line and headers, as they came; empty until they are whole. */
  head(): string;
  /** What came after them. */
  rest(): Buffer;
  readonly closed: boolean;
}

export interface RecordingUpstream {
  readonly url: string;
  readonly requests: RecordedRequest[];
  readonly connections: RecordedConnection[];
  /** HTTP/2 connections that are open. */
  readonly sessions: ReadonlySet<ServerHttp2Session>;
  /** Called for each request: 200 with an empty list, unless told otherwise. */
  answer: (request: RecordedRequest) => void;
  /** Called once a head is whole: the upgrade that was asked for, unless told otherwise. */
  upgrade: (connection: RecordedConnection) => void;
  /** Forgets what was recorded, and answers as at first. */
  reset(): void;
  stop(): Promise<void>;
}

const LIST = '{"kind":"PodList","apiVersion":"v1","metadata":{},"items":[]}\n';
const HEAD_END = '\r\n\r\n';

export async function startRecordingUpstream(tls: IssuedCertificate): Promise<RecordingUpstream> {
  const [cert, key] = await Promise.all([readFile(tls.certFile), readFile(tls.keyFile)]);
  const sockets = new Set<TLSSocket>();
  const sessions = new Set<ServerHttp2Session>();
  const below = new WeakMap<Http2Session, TLSSocket>();
  const h2 = http2.createServer({
    ...{ strictSingleValueFields: false, maxHeaderListPairs: 10_000 },
    settings: { maxHeaderListSize: 1024 * 1024 },
  });
  const server = createServer({ cert, key, ALPNProtocols: ['h2', 'http/1.1'] }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined).once('close', () => sockets.delete(socket));
    if (socket.alpnProtocol !== 'h2') return record(socket);
    h2.once('session', (session) => below.set(session, socket));
    h2.emit('connection', throughNode(socket));
  });
  h2.on('session', (session) => {
    sessions.add(session);
    session.on('error', () => undefined).once('close', () => sessions.delete(session));
  });
  h2.on('stream', (stream, head, _flags, raw: readonly string[]) => {
    const chunks: Buffer[] = [];
    const socket = stream.session && below.get(stream.session);
    if (!socket) throw new Error('a stream of no session');
    const request = {
      ...{
        method: String(head[':method']),
        path: String(head[':path']),
        headers: pairsOf(raw),
        stream,
        socket,
        ended: false,
      },
      body: () => Buffer.concat(chunks),
    };
    stream.on('error', () => undefined).on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.once('end', () => {
      request.ended = true;
    });
    upstream.requests.push(request);
    upstream.answer(request);
  });
  const record = (socket: TLSSocket) => {
    let all = Buffer.alloc(0);
    let asked = false;
    const endOfHead = () => all.indexOf(HEAD_END) + HEAD_END.length;
    const isWhole = () => all.includes(HEAD_END);
    const connection = {
      ...{ socket, closed: false },
      bytes: () => all,
      head: () => (isWhole() ? all.subarray(0, endOfHead()).toString('latin1') : ''),
      rest: () => (isWhole() ? all.subarray(endOfHead()) : Buffer.alloc(0)),
    };
    upstream.connections.push(connection);
    socket.once('close', () => {
      connection.closed = true;
    });
    socket.on('data', (chunk: Buffer) => {
      all = Buffer.concat([all, chunk]);
      if (asked || !isWhole()) return;
      asked = true;
      upstream.upgrade(connection);
    });
  };
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const upstream: RecordingUpstream = {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    ...{ requests: [], connections: [], sessions, answer: answerList, upgrade: switchProtocols },
    reset() {
      upstream.requests.length = 0;
      upstream.connections.length = 0;
      upstream.answer = answerList;
      upstream.upgrade = switchProtocols;
    },
    async stop() {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
  return upstream;
}

/** So that frames can be written past what Node.js writes. */
function throughNode(socket: TLSSocket): Duplex {
  const duplex = new Duplex({
    read: () => void socket.resume(),
    write: (chunk: Buffer, _encoding, done) => void socket.write(chunk, done),
    final: (done) => void socket.end(done),
    destroy(error, done) {
      socket.destroy();
      done(error);
    },
  });
  socket.on('data', (chunk: Buffer) => {
    if (!duplex.push(chunk)) socket.pause();
  });
  socket.once('end', () => duplex.push(null)).once('close', () => duplex.destroy());
  return duplex;
}

export function answerList({ stream }: RecordedRequest): void {
  stream.respond({ ':status': 200, 'content-type': 'application/json' });
  stream.end(LIST);
}

/** HEADERS (RFC 9113 6.2) of an answer that is over with it, past Node.js, which sends no such status. @param status three digits */
export function answerWithStatus({ stream, socket }: RecordedRequest, status: string): void {
  const [END_STREAM, END_HEADERS, STATUS_NAME] = [0x1, 0x4, 0x08];
  const block = Buffer.from([STATUS_NAME, status.length, ...Buffer.from(status)]);
  const frame = Buffer.alloc(9);
  frame.writeUIntBE(block.length, 0, 3);
  frame[3] = 1;
  frame[4] = END_STREAM | END_HEADERS;
  frame.writeUInt32BE(stream.id ?? 0, 5);
  socket.write(Buffer.concat([frame, block]));
}

/** To what was asked for, with the first subprotocol. */
export function switchProtocols({ socket, head }: RecordedConnection): void {
  const [, protocol = ''] = /^upgrade: (.*)\r$/im.exec(head()) ?? [];
  const [, subprotocol] = /^sec-websocket-protocol: ([^,\r]*)/im.exec(head()) ?? [];
  const chosen = subprotocol === undefined ? '' : `Sec-WebSocket-Protocol: ${subprotocol}\r\n`;
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n${chosen}\r\n`);
}

function pairsOf(raw: readonly string[]): (readonly [string, string])[] {
  const pairs: (readonly [string, string])[] = [];
  for (let i = 0; i + 1 < raw.length; i += 2) pairs.push([raw[i] ?? '', raw[i + 1] ?? '']);
  return pairs.filter(([name]) => !name.startsWith(':'));
}
