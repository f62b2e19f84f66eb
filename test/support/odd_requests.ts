// Requests over HTTP/1.1 by chance: put together of what should and what should not be there, whole or cut off, and what became of each.

import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { Chance } from './chance.ts';

/** What requests are made of. */
export interface Parts {
  readonly method: string;
  readonly path: string;
  readonly authorization: string;
  /** A line, or more. */
  readonly headers: string;
  readonly body: string;
}
type Choices = { readonly [part in keyof Parts]: readonly string[] };

const METHODS = [
  ...['POST', 'PUT', 'DELETE', 'HEAD', 'OPTIONS', 'PATCH', 'TRACE', 'CONNECT', 'PRI', 'get', 'X', ''],
] as const;
const HEADERS = [
  ...[
    'Expect: 100-continue',
    'Transfer-Encoding: chunked',
    'Content-Encoding: gzip',
    'Connection: close',
    'Cookie: a=b',
  ],
  ...['Connection: keep-alive, authorization', 'Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings', 'TE: trailers'],
  ...[
    'Upgrade: websocket\r\nConnection: Upgrade',
    'Upgrade: SPDY/3.1\r\nConnection: Upgrade',
    'Content-Type: text/plain',
  ],
  ...[
    'X-Remote-User: root',
    'Impersonate-User: root',
    'X-HTTP-Method-Override: DELETE',
    'Range: bytes=0-1',
    'Host: other',
  ],
  ...['__proto__: x', `X: ${'y'.repeat(3_000)}`, `Y: ${'z'.repeat(70_000)}`, 'Z : a', 'Bad', 'Content-Length: 5'],
] as const;
/** Of ten requests, how many have an odd part. */
const ODD = { method: 2, path: 3, authorization: 4, headers: 3, body: 2 } as const;

/** @returns a request as bytes, each a character; of some the end is missing */
export function oddRequest({ below, pick }: Chance, usual: Choices, odd: Omit<Choices, 'method' | 'headers'>): string {
  const strange: Choices = { method: METHODS, headers: HEADERS, ...odd };
  const of = (part: keyof Parts) => pick((below(10) < ODD[part] ? strange : usual)[part]) ?? '';
  const [authorization, headers, body] = [of('authorization'), of('headers'), of('body')];
  const lines = [
    `${of('method')} ${of('path')} HTTP/1.${below(20) === 0 ? 0 : 1}`,
    ...(below(20) > 0 ? ['Host: gateway'] : []),
    ...(authorization === '' ? [] : [`Authorization: ${authorization}`]),
    ...(below(30) === 0 ? [`Authorization: ${of('authorization')}`] : []),
    ...(headers === '' ? [] : [headers]),
    ...(body === '' ? [] : [`Content-Length: ${body.length + (below(20) === 0 ? 5 : 0)}`]),
  ];
  const whole = `${lines.join('\r\n')}\r\n\r\n${body}`;
  return below(12) === 0 ? whole.slice(0, below(whole.length)) : whole;
}

export interface Peer {
  readonly url: string;
  readonly ca?: string;
  /** Milliseconds after which its side is ended, where no answer came: what it waits for may never come. */
  readonly ends_after?: number;
}

/** Sends it over a connection of its own. @returns the status, or `none` where it was closed without one */
export async function statusOf({ url, ca, ends_after = 0 }: Peer, text: string): Promise<string> {
  const { hostname, port, protocol } = new URL(url);
  const at = { host: hostname, port: Number(port) };
  const is_tls = protocol === 'https:';
  const socket: Socket = is_tls ? connectTls({ ...at, ca, ALPNProtocols: ['http/1.1'] }) : connectTcp(at);
  const closed = new Promise((resolve) => socket.once('close', resolve));
  let answer = '';
  const statusIn = () => /^HTTP\/1\.1 (101|[2-9]\d\d) /m.exec(answer)?.[1];
  // The other side may end it before it has read all.
  socket.on('error', () => undefined);
  socket.on('data', (chunk: Buffer) => {
    answer += chunk.toString('latin1');
    // What is upgraded or told without an end is over with its head.
    if (statusIn() !== undefined) socket.destroy();
  });
  socket.write(text, 'latin1');
  const timer = setTimeout(() => socket.end(), ends_after);
  await closed;
  clearTimeout(timer);
  return statusIn() ?? 'none';
}
