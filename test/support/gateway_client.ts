// A person's client at a gateway: requests and watches over HTTP/2, exec over WebSocket, with what came and when it ended.

import { once } from 'node:events';
import http2, { type ClientHttp2Session } from 'node:http2';
import type { Duplex } from 'node:stream';
import { connect, type TLSSocket } from 'node:tls';

export interface Answer {
  readonly status: number;
  readonly headers: http2.IncomingHttpHeaders;
  readonly text: string;
}

export interface ClientStream {
  /** Of the answer's head. */
  readonly status: number;
  /** All that came since, one character a byte. */
  readonly text: string;
  readonly closed: boolean;
  /** Milliseconds, as `performance.now` has it. */
  readonly closed_at: number;
  /** On exec alone: a message to stdin. */
  send(text: string): void;
  close(): void;
}

/** How much of what came is kept. */
const KEPT = 64 * 1024;

export class GatewayClient {
  readonly #url: URL;
  readonly #ca: string;
  readonly #streams = new Set<ClientStream>();
  #session: ClientHttp2Session | undefined;
  token: string;

  constructor(url: string, ca: string, token: string) {
    this.#url = new URL(url);
    this.#ca = ca;
    this.token = token;
  }

  async get(path: string): Promise<Answer> {
    const stream = this.#request(path);
    let text = '';
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
    const [headers] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders];
    if (!stream.closed) await once(stream, 'close');
    return { status: Number(headers[':status']), headers, text };
  }

  /** Resolves when it is answered, and something of it came. */
  async watch(path: string): Promise<ClientStream> {
    const stream = this.#request(path);
    const state = { status: 0, text: '', closed: false, closed_at: 0 };
    stream.setEncoding('latin1').on('data', (chunk: string) => {
      state.text = (state.text + chunk).slice(-KEPT);
    });
    stream.on('error', () => undefined);
    const over = whenClosed(stream).then(() => {
      [state.closed, state.closed_at] = [true, performance.now()];
    });
    const [headers] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders];
    state.status = Number(headers[':status']);
    await Promise.race([once(stream, 'data'), over]);
    const acts = { send: () => undefined, close: () => stream.close(http2.constants.NGHTTP2_CANCEL) };
    return this.#keep(state, acts, over);
  }

  /** Resolves when it is answered. @param onData is called whenever something of the stream came */
  async exec(pod: string, onData: (stream: ClientStream) => void = () => undefined): Promise<ClientStream> {
    const { hostname, port, host } = this.#url;
    const socket = connect({ host: hostname, port: Number(port), ca: this.#ca, ALPNProtocols: ['http/1.1'] });
    socket.on('error', () => socket.destroy());
    const state = { status: 0, text: '', closed: false, closed_at: 0 };
    const over = whenClosed(socket).then(() => {
      [state.closed, state.closed_at] = [true, performance.now()];
    });
    const path = `/api/v1/namespaces/dev/pods/${pod}/exec?command=cat&stdin=true&stdout=true&stderr=true`;
    const head = [
      ...[`GET ${path} HTTP/1.1`, `host: ${host}`, `authorization: Bearer ${this.token}`],
      ...['connection: Upgrade', 'upgrade: websocket', 'sec-websocket-version: 13'],
      ...['sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==', 'sec-websocket-protocol: v5.channel.k8s.io'],
    ];
    socket.write(`${head.join('\r\n')}\r\n\r\n`);
    await Promise.race([headOf(socket, state), over]);
    socket.on('end', () => socket.end());
    const acts = {
      send: (text: string) => void (socket.writable && socket.write(maskedMessage(`\x00${text}`))),
      close: () => void socket.destroy(),
    };
    const stream = this.#keep(state, acts, over);
    socket.on('data', () => onData(stream));
    return stream;
  }

  close(): void {
    for (const stream of this.#streams) stream.close();
    this.#session?.destroy();
    this.#session = undefined;
  }

  #request(path: string): http2.ClientHttp2Stream {
    if (!this.#session || this.#session.closed || this.#session.destroyed) {
      this.#session = http2.connect(this.#url, { ca: this.#ca });
      this.#session.on('error', () => undefined);
    }
    return this.#session.request({ ':path': path, authorization: `Bearer ${this.token}` });
  }

  /** Until it is over: nothing is to grow with the number of streams that there were. */
  #keep(
    state: Omit<ClientStream, 'send' | 'close'>,
    acts: Pick<ClientStream, 'send' | 'close'>,
    over: Promise<void>,
  ): ClientStream {
    const stream: ClientStream = {
      get status() {
        return state.status;
      },
      get text() {
        return state.text;
      },
      get closed() {
        return state.closed;
      },
      get closed_at() {
        return state.closed_at;
      },
      ...acts,
    };
    this.#streams.add(stream);
    void over.then(() => this.#streams.delete(stream));
    return stream;
  }
}

/** Also by an error, which says itself that it is one. */
function whenClosed(stream: Duplex): Promise<void> {
  return new Promise((resolve) => void stream.once('close', resolve));
}

/** Reads the head, and keeps what comes after it. */
function headOf(socket: TLSSocket, state: { status: number; text: string }): Promise<void> {
  return new Promise((resolve) => {
    let head = '';
    socket.setEncoding('latin1').on('data', (chunk: string) => {
      if (state.status !== 0) {
        state.text = (state.text + chunk).slice(-KEPT);
        return;
      }
      head += chunk;
      const end = head.indexOf('\r\n\r\n');
      if (end < 0) return;
      state.status = Number(head.slice(9, 12));
      state.text = head.slice(end + 4);
      resolve();
    });
  });
}

/** RFC 6455 5.3, with a mask of zeros: what was sent is seen as it is. @param text of at most 125 bytes */
function maskedMessage(text: string): Buffer {
  const payload = Buffer.from(text, 'latin1');
  if (payload.length > 125) throw new TypeError('too long a message');
  return Buffer.concat([Buffer.from([0x82, 0x80 | payload.length, 0, 0, 0, 0]), payload]);
}
