// Answers to what never becomes a request: bytes that are no HTTP, heads that are too long or too slow, expectations and targets
// that nobody can meet. In the form of all other refusals, and like those kept by no cache.

import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import { HSTS } from '../../serving/net/hsts.ts';
import type { Refusal } from '../../shared/wire.ts';

const STATUS: Readonly<Record<string, { readonly line: string; readonly message: string }>> = {
  ERR_HTTP_REQUEST_TIMEOUT: { line: '408 Request Timeout', message: 'the request took too long' },
  HPE_HEADER_OVERFLOW: { line: '431 Request Header Fields Too Large', message: 'the head of the request is too long' },
};
const OTHER = { line: '400 Bad Request', message: 'the request cannot be read' };

/** Fastify's `clientErrorHandler`. @param is_secure whether it is answered by https */
export function answerUnreadable(is_secure: boolean) {
  return (error: Error & { readonly code?: string }, socket: Socket): void => {
    if (error.code === 'ECONNRESET' || socket.destroyed) return;
    const { line, message } = STATUS[error.code ?? ''] ?? OTHER;
    if (socket.writable) socket.write(textOf(line, bodyOf(message), is_secure));
    socket.destroy(error);
  };
}

/** Fastify's `frameworkErrors`: a target that cannot be decoded, or is too long. */
export function answerBadTarget(is_secure: boolean) {
  return ({ statusCode = 400 }: FastifyError, _request: FastifyRequest, reply: FastifyReply): void => {
    reply.raw.writeHead(statusCode, headersOf(is_secure));
    reply.raw.end(bodyOf('the request target cannot be read'));
  };
}

/** RFC 9110 10.1.1 */
export function answerExpectations(server: Server, is_secure: boolean): void {
  server.on('checkExpectation', (_request: IncomingMessage, response: ServerResponse) => {
    response.writeHead(417, headersOf(is_secure));
    response.end(bodyOf('expected no Expect but 100-continue'));
  });
}

/** Of what Fastify's hooks do not see. */
function headersOf(is_secure: boolean): Readonly<Record<string, string>> {
  const headers = { 'Cache-Control': 'no-store', 'Content-Type': 'application/json; charset=utf-8' };
  return is_secure ? { ...headers, [HSTS[0]]: HSTS[1] } : headers;
}

function bodyOf(error_description: string): string {
  return JSON.stringify({ error: 'invalid_request', error_description, reason: 'request_invalid' } satisfies Refusal);
}

function textOf(line: string, body: string, is_secure: boolean): string {
  const head = [
    `HTTP/1.1 ${line}`,
    ...Object.entries(headersOf(is_secure)).map(([name, value]) => `${name}: ${value}`),
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
  ];
  return [...head, '', body].join('\r\n');
}
