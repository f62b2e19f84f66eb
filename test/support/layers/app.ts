// An application behind a layer, and people who use it: WebSockets that rest or talk, answers that never end.

import { randomBytes } from 'node:crypto';
import { createServer, type ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import { until } from '../patience.ts';
import { listenAnywhere, listenOn } from '../ports.ts';

export interface App {
  readonly port: number;
  /** WebSockets and endless answers that are open on this side. */
  readonly open: number;
  close(): void;
}

/**
 * Every upgrade is echoed byte for byte; `GET /endless` answers a line each 100 ms; all else is answered at once.
 *
 * @param wanted its port; without it, a free one
 */
export async function startApp(host = '127.0.0.1', wanted?: number): Promise<App> {
  const open = new Set<Socket | ServerResponse>();
  const server = createServer((request, response) => {
    if (request.url !== '/endless') return void response.end('here\n');
    const timer = setInterval(() => response.write('more\n'), 100);
    open.add(response);
    response.once('close', () => {
      clearInterval(timer);
      open.delete(response);
    });
    response.writeHead(200, { 'content-type': 'text/plain' }).flushHeaders();
  });
  server.on('upgrade', (_request, stream) => {
    const socket = stream as Socket;
    open.add(socket);
    socket.on('error', () => undefined).once('close', () => open.delete(socket));
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n');
    socket.write('Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n');
    socket.pipe(socket);
  });
  if (wanted !== undefined) await listenOn(server, wanted, host);
  const port = wanted ?? (await listenAnywhere(server, host));
  return {
    port,
    get open() {
      return open.size;
    },
    close: () => {
      server.close();
      server.closeAllConnections();
      for (const one of open) one.destroy();
    },
  };
}

export interface Stream {
  /** Milliseconds since it was asked for. */
  age(): number;
  /** Whether the other side has ended it, or broken it off; and after how long. */
  readonly ended: number | undefined;
  /** The longest that our own clock stood still, in milliseconds: what was late by that may have been cut for it. */
  readonly longest_pause: number;
  /** How many bytes came back, or came. */
  readonly received: number;
  readonly local_port: number;
  /** One ping. */
  say(): void;
  close(): void;
}

export interface StreamOptions {
  readonly port: number;
  readonly host: string;
  readonly address?: string;
  /** `rest` says nothing, `talk` sends a ping each 200 ms, `read` reads an endless answer. */
  readonly does: 'rest' | 'talk' | 'read';
  readonly headers?: Readonly<Record<string, string>>;
}

const OFTEN_MS = 200;

/** @returns once the upgrade is done, or the answer has begun */
export async function openStream({
  port,
  host,
  address = '127.0.0.1',
  does,
  headers = {},
}: StreamOptions): Promise<Stream> {
  // From before it was asked for: a layer counts from later, whatever this machine does meanwhile.
  const since = performance.now();
  const socket = connect({ port, host: address });
  let [head, received, ended, longest] = ['', 0, undefined as number | undefined, 0];
  const upgrade = { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13' };
  const all = {
    host,
    ...(does === 'read' ? {} : { ...upgrade, 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==' }),
    ...headers,
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  let opened = false;
  socket.on('error', () => undefined);
  socket.once('close', () => {
    ended ??= performance.now() - since;
  });
  socket.once('end', () => {
    ended ??= performance.now() - since;
    socket.destroy();
  });
  socket.on('data', (chunk: Buffer) => {
    if (opened) received += chunk.length;
    else head += chunk.toString('latin1');
  });
  socket.write(`GET ${does === 'read' ? '/endless' : '/ws'} HTTP/1.1\r\n${lines.join('')}\r\n`);
  await until(() => head.includes('\r\n\r\n') || ended !== undefined, 'it is not answered');
  const wanted = does === 'read' ? ' 200 ' : ' 101 ';
  if (!head.split('\r\n', 1)[0]?.includes(wanted)) {
    socket.destroy();
    throw new Error(`it is answered otherwise: ${head.slice(0, 500) || 'with nothing'}`);
  }
  const local_port = socket.localPort ?? 0;
  opened = true;
  let last = performance.now();
  const timer = setInterval(() => {
    longest = Math.max(longest, performance.now() - last);
    last = performance.now();
    if (does === 'talk' && ended === undefined) socket.write(ping());
  }, OFTEN_MS);
  socket.once('close', () => clearInterval(timer));
  return {
    age: () => performance.now() - since,
    get ended() {
      return ended;
    },
    get longest_pause() {
      return longest;
    },
    get received() {
      return received;
    },
    local_port,
    say: () => void socket.write(ping()),
    close: () => void socket.destroy(),
  };
}

/** As RFC 6455 5.5.2 has it, masked. */
function ping(): Buffer {
  return Buffer.concat([Buffer.from([0x89, 0x80]), randomBytes(4)]);
}
