// H22: what can be done to a server within TLS itself: asking for keys again and again, greetings of absurd size, alerts and records that are none. Each is
// refused by its connection alone, and the next client is served.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { createCertificateAuthority } from '../support/certificates.ts';
import { assertKept, until } from '../support/patience.ts';
import { openRaw, requestText } from '../support/raw_client.ts';
import { type RecordedGateway, startRecordedGateway } from '../support/recorded_gateway.ts';
import { startTestService, type TestService } from '../support/service.ts';

/** Milliseconds for a handshake, and until that is looked at. */
const HANDSHAKE_MS = 6_000;

let folder: string;
let service: TestService;
let gateway: RecordedGateway;
let places: Readonly<
  Record<string, { readonly url: string; readonly ca: string; readonly path: string; readonly status: number }>
>;

before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'curfew-handshakes-'));
  const authority = await createCertificateAuthority(folder);
  const { certFile: cert_file, keyFile: key_file } = await authority.issue({ name: 'broker', hosts: ['127.0.0.1'] });
  service = await startTestService({ listen: { address: '127.0.0.1', port: 0, tls: { cert_file, key_file } } });
  gateway = await startRecordedGateway();
  places = {
    broker: { url: service.url, ca: authority.caPem, path: '/healthz', status: 200 },
    gateway: { url: gateway.url, ca: gateway.authority.caPem, path: '/version', status: 401 },
  };
});
after(async () => {
  await Promise.all([service?.stop(), gateway?.stop()]);
  await rm(folder, { recursive: true });
});

/** A client that is new. */
async function isServed(name: string): Promise<void> {
  const { url, ca, path: place, status } = places[name] as (typeof places)[string];
  const client = await openRaw({ url, ca });
  client.send(requestText(place));
  assert.equal(await client.status(), status, name);
  client.destroy();
}

/** A vector with its length in so many bytes before it (RFC 8446 3.4). */
function vector(bytes: number, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  const length = Buffer.alloc(bytes);
  length.writeUIntBE(body.length, 0, bytes);
  return Buffer.concat([length, body]);
}

function extension(type: number, body: Buffer): Buffer {
  return Buffer.concat([Buffer.from([type >> 8, type & 255]), vector(2, body)]);
}

/** A ClientHello (RFC 8446 4.1.2), in records of at most 16 KiB. */
function clientHello(...extensions: readonly Buffer[]): Buffer {
  const body = Buffer.concat([
    Buffer.from([3, 3]),
    Buffer.alloc(32, 7),
    vector(1),
    vector(2, Buffer.from([0xc0, 0x2b, 0x13, 0x01])),
    vector(1, Buffer.from([0])),
    vector(2, ...extensions),
  ]);
  const message = Buffer.concat([Buffer.from([1]), vector(3, body)]);
  const records: Buffer[] = [];
  for (let at = 0; at < message.length; at += 16_384)
    records.push(Buffer.concat([Buffer.from([22, 3, 1]), vector(2, message.subarray(at, at + 16_384))]));
  return Buffer.concat(records);
}

const name = (length: number) => vector(2, Buffer.from([0]), vector(2, Buffer.alloc(length, 'a')));
const protocols = (count: number) =>
  vector(2, ...Array.from({ length: count }, () => vector(1, Buffer.alloc(200, 'p'))));

const GREETINGS: Readonly<Record<string, Buffer>> = {
  'a server name of 60,000 bytes': clientHello(extension(0, name(60_000))),
  'a server name without an end': clientHello(extension(0, Buffer.from([255, 255, 0, 255, 255]))),
  '300 protocols of 200 bytes that nobody speaks': clientHello(extension(16, protocols(300))),
  'a protocol without a name': clientHello(extension(16, vector(2, vector(1)))),
  '10,000 extensions': clientHello(
    ...Array.from({ length: 10_000 }, (_, i) => extension(0x5a00 + (i % 200), Buffer.alloc(0))),
  ),
  'a greeting that says that 16 MiB follow': Buffer.from([22, 3, 1, 0, 4, 1, 255, 255, 255]),
  'alerts alone': Buffer.concat(Array.from({ length: 200 }, () => Buffer.from([21, 3, 3, 0, 2, 1, 0]))),
  'empty records': Buffer.concat(Array.from({ length: 5_000 }, () => Buffer.from([22, 3, 1, 0, 0]))),
  'data before the handshake': Buffer.concat([Buffer.from([23, 3, 3]), vector(2, Buffer.alloc(1_000))]),
  'a request in plain HTTP': Buffer.from(requestText('/healthz')),
};

async function send(url: string, bytes: Buffer): Promise<Socket> {
  const { hostname, port } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port) }).on('error', () => undefined);
  await once(socket, 'connect');
  socket.resume().write(bytes);
  return socket;
}

for (const server of ['broker', 'gateway']) {
  test(`H22 greetings of absurd size or form are refused by the ${server} within the time of a handshake, and others are served beside them`, async () => {
    const { url } = places[server] as (typeof places)[string];
    const start = performance.now();
    const sockets = await Promise.all(
      Object.values(GREETINGS).flatMap((bytes) => Array.from({ length: 5 }, () => send(url, bytes))),
    );
    await isServed(server);
    await until(() => sockets.every(({ closed }) => closed), 'some stay');
    assertKept(performance.now() - start, HANDSHAKE_MS, 'a handshake');
    await isServed(server);
  });

  test(`H22 the ${server} makes no new keys on an open connection (TLS 1.2 renegotiation)`, async () => {
    const { url, ca } = places[server] as (typeof places)[string];
    const { hostname, port } = new URL(url);
    const socket = connectTls({ host: hostname, port: Number(port), ca, maxVersion: 'TLSv1.2' });
    socket.on('error', () => undefined).resume();
    await once(socket, 'secureConnect');
    const outcome = await new Promise((resolve) => {
      socket.once('close', () => resolve('closed'));
      socket.renegotiate({}, (error) => resolve(error === null ? 'renegotiated' : 'refused'));
    });
    assert.notEqual(outcome, 'renegotiated');
    socket.destroy();
    await isServed(server);
  });
}
