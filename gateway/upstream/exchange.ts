// One request to the API server, and its answer. A request that was not processed (RFC 9113 8.7) is sent again on another connection,
// whatever its method: API servers send people elsewhere now and then (`--goaway-chance`), and nobody is to notice.

import http2 from 'node:http2';
import type { Readable } from 'node:stream';
import { breakOff } from '../break_off.ts';
import { grouped, type HeaderList, headerList } from '../request/headers.ts';
import type { Sessions } from './sessions.ts';

/** Of a body, so that it can be sent again. */
const KEPT_BYTES = 1024 * 1024;
const MOST_TRIES = 5;
const { NGHTTP2_REFUSED_STREAM } = http2.constants;

export interface ToSend {
  readonly method: string;
  readonly path: string;
  readonly authority: string;
  readonly headers: HeaderList;
  /** Absent where there is none. */
  readonly body?: Body | undefined;
}

/** Of a request. */
export interface Body extends Readable {
  /** Whether its client has broken it off. */
  readonly aborted: boolean;
}

export interface Listener {
  onHead(status: number, headers: HeaderList): void;
  /** @returns whether more may come at once; else `resume` is called when it may */
  onData(bytes: Buffer): boolean;
  onEnd(): void;
  /** `away`: no answer. `broken`: it broke off. `too_large`: not processed, and too much of it has gone to send it again. `headers`: cannot be sent. */
  onFailure(how: 'away' | 'broken' | 'too_large' | 'headers'): void;
  onRetry(): void;
  /** Of the body. */
  onSent(bytes: number): void;
}

export class Exchange {
  readonly #sessions: Pick<Sessions, 'request'>;
  readonly #to_send: ToSend;
  readonly #listener: Listener;
  #stream: http2.ClientHttp2Stream | undefined;
  #tries = 0;
  #answered = false;
  #done = false;
  #body_ended = false;
  /** What of the body has come so far; `undefined` once it is too much. */
  #kept: Buffer[] | undefined = [];
  #kept_bytes = 0;

  constructor(sessions: Pick<Sessions, 'request'>, to_send: ToSend, listener: Listener) {
    this.#sessions = sessions;
    this.#to_send = to_send;
    this.#listener = listener;
    const { body } = to_send;
    body?.on('data', (bytes: Buffer) => this.#forward(bytes));
    // Node.js ends what was reset without an error, too, and says that a moment later: half a body must not look whole.
    body?.once('end', () => setImmediate(() => this.#endBody(body)));
    this.#try();
  }

  /** Nothing of it goes on, in either direction. */
  abort(): void {
    if (this.#done) return;
    this.#done = true;
    if (this.#stream) breakOff(this.#stream);
    this.#to_send.body?.resume();
  }

  resume(): void {
    this.#stream?.resume();
  }

  #endBody(body: Body): void {
    if (this.#done) return;
    if (body.aborted) {
      this.abort();
      return;
    }
    this.#body_ended = true;
    this.#stream?.end();
  }

  #try(): void {
    this.#tries += 1;
    const { method, path, authority, headers, body } = this.#to_send;
    const all = { ...grouped(headers), ':method': method, ':path': path, ':authority': authority, ':scheme': 'https' };
    let stream: http2.ClientHttp2Stream;
    try {
      stream = this.#sessions.request(all, body === undefined);
    } catch {
      this.#fail('headers');
      return;
    }
    this.#stream = stream;
    let error: Error | undefined;
    stream.on('error', (cause) => {
      error = cause;
    });
    stream.on('drain', () => body?.resume());
    // Node.js tells of the head in a turn of its own: what follows it may be told of before.
    const early: (() => void)[] = [];
    stream.on('response', (head, _flags, raw) => {
      if (this.#done) return;
      this.#answered = true;
      this.#kept = undefined;
      this.#listener.onHead(Number(head[':status']), listOf(head, raw));
      for (const take of early) take();
    });
    const takeData = (bytes: Buffer) => {
      if (!this.#done && !this.#listener.onData(bytes)) stream.pause();
    };
    const takeEnd = () => {
      if (this.#done || stream.rstCode !== 0) return;
      this.#done = true;
      this.#listener.onEnd();
    };
    stream.on('data', (bytes: Buffer) => {
      if (this.#answered) takeData(bytes);
      else early.push(() => takeData(bytes));
    });
    stream.on('end', () => {
      if (this.#answered) takeEnd();
      else early.push(takeEnd);
    });
    stream.once('close', () => this.#closed(stream, error));
    for (const bytes of this.#kept ?? []) stream.write(bytes);
    if (this.#body_ended) stream.end();
  }

  #forward(bytes: Buffer): void {
    if (this.#done) return;
    this.#listener.onSent(bytes.length);
    this.#kept_bytes += bytes.length;
    if (this.#kept_bytes > KEPT_BYTES) this.#kept = undefined;
    else this.#kept?.push(bytes);
    const stream = this.#stream;
    if (stream && !stream.destroyed && !stream.closed && !stream.write(bytes)) this.#to_send.body?.pause();
  }

  #closed(stream: http2.ClientHttp2Stream, error: Error | undefined): void {
    if (this.#done || stream !== this.#stream) return;
    if (this.#answered) {
      this.#fail('broken');
      return;
    }
    const unprocessed = stream.rstCode === NGHTTP2_REFUSED_STREAM || isUnsent(error);
    // A connection that was closed as it was asked on: what changes nothing may be asked again.
    const harmless = ['GET', 'HEAD'].includes(this.#to_send.method) && this.#tries === 1 && !isAway(error);
    if (!(unprocessed || harmless) || this.#tries >= MOST_TRIES) {
      this.#fail('away');
      return;
    }
    if (this.#to_send.body && this.#kept === undefined) {
      this.#fail('too_large');
      return;
    }
    this.#listener.onRetry();
    this.#to_send.body?.resume();
    this.#try();
  }

  #fail(how: 'away' | 'broken' | 'too_large' | 'headers'): void {
    this.#done = true;
    this.#to_send.body?.resume();
    this.#listener.onFailure(how);
  }
}

/** It never left this process. */
function isUnsent(error: Error | undefined): boolean {
  return codeOf(error) === 'ERR_HTTP2_GOAWAY_SESSION' || codeOf(error) === 'ERR_HTTP2_INVALID_SESSION';
}

/** Nobody is there: another try would find the same. */
function isAway(error: Error | undefined): boolean {
  return /^(ECONNREFUSED|EHOSTUNREACH|ENETUNREACH|ENOTFOUND)$/.test(codeOf(error)) || /CERT|SIGNED/.test(codeOf(error));
}

function codeOf(error: Error | undefined): string {
  return error !== undefined && 'code' in error ? String(error.code) : '';
}

/** In their order, each by itself, where Node.js tells them so. */
function listOf(head: http2.IncomingHttpHeaders, raw: unknown): HeaderList {
  if (Array.isArray(raw)) return headerList(raw.map(String));
  return Object.entries(head).flatMap(([name, value]): [string, string][] => {
    if (name.startsWith(':') || value === undefined) return [];
    return (Array.isArray(value) ? value : [String(value)]).map((one) => [name, one]);
  });
}
