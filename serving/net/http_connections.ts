// Bounds on the connections of a server for HTTP/1.1: proven is whoever has sent a whole request.

import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { type Connection, type ConnectionLimits, Connections } from './connections.ts';

/**
 * Requests that are sent on one connection without waiting for their answers: a few (RFC 9112 9.3.2). No client that we know of sends
 * a second one before the first is answered, and all that come in one piece are there at once, each with its answer to be kept.
 */
export const MOST_UNANSWERED = 16;

/**
 * Milliseconds without a byte either way, in the middle of an answer: then whoever asked does not read it. Node.js sees that after one
 * or two of these.
 */
const STALLED_MS = 4_000;

export interface BoundConnections {
  readonly size: number;
  /** Cuts what has not sent a whole request: a stop waits for the others alone. */
  close(): void;
  /** Whether a request came on a connection that was cut: it is not to be looked at. */
  isCut(request: Pick<IncomingMessage, 'socket'>): boolean;
}

/** @param onCut is told of each that had to go */
export function boundConnections(server: Server, limits: ConnectionLimits, onCut: () => void): BoundConnections {
  const connections = new Connections(limits, onCut);
  const received = (connection: Connection) => {
    connections.prove(connection);
    connections.received(connection);
  };
  // Under TLS as well these are the bare ones, before any handshake.
  server.on('connection', (socket) => void connections.add(socket));
  server.prependListener('request', (request: IncomingMessage, response: ServerResponse) => {
    const { socket } = request;
    const connection = connections.of(socket);
    if (!connection) return;
    connections.begin(connection, false);
    if (connection.open > MOST_UNANSWERED) socket.destroy();
    request.once('end', () => received(connection));
    response.once('close', () => {
      connections.prove(connection);
      connections.end(connection);
    });
  });
  // Node.js counts what goes out as well, and has set another time where nothing is under way.
  server.setTimeout(STALLED_MS, (socket: Socket) => {
    const connection = connections.of(socket);
    // Who has not sent a whole request has less time than this, and another clock.
    if (connection && connections.unproven.has(connection)) return;
    // A client that waits for our answer stays connected; one that does not read it, or sends nothing, is cut.
    const isOurs = connection !== undefined && connection.open > 0 && socket.writableLength === 0;
    if (!isOurs) socket.destroy();
  });
  return {
    get size() {
      return connections.size;
    },
    close() {
      for (const { socket } of connections.unproven) socket.destroy();
    },
    isCut: ({ socket }) => socket.destroyed,
  };
}
