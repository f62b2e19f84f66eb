// The listener that people reach: HTTP/2 and HTTP/1.1 over TLS on one port, with bounds on whoever has not shown anything yet.

import { type Server as HttpServer, type IncomingMessage, ServerResponse } from 'node:http';
import http2, { type ServerHttp2Session } from 'node:http2';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TLSSocket, Server as TlsServer } from 'node:tls';
import { type TlsPair, tlsOptions } from '../serving/config/tls.ts';
import type { ConnectionLimits } from '../serving/net/connections.ts';
import { HSTS } from '../serving/net/hsts.ts';
import { MOST_UNANSWERED } from '../serving/net/http_connections.ts';
import { boundClients } from './clients.ts';
import { endQuiet } from './quiet.ts';
import { sendsAway } from './shedding.ts';
import { answer, type PlainParts, type Response, refuse } from './streams/plain.ts';
import { WORDS_MS } from './streams/rest.ts';
import { refuseUpgrade, type UpgradeParts, upgrade } from './streams/upgrade.ts';
import { BUSY, type Refusal, STOPPING } from './words.ts';

/** Milliseconds. */
const HANDSHAKE_MS = 5_000;
const HEADERS_MS = 10_000;
const KEEP_ALIVE_MS = 75_000;
/** For the first request of an HTTP/2 connection. */
const FIRST_REQUEST_MS = 10_000;
/** Without a byte either way: client-go pings each 30 s. */
const QUIET_MS = 180_000;
const STREAM_WINDOW_BYTES = 1024 * 1024;
const SESSION_WINDOW_BYTES = 4 * 1024 * 1024;
const MOST_STREAMS = 250;
/** MiB that one connection may take up: headers, and what is not sent yet. */
const SESSION_MEMORY = 64;
const LARGEST_HEAD_BYTES = 64 * 1024;

const UNREADABLE = `HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n${HSTS.join(': ')}\r\n\r\n`;

export type FrontParts = Omit<PlainParts & UpgradeParts, 'onLetIn'> & {
  readonly isStopping: () => boolean;
  /** Milliseconds, by a clock that is never set. */
  readonly elapsed: () => number;
  /** Of the event loop, in milliseconds. */
  readonly delay: () => number;
  /** Is told of each connection that had to go, as there were too many. */
  readonly onCut: () => void;
};

export interface Front {
  readonly server: TlsServer;
  /** How many are open. */
  connections(): number;
  /** How many connections to targets are being made. */
  pending(): number;
  /** Ends what has nothing under way, and takes no new connections. */
  close(): void;
  /** Ends everything. */
  destroy(): void;
}

export function createFront(around: FrontParts, tls: TlsPair, limits: ConnectionLimits): Front {
  const times = {
    ...{ headersTimeout: HEADERS_MS, requestTimeout: 0, connectionsCheckingInterval: 1_000 },
    ...{ keepAliveTimeout: KEEP_ALIVE_MS, maxHeaderSize: LARGEST_HEAD_BYTES },
  };
  const server = http2.createSecureServer({
    ...tlsOptions(tls),
    ...times,
    http1Options: times,
    allowHTTP1: true,
    handshakeTimeout: HANDSHAKE_MS,
    settings: {
      ...{ initialWindowSize: STREAM_WINDOW_BYTES, maxConcurrentStreams: MOST_STREAMS },
      ...{ maxHeaderListSize: LARGEST_HEAD_BYTES, enableConnectProtocol: false },
    },
    maxSessionMemory: SESSION_MEMORY,
    // As they came from the API server.
    strictSingleValueFields: false,
  } as http2.SecureServerOptions);
  const clients = boundClients(server, limits, around.elapsed, around.onCut);
  const parts = { ...around, onLetIn: clients.prove };
  // Else Node.js drops those beyond a thousand without a word; all of them together are bounded.
  (server as unknown as HttpServer).maxHeadersCount = 0;
  const sessions = new Set<ServerHttp2Session>();
  const sockets = new Set<Socket>();
  const looking = endQuiet(sessions, QUIET_MS);
  server.once('close', () => clearInterval(looking));
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  // Without this a handshake that stands still is told of, and not ended.
  server.on('tlsClientError', (_error, socket: TLSSocket) => socket.destroy());
  /** What is not answered yet on each connection over HTTP/1.1. */
  const unanswered = new WeakMap<Duplex, Set<Response>>();
  const unansweredOn = (socket: Duplex) => [...(unanswered.get(socket) ?? [])];
  server.on('clientError', (_error: Error, socket: Duplex) => {
    const has_begun = unansweredOn(socket).some(({ headersSent }) => headersSent);
    if (!socket.writable || has_begun) return void socket.destroy();
    socket.end(UNREADABLE);
    // Whoever keeps it open on their side is not waited for.
    setTimeout(() => socket.destroy(), WORDS_MS).unref();
  });
  server.on('sessionError', () => undefined);
  server.on('session', (session) => {
    sessions.add(session);
    session.once('close', () => sessions.delete(session));
    session.on('error', () => undefined);
    session.setLocalWindowSize(SESSION_WINDOW_BYTES);
    const first = setTimeout(() => session.destroy(), FIRST_REQUEST_MS).unref();
    session.once('stream', () => clearTimeout(first));
    session.once('close', () => clearTimeout(first));
  });
  /** Why nothing new is taken on a connection. */
  const reasonAgainst = (end: Socket): Refusal | undefined => {
    if (parts.isStopping()) return STOPPING;
    return sendsAway(parts.delay(), clients.isProven(end)) ? BUSY : undefined;
  };
  server.on('request', (request, response) => {
    const against = reasonAgainst(request.socket);
    clients.begin(request.socket, response);
    if (response instanceof ServerResponse) {
      const { socket } = request;
      // One that was cut: what came with it is not looked at.
      if (socket.destroyed) return;
      const all = unanswered.get(socket) ?? new Set();
      unanswered.set(socket, all.add(response));
      response.once('close', () => all.delete(response));
      if (all.size > MOST_UNANSWERED) return void socket.destroy();
    }
    if (against) {
      if (against === STOPPING && response instanceof ServerResponse) response.setHeader('connection', 'close');
      refuse(response, against, parts.metrics);
      return;
    }
    answer(parts, request, response).catch(() => response.destroy());
  });
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, early: Buffer) => {
    socket.on('error', () => socket.destroy());
    // Its bytes would be among those of an answer that is under way.
    if (unansweredOn(socket).length > 0) return void socket.destroy();
    const against = reasonAgainst(request.socket);
    clients.begin(request.socket, socket);
    if (against) return refuseUpgrade(socket, against, parts.metrics);
    upgrade(parts, request, socket, early).catch(() => socket.destroy());
  });
  // Neither a proxy nor a tunnel to elsewhere.
  server.on('connect', (_request: IncomingMessage, socket: Duplex) => socket.destroy());
  return {
    server,
    connections: () => clients.size,
    pending: () => 0,
    close() {
      server.close();
      for (const session of sessions) session.close();
    },
    destroy() {
      server.close();
      for (const session of sessions) session.destroy();
      for (const socket of sockets) socket.destroy();
    },
  };
}
