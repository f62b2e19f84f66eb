// How a connection ends for its client: codes and reasons of the WebSocket's close frame (RFC 6455 5.5.1), and of a refusal before it.

import { STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import { HSTS } from '../../serving/net/hsts.ts';
import type { Refusal } from '../words.ts';

/** Milliseconds for a reader to take an answer. */
const WORDS_MS = 1_000;
/** Milliseconds from the reason to the end of a connection. */
const TERMINATE_MS = 300;
/** What a close frame can carry, in bytes. */
const LONGEST_REASON = 123;

export const CLOSE = {
  /** Both sides have said all they had to say. */
  normal: 1000,
  /** A frame that is not taken. */
  unsupported: 1003,
  /** The session may not go on there. */
  over: 4401,
  /** The target cannot be reached, or broke the connection off. */
  target: 4502,
  /** The gateway stops, or has lost its broker: another, or the same soon, may connect. */
  again: 4503,
} as const;

/** `CODE: words` */
export function reasonOf({ code, message }: Refusal): string {
  const whole = Buffer.from(`${code}: ${bare(message)}`);
  if (whole.length <= LONGEST_REASON) return whole.toString();
  // Not in the middle of a character.
  let end = LONGEST_REASON;
  while (((whole[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return whole.subarray(0, end).toString();
}

export function closeCodeOf({ status }: Refusal): number {
  switch (status) {
    case 401:
    case 403:
    case 404:
      return CLOSE.over;
    case 502:
      return CLOSE.target;
    case 429:
    case 503:
      return CLOSE.again;
    case 400:
    case 413:
      return CLOSE.unsupported;
  }
}

/** The reason, and the end soon after it, also for a client that reads nothing. */
export function closeWith(client: WebSocket, refusal: Refusal): void {
  client.close(closeCodeOf(refusal), reasonOf(refusal));
  // Else its own close frame, with which it answers, would not be seen.
  client.resume();
  setTimeout(() => client.terminate(), TERMINATE_MS).unref();
}

/** An answer in place of the upgrade, and the end of the connection. */
export function refuseConnection(socket: Duplex, refusal: Refusal): void {
  const { status, code, message, retry_after } = refusal;
  const body = `${JSON.stringify({ code, message: bare(message) })}\n`;
  const lines = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`,
    'content-type: application/json',
    'cache-control: no-store',
    HSTS.join(': '),
    // RFC 9449 7.1
    ...(status === 401 ? [`www-authenticate: DPoP error="${oauthError(code)}", algs="ES256"`] : []),
    ...(retry_after === undefined ? [] : [`retry-after: ${retry_after}`]),
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
  ];
  socket.end(`${lines.join('\r\n')}\r\n\r\n${body}`);
  socket.resume();
  setTimeout(() => socket.destroy(), WORDS_MS).unref();
}

const oauthError = (code: string) => (code === 'proof_invalid' ? 'invalid_dpop_proof' : 'invalid_token');

/** Who shows it says of whom it is. */
const bare = (message: string) => message.replace(/^curfew: /, '');
