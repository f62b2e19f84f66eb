// Answers to what never becomes a request: bytes that are no HTTP, heads that are too long or too slow, expectations and targets
// that nobody can meet. In the form of all other refusals, and like those kept by no cache.

import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import type { Refusal } from '../../shared/wire.ts';

const STATUS: Readonly<Record<string, { readonly line: string; readonly message: string }>> = {
  ERR_HTTP_REQUEST_TIMEOUT: { line: '408 Request Timeout', message: 'the request took too long' },
  HPE_HEADER_OVERFLOW: { line: '431 Request Header Fields Too Large', message: 'the head of the request is too long' },
};
const OTHER = { line: '400 Bad Request', message: 'the request cannot be read' };

/** Fastify's `clientErrorHandler`. */
export function answerUnreadable(error: Error & { readonly code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return;
  const { line, message } = STATUS[error.code ?? ''] ?? OTHER;
  if (socket.writable) socket.write(textOf(line, bodyOf(message)));
  socket.destroy(error);
}

/** Fastify's `frameworkErrors`: a target that cannot be decoded, or is too long. */
export function answerBadTarget(
  { statusCode = 400 }: FastifyError,
  _request: FastifyRequest,
  reply: FastifyReply,
): void {
  reply.raw.writeHead(statusCode, HEADERS);
  reply.raw.end(bodyOf('the request target cannot be read'));
}

/** RFC 9110 10.1.1 */
export function answerExpectations(server: Server): void {
  server.on('checkExpectation', (_request: IncomingMessage, response: ServerResponse) => {
    response.writeHead(417, HEADERS);
    response.end(bodyOf('expected no Expect but 100-continue'));
  });
}

/** Of what Fastify's hooks do not see. */
const HEADERS = { 'Cache-Control': 'no-store', 'Content-Type': 'application/json; charset=utf-8' } as const;

function bodyOf(error_description: string): string {
  return JSON.stringify({ error: 'invalid_request', error_description, reason: 'request_invalid' } satisfies Refusal);
}

function textOf(line: string, body: string): string {
  const head = [
    `HTTP/1.1 ${line}`,
    'Content-Type: application/json; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Cache-Control: no-store',
    'Connection: close',
  ];
  return [...head, '', body].join('\r\n');
}
