// WebSockets to a server behind Kubernetes' `proxy` subresource: one that never falls silent, and clients that go on sending when they are
// told to stop. What each side got is kept to the byte.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { webSocketMessage } from '../../gateway/frames/websocket.ts';
import type { GatewayWorld } from './gateway_world.ts';
import { until } from './patience.ts';
import { openRaw, requestText } from './raw_client.ts';

const [TEXT, CLOSE, PING, PONG] = [1, 8, 9, 10];
/** Milliseconds between two messages of the server, each with a ping after it. */
const OFTEN_MS = 50;
/** With something in it, which its answer has as well. */
const PING_FRAME = Buffer.from([0x80 | PING, 4, ...Buffer.from('ping')]);
/** RFC 6455 1.3 */
const ACCEPTS = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

export interface Frame {
  readonly operation: number;
  readonly payload: Buffer;
}

/** @returns the frames that are whole, and what comes after them */
export function framesIn(bytes: Buffer): { readonly frames: readonly Frame[]; readonly rest: Buffer } {
  const frames: Frame[] = [];
  let at = 0;
  while (bytes.length - at >= 2) {
    const second = bytes[at + 1] ?? 0;
    const is_long = (second & 0x7f) === 126;
    const mask_at = at + (is_long ? 4 : 2);
    const start = mask_at + ((second & 0x80) === 0 ? 0 : 4);
    if (bytes.length < start) break;
    const end = start + (is_long ? bytes.readUInt16BE(at + 2) : second & 0x7f);
    if (bytes.length < end) break;
    const mask = bytes.subarray(mask_at, start);
    const payload = Buffer.from(bytes.subarray(start, end).map((byte, i) => byte ^ (mask[i & 3] ?? 0)));
    frames.push({ operation: (bytes[at] ?? 0) & 0x0f, payload });
    at = end;
  }
  return { frames, rest: bytes.subarray(at) };
}

export interface Talker {
  readonly port: number;
  /** Names of those that are connected. */
  readonly open: ReadonlySet<string>;
  /** All messages of one. */
  heard(name: string): readonly string[];
  stop(): void;
}

/** It talks to everybody, and says again what it hears. */
export async function startTalker(): Promise<Talker> {
  const heard = new Map<string, string[]>();
  const sockets = new Map<string, Socket>();
  const server = createServer((_request, response) => void response.writeHead(404).end());
  server.on('upgrade', (request, socket: Socket) => {
    // An API server passes on the path of an upgrade, and not its query.
    const name = request.url?.split('/').at(-1) ?? '';
    const messages: string[] = [];
    heard.set(name, messages);
    sockets.set(name, socket);
    const accept = createHash('sha1').update(`${request.headers['sec-websocket-key']}${ACCEPTS}`).digest('base64');
    const head = ['Upgrade: websocket', 'Connection: Upgrade', `Sec-WebSocket-Accept: ${accept}`];
    socket.write(`HTTP/1.1 101 Switching Protocols\r\n${head.join('\r\n')}\r\n\r\n`);
    const say = (text: string) => socket.write(webSocketMessage(Buffer.from(text), true));
    const talking = setInterval(() => {
      say('talk');
      socket.write(PING_FRAME);
    }, OFTEN_MS);
    let bytes: Buffer = Buffer.alloc(0);
    socket.on('data', (chunk: Buffer) => {
      const { frames, rest } = framesIn(Buffer.concat([bytes, chunk]));
      bytes = rest;
      for (const { operation, payload } of frames) {
        if (operation !== TEXT) continue;
        messages.push(String(payload));
        say(`heard ${payload}`);
      }
    });
    socket.on('error', () => undefined).once('end', () => socket.end());
    socket.once('close', () => {
      clearInterval(talking);
      sockets.delete(name);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    get open() {
      return new Set(sockets.keys());
    },
    heard: (name) => heard.get(name) ?? [],
    stop() {
      server.close();
      for (const socket of sockets.values()) socket.destroy();
    },
  };
}

/** Of the pod: in a network of its own, as an API server proxies to no loopback address. */
const POD_IP = '10.1.2.3';

/** Gives a pod in `dev` an address, and a Service to itself. */
export async function applyServiceOf(world: GatewayWorld, pod: string, port: number): Promise<void> {
  const status = JSON.stringify({ status: { podIP: POD_IP, podIPs: [{ ip: POD_IP }] } });
  const patched = await world.plane.adminKubectl([
    '-n',
    'dev',
    'patch',
    'pod',
    pod,
    '--subresource=status',
    '-p',
    status,
  ]);
  assert.equal(patched.code, 0, patched.stderr);
  const objects = `
apiVersion: v1
kind: Service
metadata: {name: talker, namespace: dev}
spec: {ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: talker, namespace: dev, labels: {kubernetes.io/service-name: talker}}
addressType: IPv4
ports: [{name: '', port: ${port}}]
endpoints: [{addresses: [${POD_IP}], targetRef: {kind: Pod, namespace: dev, name: ${pod}}}]
`;
  const applied = await world.plane.adminKubectl(['apply', '-f', '-'], { input: objects });
  assert.equal(applied.code, 0, applied.stderr);
}

export interface SocketBehind {
  send(text: string): void;
  /** Sends, and waits until the server has said it again. */
  check(): Promise<void>;
  readonly ended: boolean;
  /** Waits until it is cut, and holds that the reason was the last that came, and that nothing is heard at the server afterwards. */
  assertCut(words: string): Promise<void>;
}

/** @param at path of what is proxied to @param name as the talker knows it; it goes on sending whatever it is told */
export async function openSocketBehind(
  world: GatewayWorld,
  talker: Talker,
  token: string,
  at: string,
  name: string,
): Promise<SocketBehind> {
  const client = await openRaw({ url: world.gateway.url, ca: world.authority.caPem });
  const upgrade = ['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13'];
  const key = 'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==';
  client.send(requestText(`${at}/${name}`, [`Authorization: Bearer ${token}`, ...upgrade, key]));
  assert.equal(await client.status(), 101, client.text());
  assert.ok(talker.open.has(name), `${name}: the server does not know it`);
  const bytes = () => client.bytes().subarray(client.text().indexOf('\r\n\r\n') + 4);
  const sendFrame = (operation: number, text: string) => {
    const payload = Buffer.from(text);
    assert.ok(payload.length < 126);
    client.send(Buffer.concat([Buffer.from([0x80 | operation, 0x80 | payload.length, 0, 0, 0, 0]), payload]));
  };
  const send = (text: string) => sendFrame(TEXT, text);
  let pongs = 0;
  client.socket.on('data', () => {
    const { frames } = framesIn(bytes());
    // As every client does, by itself.
    const pings = frames.filter(({ operation }) => operation === PING).length;
    for (; pongs < pings; pongs += 1) sendFrame(PONG, 'ping');
    if (frames.at(-1)?.operation === CLOSE) for (let i = 0; i < 20; i += 1) send('late');
  });
  let checks = 0;
  return {
    send,
    async check() {
      checks += 1;
      send(`sent ${checks}`);
      await until(() => client.text().includes(`heard sent ${checks}`), `${name}: the server does not answer`);
      assert.equal(client.ended, false, name);
    },
    get ended() {
      return client.ended;
    },
    async assertCut(words) {
      await until(() => client.ended, `${name} goes on`);
      const { frames, rest } = framesIn(bytes());
      const [last, ...others] = frames.toReversed();
      assert.equal(rest.length, 0, `${name}: something came after the last frame`);
      assert.equal(last?.operation, CLOSE, name);
      assert.equal(last.payload.readUInt16BE(0), 1008, name);
      assert.ok(String(last.payload.subarray(2)).endsWith(words), `${name}: ${last.payload.subarray(2)}`);
      assert.ok(
        others.every(({ operation }) => operation === TEXT || operation === PING),
        name,
      );
      assert.ok(
        others.some(({ payload }) => String(payload) === 'talk'),
        name,
      );
      await until(() => !talker.open.has(name), `${name}: the server is still connected`);
      assert.ok(!talker.heard(name).includes('late'), `${name}: what was sent after the end was heard`);
      client.destroy();
    },
  };
}
