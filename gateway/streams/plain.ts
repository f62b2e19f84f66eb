// A request over HTTP/2, or HTTP/1.1 without an upgrade: passed on as it comes, watched while it is open, and cut with the words that its
// reader can show.

import type { IncomingMessage, ServerResponse } from 'node:http';
import http2, { type Http2ServerRequest, type Http2ServerResponse, type ServerHttp2Session } from 'node:http2';
import { HSTS } from '../../serving/net/hsts.ts';
import { type AdmitParts, isRefusal, prepare } from '../admit.ts';
import { breakOff } from '../break_off.ts';
import { LineScan } from '../frames/lines.ts';
import type { Live } from '../live/live.ts';
import { isLetIn, type Opened } from '../live/opened.ts';
import type { Metrics } from '../metrics.ts';
import {
  forwardedHeaders,
  grouped,
  type HeaderList,
  hasCredential,
  headerList,
  returnedHeaders,
  valuesOf,
} from '../request/headers.ts';
import { Exchange } from '../upstream/exchange.ts';
import type { Sessions } from '../upstream/sessions.ts';
import { badRequest, FAILURES, LARGEST_STATUS, type Refusal, statusOf } from '../words.ts';
import type { Connections } from './connections.ts';
import { hasBody } from './has_body.ts';
import { Rest, WORDS_MS } from './rest.ts';

export type Request = IncomingMessage | Http2ServerRequest;
export type Response = ServerResponse | Http2ServerResponse;

export interface PlainParts extends AdmitParts {
  readonly live: Live;
  readonly sessions: Pick<Sessions, 'request'>;
  readonly connections: Connections;
  readonly metrics: Metrics;
  /** Is told of whose credential the API server took. */
  readonly onLetIn: (end: Request['socket']) => void;
  /** `host:port` of the API server. */
  readonly authority_name: string;
}

/** Milliseconds from the reason to the end of a connection: client-go shows what came last. */
const GOAWAY_MS = 50;
/** Milliseconds for the rest of a body that nobody reads. */
const UNREAD_MS = 5_000;
const { NGHTTP2_NO_ERROR } = http2.constants;

export async function answer(parts: PlainParts, request: Request, response: Response): Promise<void> {
  const { metrics } = parts;
  // A client that goes while something is waited for is no error of ours.
  response.on('error', () => undefined);
  request.on('error', () => undefined);
  const headers = headerList(request.rawHeaders);
  const method = request.method ?? '';
  const fault = faultOf(headers);
  const prepared = fault ?? (await prepare(parts, { method, url: request.url ?? '', headers }));
  if (isRefusal(prepared)) return refuse(response, prepared, metrics);
  if (response.destroyed || request.destroyed) return;
  const decided = prepared.decide();
  if (isRefusal(decided)) return refuse(response, decided, metrics);
  const { asked, speaker, kid } = prepared;
  new Passing(parts, request, response, prepared.headers, (cut) =>
    parts.live.add({ asked, speaker, kid, segment: decided.segment, cut }),
  );
}

/** Bodies are forwarded without their encoding, so it must be one that is undone here. */
function faultOf(headers: HeaderList): Refusal | undefined {
  const encodings = valuesOf(headers, 'transfer-encoding');
  return encodings.every((encoding) => encoding.trim().toLowerCase() === 'chunked')
    ? undefined
    : badRequest('Transfer-Encoding: expected chunked');
}

/** A Status, where nothing was answered yet. */
export function refuse(response: Response, refusal: Refusal, metrics: Metrics): void {
  metrics.request('refused', refusal.code);
  const body = Buffer.from(`${JSON.stringify(statusOf(refusal))}\n`);
  const { retry_after } = refusal;
  write(response, refusal.status, [
    ['content-type', 'application/json'],
    ['content-length', String(body.length)],
    ['cache-control', 'no-store'],
    HSTS,
    ...(retry_after === undefined ? [] : [['retry-after', String(retry_after)] as const]),
    ...(refusal.status === 401 ? [['www-authenticate', 'Bearer'] as const] : []),
  ]);
  (response as ServerResponse).end(body);
  dropBody(response);
}

/** What is still sent is read for a moment, so that the answer arrives. */
function dropBody({ req }: Response): void {
  if (req.complete) return;
  req.resume();
  setTimeout(() => {
    if (req.complete) return;
    if ('stream' in req) req.stream.close(NGHTTP2_NO_ERROR);
    else req.socket.destroy();
  }, UNREAD_MS).unref();
}

function write(response: Response, status: number, headers: HeaderList): void {
  if (response.headersSent || response.destroyed) return;
  (response as ServerResponse).writeHead(status, grouped(headers));
}

class Passing {
  readonly #parts: PlainParts;
  readonly #response: Response;
  readonly #opened: Opened;
  readonly #exchange: Exchange;
  readonly #has_credential: boolean;
  /** Absent over HTTP/1.1. */
  readonly #session: ServerHttp2Session | undefined;
  /** Of a watch whose events are lines. */
  #lines: LineScan | undefined;
  #head = false;
  /** Bytes of the answer that are to come, where that was said. */
  #left = Number.NaN;
  #is_stream = false;
  /** Of the event that is half sent. */
  readonly #rest = new Rest();
  #over = false;

  constructor(
    parts: PlainParts,
    request: Request,
    response: Response,
    headers: HeaderList,
    open: (cut: (refusal: Refusal) => void) => Opened,
  ) {
    this.#parts = parts;
    this.#response = response;
    this.#has_credential = hasCredential(headers);
    this.#session = 'stream' in response ? (response.stream.session as ServerHttp2Session | undefined) : undefined;
    this.#opened = open((refusal) => this.#cut(refusal));
    this.#is_stream = ['log', 'watch'].includes(this.#opened.kind);
    parts.connections.add(this.#session, this.#opened);
    response.once('close', () => this.#gone());
    // No event of ours can be put into a watch that is compressed, as the lists that watches begin with may be.
    const is_watch = this.#opened.kind === 'watch';
    this.#exchange = new Exchange(
      parts.sessions,
      {
        method: request.method ?? '',
        path: request.url ?? '',
        authority: parts.authority_name,
        headers: forwardedHeaders(headers, request.socket.remoteAddress ?? '').filter(
          ([name]) => !(is_watch && name === 'accept-encoding'),
        ),
        body: hasBody(request) ? request : undefined,
      },
      {
        onHead: (status, back) => this.#onHead(status, back),
        onData: (bytes) => this.#onData(bytes),
        onEnd: () => this.#onEnd(),
        onFailure: (how) => this.#onFailure(how),
        onRetry: () => parts.metrics.upstreamError('retried'),
        onSent: (bytes) => this.#opened.sent(bytes, bytes > 0),
      },
    );
  }

  #onHead(status: number, back: HeaderList): void {
    if (this.#opened.refusal) return;
    // API servers pass on what others answer, and not all of that can be said in HTTP/2.
    if (status > LARGEST_STATUS) {
      this.#exchange.abort();
      this.#onFailure('broken');
      return;
    }
    this.#head = true;
    this.#parts.metrics.request('passed');
    write(this.#response, status, returnedHeaders(back));
    // Whoever watches hears that it has begun before the first event comes.
    if (!('stream' in this.#response)) this.#response.flushHeaders();
    if (isLetIn(status)) {
      this.#opened.accepted(this.#is_stream && status < 300);
      if (this.#has_credential) this.#parts.onLetIn(this.#response.req.socket);
    }
    const type = back.find(([name]) => name === 'content-type')?.[1] ?? '';
    this.#left = Number(back.find(([name]) => name === 'content-length')?.[1]);
    const encoded = back.some(([name]) => name === 'content-encoding');
    if (this.#opened.kind === 'watch' && /^application\/json\b/.test(type) && !encoded) this.#lines = new LineScan();
  }

  #onData(bytes: Buffer): boolean {
    const { refusal } = this.#opened;
    if (refusal && !this.#rest.awaited) return true;
    if (this.#rest.awaited) {
      const more = this.#write(bytes.subarray(0, this.#lines?.finish(bytes) ?? 0));
      if (this.#lines?.whole) this.#rest.over();
      return more;
    }
    this.#opened.received(bytes.length, this.#lines?.push(bytes) ?? true);
    this.#left -= bytes.length;
    // The end goes with what is last: by itself it takes a write of its own.
    if (this.#left === 0) {
      (this.#response as ServerResponse).end(bytes);
      return true;
    }
    return this.#write(bytes);
  }

  /** @returns whether more may come; else that is asked for once it may */
  #write(bytes: Buffer): boolean {
    const response = this.#response as ServerResponse;
    if (response.destroyed || response.write(bytes)) return true;
    response.once('drain', () => this.#exchange.resume());
    return false;
  }

  #onEnd(): void {
    this.#rest.over();
    if (this.#opened.refusal) return;
    (this.#response as ServerResponse).end();
  }

  #onFailure(how: 'away' | 'broken' | 'too_large' | 'headers'): void {
    this.#rest.over();
    if (this.#opened.refusal) return;
    const { metrics } = this.#parts;
    if (how === 'broken') metrics.upstreamError('broken');
    if (how === 'away') metrics.upstreamError('connect');
    if (this.#head) this.#break();
    else refuse(this.#response, FAILURES[how], metrics);
  }

  /** The client has gone, or all of it was sent. */
  #gone(): void {
    this.#over = true;
    this.#rest.drop();
    this.#exchange.abort();
    dropBody(this.#response);
    this.#parts.connections.remove(this.#session, this.#opened);
    this.#opened.close();
  }

  #cut(refusal: Refusal): void {
    // From here on nothing goes to the API server, and nothing of it comes but the rest of an event.
    if (!this.#head) {
      this.#exchange.abort();
      refuse(this.#response, refusal, this.#parts.metrics);
      this.#after(WORDS_MS);
      return;
    }
    if (this.#lines && !this.#lines.whole) {
      this.#rest.wait(() => {
        this.#exchange.abort();
        this.#say(refusal);
      });
      return;
    }
    this.#exchange.abort();
    this.#say(refusal);
  }

  #say(refusal: Refusal): void {
    if (this.#over) return;
    const response = this.#response as ServerResponse;
    if (this.#lines?.whole) {
      response.end(`${JSON.stringify({ type: 'ERROR', object: statusOf(refusal) })}\n`);
      this.#after(WORDS_MS);
      return;
    }
    const session = this.#session;
    // A reason can be given for a whole connection alone: where others are on it, theirs goes on.
    if (!session || this.#opened.kind === 'watch' || !this.#parts.connections.allRefused(session)) {
      this.#break();
      return;
    }
    const last = 'stream' in this.#response ? (this.#response.stream.id ?? 0) : 0;
    if (!session.destroyed) session.goaway(NGHTTP2_NO_ERROR, last, Buffer.from(refusal.message));
    setTimeout(() => session.destroy(), GOAWAY_MS);
  }

  /** Never a clean end: what was cut must not look whole. */
  #break(): void {
    const response = this.#response;
    if ('stream' in response) breakOff(response.stream);
    else response.destroy();
  }

  /** A reader that does not take its last words goes without. */
  #after(ms: number): void {
    setTimeout(() => {
      if (!this.#over) this.#break();
    }, ms).unref();
  }
}
