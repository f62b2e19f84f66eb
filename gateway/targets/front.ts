// The listener that people's connections to targets come to: HTTP/1.1 over TLS, of which nothing but the upgrade to a WebSocket is of use.

import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { type TlsPair, tlsOptions } from '../../serving/config/tls.ts';
import type { ConnectionLimits } from '../../serving/net/connections.ts';
import { HSTS } from '../../serving/net/hsts.ts';
import { boundClients, Pending, type PendingLimits } from '../clients.ts';
import type { Front } from '../front.ts';
import { sendsAway } from '../shedding.ts';
import { BUSY, NO_SUCH_TARGET, type Refusal, STOPPING } from '../words.ts';
import { type ConnectParts, connect, refuse } from './connecting.ts';
import type { Relay } from './relay.ts';

/** Milliseconds. */
const HANDSHAKE_MS = 5_000;
const HEADERS_MS = 10_000;
/** What goes between a client and us, a balancer as likely as not, forgets connections on which nothing moves for a minute. */
const PING_MS = 25_000;
const LARGEST_HEAD_BYTES = 32 * 1024;
/** Connections that are being made, at a time: each is a question to the broker, and a connection to a target. */
const PENDING = { all: 1_024, of_address: 256 };

export type TargetFrontParts = Omit<ConnectParts, 'pending' | 'relays' | 'onLetIn'> & {
  readonly isStopping: () => boolean;
  /** Milliseconds, by a clock that is never set. */
  readonly elapsed: () => number;
  /** Of the event loop, in milliseconds. */
  readonly delay: () => number;
  /** Is told of each connection that had to go, as there were too many. */
  readonly onCut: () => void;
  /** How often clients are pinged, in milliseconds. */
  readonly ping_ms?: number | undefined;
  readonly pending_limits?: PendingLimits | undefined;
};

export function createTargetFront(around: TargetFrontParts, tls: TlsPair, limits: ConnectionLimits): Front {
  const server = createServer({
    ...tlsOptions(tls),
    ALPNProtocols: ['http/1.1'],
    handshakeTimeout: HANDSHAKE_MS,
    ...{ headersTimeout: HEADERS_MS, requestTimeout: HEADERS_MS, connectionsCheckingInterval: 1_000 },
    ...{ keepAliveTimeout: HEADERS_MS, maxHeaderSize: LARGEST_HEAD_BYTES },
  });
  const clients = boundClients(server, limits, around.elapsed, around.onCut);
  const relays = new Set<Relay>();
  const pending = new Pending(around.pending_limits ?? PENDING);
  const parts: ConnectParts = { ...around, relays, pending, onLetIn: clients.prove };
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  const pinging = setInterval(() => {
    for (const relay of relays) relay.ping();
  }, around.ping_ms ?? PING_MS).unref();
  server.once('close', () => clearInterval(pinging));
  server.on('tlsClientError', (_error, socket: TLSSocket) => socket.destroy());
  server.on('clientError', (_error: Error, socket: Duplex) => socket.destroy());
  const reasonAgainst = (end: Socket): Refusal | undefined => {
    if (around.isStopping()) return STOPPING;
    return sendsAway(around.delay(), clients.isProven(end)) ? BUSY : undefined;
  };
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    clients.begin(request.socket, response);
    const { status, code, message } = NO_SUCH_TARGET;
    around.metrics.request('refused', code);
    const headers = { 'content-type': 'application/json', connection: 'close', [HSTS[0]]: HSTS[1] };
    response.writeHead(status, headers).end(`${JSON.stringify({ code, message })}\n`);
  });
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, early: Buffer) => {
    socket.on('error', () => socket.destroy());
    const against = reasonAgainst(request.socket);
    clients.begin(request.socket, socket);
    if (against) return refuse(socket, against, around.metrics);
    connect(parts, request, socket, early).catch(() => socket.destroy());
  });
  server.on('connect', (_request: IncomingMessage, socket: Duplex) => socket.destroy());
  return {
    server,
    connections: () => clients.size,
    pending: () => pending.size,
    close() {
      server.close();
      server.closeIdleConnections();
    },
    destroy() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
