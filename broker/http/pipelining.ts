// Requests that are sent on one connection without waiting for answers: a few. All that come in one piece are there at once,
// each with its answer to be kept until those before it are sent.

import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** No client that we know of sends a second one before the first is answered (RFC 9112 9.3.2). */
const MOST_UNANSWERED = 16;

/**
 * Cuts a connection on which more wait for their answers.
 *
 * @returns whether a request came on a connection that was cut so: it is not to be looked at
 */
export function limitPipelining(server: Server): (request: IncomingMessage) => boolean {
  const unanswered = new WeakMap<Socket, number>();
  const cut = new WeakSet<Socket>();
  server.prependListener('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
    const count = (unanswered.get(socket) ?? 0) + 1;
    unanswered.set(socket, count);
    response.once('close', () => unanswered.set(socket, (unanswered.get(socket) ?? 1) - 1));
    if (count <= MOST_UNANSWERED) return;
    cut.add(socket);
    socket.destroy();
  });
  return ({ socket }) => cut.has(socket);
}
