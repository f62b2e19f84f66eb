// An API server as far as streams go, over HTTPS: watches that go on, exec whose bytes are counted, and an answer at once to all else. It
// asks nobody who somebody is.

import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { type IncomingMessage, ServerResponse } from 'node:http';
import http2, { type Http2ServerRequest, type Http2ServerResponse } from 'node:http2';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { webSocketMessage } from '../../gateway/frames/websocket.ts';
import type { CertificateAuthority } from './certificates.ts';

/** An exec. */
export interface Heard {
  bytes: number;
  /** The end of what came. */
  text: string;
  open: boolean;
}

export interface StreamingApiServer {
  readonly url: string;
  /** How many requests and upgrades came. */
  readonly requests: number;
  /** Watches and execs that are open. */
  readonly open: number;
  /** Tokens that were presented. */
  readonly tokens: ReadonlySet<string>;
  /** Of each exec, by the pod's name. */
  readonly heard: ReadonlyMap<string, Heard>;
  /** Milliseconds between two lines on each watch and exec; 0: none. */
  flood_ms: number;
  stop(): Promise<void>;
}

export async function startStreamingApiServer(authority: CertificateAuthority): Promise<StreamingApiServer> {
  const { certFile, keyFile } = await authority.issue({ name: 'streaming-api', hosts: ['127.0.0.1'] });
  const [cert, key] = await Promise.all([readFile(certFile), readFile(keyFile)]);
  const server = http2.createSecureServer({ cert, key, allowHTTP1: true });
  const sockets = new Set<Socket>();
  const tokens = new Set<string>();
  const heard = new Map<string, Heard>();
  const writers = new Set<(line: number) => void>();
  const state = { requests: 0, line: 0, flood_ms: 0 };
  let flooding: NodeJS.Timeout | undefined;
  const count = ({ headers }: IncomingMessage | Http2ServerRequest) => {
    state.requests += 1;
    tokens.add(String(headers.authorization).replace('Bearer ', ''));
  };
  const write = (response: ServerResponse | Http2ServerResponse, text: string) =>
    response instanceof ServerResponse ? response.write(text) : response.write(text);
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined).once('close', () => sockets.delete(socket));
  });
  server.on('sessionError', () => undefined);
  server.on('request', (request, response) => {
    count(request);
    response.on('error', () => undefined);
    response.setHeader('content-type', 'application/json');
    if (!/[?&]watch=/.test(request.url ?? '')) {
      request.resume();
      response.end('{}\n');
      return;
    }
    const writer = (line: number) => write(response, `${JSON.stringify({ type: 'ADDED', object: { line } })}\n`);
    writers.add(writer);
    response.once('close', () => writers.delete(writer));
    writer(0);
  });
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, early: Buffer) => {
    count(request);
    socket.on('error', () => socket.destroy());
    const [, pod = ''] = /\/pods\/([^/]+)\/exec/.exec(request.url ?? '') ?? [];
    const one: Heard = { bytes: 0, text: '', open: true };
    heard.set(pod, one);
    const hear = (bytes: Buffer) => {
      one.bytes += bytes.length;
      one.text = (one.text + bytes.toString('latin1')).slice(-4_096);
    };
    const upgraded = `upgrade: ${request.headers.upgrade}`;
    const head = [upgraded, 'connection: Upgrade', 'sec-websocket-protocol: v5.channel.k8s.io'];
    socket.write(`HTTP/1.1 101 Switching Protocols\r\n${head.join('\r\n')}\r\n\r\n`);
    // Channel 1: stdout.
    const writer = (line: number) => void socket.write(webSocketMessage(Buffer.from(`\x01line ${line}\n`)));
    writers.add(writer);
    if (early.length > 0) hear(early);
    socket.on('data', hear).once('end', () => socket.end());
    socket.once('close', () => {
      one.open = false;
      writers.delete(writer);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    ...{ tokens, heard },
    get requests() {
      return state.requests;
    },
    get open() {
      return writers.size;
    },
    get flood_ms() {
      return state.flood_ms;
    },
    set flood_ms(ms: number) {
      state.flood_ms = ms;
      clearInterval(flooding);
      const flood = () => {
        state.line += 1;
        for (const writer of writers) writer(state.line);
      };
      if (ms > 0) flooding = setInterval(flood, ms).unref();
    },
    async stop() {
      clearInterval(flooding);
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
