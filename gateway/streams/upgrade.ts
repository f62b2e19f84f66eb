// Connections that become something else: exec, attach, port-forward, proxy. Passed on byte by byte over a connection of their own; what is
// refused, redirected or answered otherwise closes both sides (CVE-2018-1002105, CVE-2020-8559).

import type { IncomingMessage } from 'node:http';
import { STATUS_CODES } from 'node:http';
import https from 'node:https';
import type { Duplex } from 'node:stream';
import { HSTS } from '../../serving/net/hsts.ts';
import type { TlsOptions } from '../../serving/net/roots.ts';
import { type AdmitParts, isRefusal, prepare } from '../admit.ts';
import type { Live } from '../live/live.ts';
import { isLetIn, type Opened } from '../live/opened.ts';
import type { Metrics } from '../metrics.ts';
import {
  forwardedHeaders,
  type HeaderList,
  hasCredential,
  headerList,
  returnedHeaders,
  valuesOf,
} from '../request/headers.ts';
import { isUpgradable } from '../request/target.ts';
import { API_SERVER_AWAY, badRequest, LARGEST_STATUS, type Refusal, statusOf } from '../words.ts';
import { WORDS_MS } from './rest.ts';
import { Tunnel } from './tunnel.ts';

export interface UpgradeParts extends AdmitParts {
  readonly live: Live;
  readonly metrics: Metrics;
  /** Is told the socket of a request with a credential that the API server took. */
  readonly onLetIn: (end: IncomingMessage['socket']) => void;
  readonly api_server: URL;
  readonly tls: TlsOptions;
}

/** Milliseconds for the API server to answer: it asks a kubelet first. */
const ANSWER_MS = 60_000;
/** Of an answer that is no upgrade: a Status is far smaller. */
const LARGEST_ANSWER_BYTES = 256 * 1024;
const PROTOCOLS: ReadonlySet<string> = new Set(['websocket', 'spdy/3.1']);

const REDIRECTED: Refusal = { status: 502, code: 'api_server', message: 'curfew: a redirect, which is not followed' };
const NOT_UPGRADED: Refusal = {
  status: 502,
  code: 'api_server',
  message: 'curfew: the API server did not upgrade the connection as it was asked to',
};

/** @param socket whose errors are looked after @param early what came after the head, before anything was answered */
export async function upgrade(
  parts: UpgradeParts,
  request: IncomingMessage,
  socket: Duplex,
  early: Buffer,
): Promise<void> {
  const { metrics } = parts;
  const headers = headerList(request.rawHeaders);
  const { method = '', url = '' } = request;
  const fault = faultOf(method, headers);
  const prepared = fault ?? (await prepare(parts, { method, url, headers }));
  if (socket.destroyed) return;
  if (isRefusal(prepared)) return refuseUpgrade(socket, prepared, metrics);
  if (!isUpgradable(prepared.asked)) return refuseUpgrade(socket, badRequest('nothing there can be upgraded'), metrics);
  const decided = prepared.decide();
  if (isRefusal(decided)) return refuseUpgrade(socket, decided, metrics);
  const { asked, speaker, kid } = prepared;
  new Upgrading(parts, request, socket, early, prepared.headers, (cut, warn) =>
    parts.live.add({ asked, speaker, kid, segment: decided.segment, cut, warn }),
  );
}

function faultOf(method: string, headers: HeaderList): Refusal | undefined {
  const protocols = valuesOf(headers, 'upgrade');
  if (protocols.length !== 1 || !PROTOCOLS.has((protocols[0] ?? '').toLowerCase()))
    return badRequest('Upgrade: expected websocket or SPDY/3.1');
  if (!['GET', 'POST'].includes(method)) return badRequest('an upgrade is a GET or a POST');
  const lengths = valuesOf(headers, 'content-length');
  if (valuesOf(headers, 'transfer-encoding').length > 0 || lengths.some((length) => length.trim() !== '0'))
    return badRequest('an upgrade has no body');
  return undefined;
}

/** A Status, and the end of the connection. */
export function refuseUpgrade(socket: Duplex, refusal: Refusal, metrics: Metrics): void {
  metrics.request('refused', refusal.code);
  const { retry_after } = refusal;
  const headers: HeaderList = retry_after === undefined ? [] : [['retry-after', String(retry_after)]];
  endWith(
    socket,
    refusal.status,
    [...headers, ['content-type', 'application/json'], HSTS],
    `${JSON.stringify(statusOf(refusal))}\n`,
  );
}

function endWith(socket: Duplex, status: number, headers: HeaderList, body: string | Buffer): void {
  const all: HeaderList = [...headers, ['content-length', String(Buffer.byteLength(body))], ['connection', 'close']];
  socket.end(Buffer.concat([head(status, all), Buffer.from(body)]));
  socket.resume();
  setTimeout(() => socket.destroy(), WORDS_MS).unref();
}

function head(status: number, headers: HeaderList): Buffer {
  const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.from(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n${lines.join('')}\r\n`, 'latin1');
}

type Open = (cut: (refusal: Refusal) => void, warn: (text: string) => boolean) => Opened;

class Upgrading {
  readonly #parts: UpgradeParts;
  readonly #socket: Duplex;
  readonly #opened: Opened;
  readonly #asked: ReturnType<typeof https.request>;
  readonly #letIn: () => void;
  #tunnel: Tunnel | undefined;
  #answered = false;

  constructor(
    parts: UpgradeParts,
    request: IncomingMessage,
    socket: Duplex,
    early: Buffer,
    headers: HeaderList,
    open: Open,
  ) {
    this.#parts = parts;
    this.#socket = socket;
    this.#letIn = () => hasCredential(headers) && parts.onLetIn(request.socket);
    this.#opened = open(
      (refusal) => this.#cut(refusal),
      (text) => {
        this.#tunnel?.warn(text);
        return this.#tunnel !== undefined;
      },
    );
    socket.once('close', () => this.#gone());
    const [protocol = ''] = valuesOf(headers, 'upgrade');
    const { api_server, tls } = parts;
    const { remoteAddress = '' } = request.socket;
    const sent: HeaderList = [
      ['host', api_server.host],
      ...forwardedHeaders(headers, remoteAddress).filter(([name]) => name !== 'content-length'),
      // Else Node.js would send a body of chunks, of which there are none.
      ...(request.method === 'POST' ? [['content-length', '0'] as const] : []),
      ['connection', 'Upgrade'],
      ['upgrade', protocol],
    ];
    this.#asked = https.request({
      ...tls,
      ...{ host: api_server.hostname.replace(/^\[|\]$/g, ''), port: api_server.port || 443, agent: false },
      ...{ method: request.method, path: request.url, ALPNProtocols: ['http/1.1'] },
      // Each by itself and in its order, as it came.
      headers: sent.flat() as never,
    });
    const timer = setTimeout(() => this.#fail(API_SERVER_AWAY), ANSWER_MS);
    this.#asked.once('close', () => clearTimeout(timer));
    this.#asked.on('error', () => this.#fail(API_SERVER_AWAY));
    this.#asked.once('response', (answer) => void this.#refused(answer));
    this.#asked.once('upgrade', (answer, upstream, rest) => {
      clearTimeout(timer);
      this.#begin(request, protocol, answer, upstream, [early, rest]);
    });
    this.#asked.end();
  }

  #begin(
    request: IncomingMessage,
    protocol: string,
    answer: IncomingMessage,
    upstream: Duplex,
    [early, rest]: readonly [Buffer, Buffer],
  ): void {
    upstream.on('error', () => upstream.destroy());
    const [upgraded = ''] = valuesOf(headerList(answer.rawHeaders), 'upgrade');
    if (this.#socket.destroyed || this.#answered || upgraded.toLowerCase() !== protocol.toLowerCase()) {
      upstream.destroy();
      this.#fail(NOT_UPGRADED);
      return;
    }
    this.#answered = true;
    this.#parts.metrics.request('passed');
    const back = returnedHeaders(headerList(answer.rawHeaders));
    this.#socket.write(head(101, [...back, ['connection', 'Upgrade'], ['upgrade', upgraded]]));
    const [subprotocol = ''] = valuesOf(back, 'sec-websocket-protocol');
    this.#tunnel = new Tunnel(this.#socket, upstream, this.#opened, {
      protocol: protocol.toLowerCase() === 'websocket' ? 'websocket' : 'spdy',
      subprotocol,
      kind: this.#opened.kind,
      url: request.url ?? '',
    });
    this.#opened.accepted(true);
    this.#letIn();
    this.#tunnel.begin(early, rest);
  }

  /** Passed on as it is, and then both sides are closed. */
  async #refused(answer: IncomingMessage): Promise<void> {
    const status = answer.statusCode ?? 502;
    if (status < 400 || status > LARGEST_STATUS) {
      answer.destroy();
      const redirects = status >= 300 && status < 400;
      if (redirects) this.#parts.metrics.upstreamError('redirect');
      return this.#fail(redirects ? REDIRECTED : NOT_UPGRADED);
    }
    const chunks: Buffer[] = [];
    let size = 0;
    try {
      for await (const chunk of answer) {
        size += (chunk as Buffer).length;
        if (size > LARGEST_ANSWER_BYTES) break;
        chunks.push(chunk as Buffer);
      }
    } catch {
      return this.#fail(API_SERVER_AWAY);
    }
    if (this.#answered || this.#socket.destroyed) return;
    this.#answered = true;
    this.#parts.metrics.request('passed');
    if (isLetIn(status)) {
      this.#opened.accepted(false);
      this.#letIn();
    }
    const back = returnedHeaders(headerList(answer.rawHeaders)).filter(([name]) => name !== 'content-length');
    endWith(this.#socket, status, back, Buffer.concat(chunks));
    this.#asked.destroy();
    this.#opened.close();
  }

  #fail(refusal: Refusal): void {
    this.#asked.destroy();
    if (this.#answered) return;
    this.#answered = true;
    this.#parts.metrics.upstreamError(refusal === API_SERVER_AWAY ? 'connect' : 'upgrade');
    if (!this.#socket.destroyed) refuseUpgrade(this.#socket, refusal, this.#parts.metrics);
    this.#opened.close();
  }

  #cut(refusal: Refusal): void {
    if (this.#tunnel) {
      this.#tunnel.cut(refusal);
      return;
    }
    this.#answered = true;
    this.#asked.destroy();
    refuseUpgrade(this.#socket, refusal, this.#parts.metrics);
  }

  #gone(): void {
    this.#answered = true;
    if (!this.#tunnel) this.#asked.destroy();
    this.#opened.close();
  }
}
