// A program: whoever asks an API server, directly or through a gateway, told what to do by its parent.

import { once } from 'node:events';
import http2 from 'node:http2';
import { setTimeout as sleep } from 'node:timers/promises';
import { copy, openExec, type Place } from './gateway_exec.ts';

export type GatewayOrder =
  /** Milliseconds that an exec takes that says so much. */
  | { readonly order: 'copy'; readonly place: Place; readonly mib: number }
  /** Small requests over each of so many connections, one after the other: latencies of all in milliseconds. */
  | { readonly order: 'small'; readonly place: Place; readonly connections: number; readonly count: number }
  /** The same, one each so many milliseconds, over one connection: from when each was due. */
  | { readonly order: 'beat'; readonly place: Place; readonly count: number; readonly every_ms: number }
  /** Milliseconds that a GET takes whose answer is at least so long. */
  | { readonly order: 'get'; readonly place: Place; readonly path: string; readonly bytes: number }
  /** Makes ConfigMaps of that length. */
  | {
      readonly order: 'fill';
      readonly place: Place;
      readonly path: string;
      readonly count: number;
      readonly bytes: number;
    }
  /** Opens so many, and keeps them. */
  | {
      readonly order: 'hold';
      readonly place: Place;
      readonly kind: 'watch' | 'exec';
      readonly count: number;
      /** Of watches; an exec has one of its own. */
      readonly each_connection: number;
    };

/** As client-go's. */
const STREAM_WINDOW_BYTES = 4 * 1024 * 1024;
const SMALL = '/api/v1/namespaces/dev/configmaps/small';
const WATCH = '/api/v1/namespaces/dev/configmaps?watch=true';
/** At a time. */
const OPENING = 20;

async function connect({ url, ca }: Place): Promise<http2.ClientHttp2Session> {
  const session = http2.connect(url, { ca, settings: { initialWindowSize: STREAM_WINDOW_BYTES } });
  session.on('error', () => undefined);
  await once(session, 'connect');
  session.setLocalWindowSize(16 * STREAM_WINDOW_BYTES);
  return session;
}

/** @throws Error unless it is answered with 200 or 201 */
async function ask(session: http2.ClientHttp2Session, { token }: Place, path: string, body?: object) {
  const headers = {
    ...{ ':path': path, authorization: `Bearer ${token}`, accept: 'application/json' },
    ...(body && { ':method': 'POST', 'content-type': 'application/json' }),
  };
  const stream = session.request(headers, { endStream: !body });
  if (body) stream.end(JSON.stringify(body));
  const [head] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders & http2.IncomingHttpStatusHeader];
  const status = head[':status'] ?? 0;
  if (status < 200 || status > 201) throw new Error(`${path} was answered ${status}`);
  return stream;
}

async function get(place: Place, path: string, least: number): Promise<number> {
  const session = await connect(place);
  const begin = performance.now();
  const stream = await ask(session, place, path);
  let bytes = 0;
  stream.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
  });
  await once(stream, 'end');
  session.destroy();
  if (bytes < least) throw new Error(`${path} was answered with ${bytes} bytes of ${least}`);
  return performance.now() - begin;
}

async function fill(place: Place, path: string, count: number, bytes: number): Promise<void> {
  const session = await connect(place);
  for (let i = 0; i < count; i++) {
    const metadata = { name: `large-${i}` };
    const stream = await ask(session, place, path, {
      ...{ apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { text: 'x'.repeat(bytes) } },
    });
    await once(stream.resume(), 'end');
  }
  session.destroy();
}

async function small(session: http2.ClientHttp2Session, place: Place, due: number): Promise<number> {
  const stream = await ask(session, place, SMALL);
  await once(stream.resume(), 'end');
  return performance.now() - due;
}

async function smallOnes(place: Place, connections: number, count: number): Promise<readonly number[]> {
  const each = async () => {
    const session = await connect(place);
    const times: number[] = [];
    for (let i = 0; i < count; i++) times.push(await small(session, place, performance.now()));
    session.destroy();
    return times;
  };
  return (await Promise.all(Array.from({ length: connections }, each))).flat();
}

async function beat(place: Place, count: number, every_ms: number): Promise<readonly number[]> {
  const session = await connect(place);
  const times: Promise<number>[] = [];
  const begin = performance.now();
  for (let i = 0; i < count; i++) {
    const due = begin + i * every_ms;
    await sleep(Math.max(0, due - performance.now()));
    times.push(small(session, place, due));
  }
  const all = await Promise.all(times);
  session.destroy();
  return all;
}

async function watches(place: Place, count: number): Promise<void> {
  const session = await connect(place);
  for (let i = 0; i < count; i++) {
    const stream = await ask(session, place, WATCH);
    stream.on('error', () => undefined);
    await once(stream, 'data');
  }
}

async function hold(place: Place, kind: 'watch' | 'exec', connections: number, each: number): Promise<void> {
  let left = connections;
  const open = async () => {
    while (left-- > 0) await (kind === 'watch' ? watches(place, each) : openExec(place));
  };
  await Promise.all(Array.from({ length: OPENING }, open));
}

function follow(order: GatewayOrder): Promise<unknown> {
  switch (order.order) {
    case 'copy':
      return copy(order.place, order.mib);
    case 'small':
      return smallOnes(order.place, order.connections, order.count);
    case 'beat':
      return beat(order.place, order.count, order.every_ms);
    case 'get':
      return get(order.place, order.path, order.bytes);
    case 'fill':
      return fill(order.place, order.path, order.count, order.bytes);
    case 'hold':
      return hold(order.place, order.kind, order.count / order.each_connection, order.each_connection);
  }
}

process.on('message', (order: GatewayOrder) => {
  follow(order).then(
    (done) => process.send?.({ done: done ?? true }),
    (error: unknown) => process.send?.({ failed: String(error) }),
  );
});
process.once('disconnect', () => process.exit(0));
