// A person's client of a connection to a target: what came, and how it ended.

import type { IncomingMessage } from 'node:http';
import type { WebSocket } from 'ws';
import { until } from './patience.ts';

/** What a gateway answered in place of the upgrade. */
export class Refused extends Error {
  readonly status: number;
  readonly code: string;
  readonly headers: IncomingMessage['headers'];

  constructor(response: IncomingMessage, text: string) {
    super(text);
    this.status = response.statusCode ?? 0;
    this.headers = response.headers;
    this.code = text.startsWith('{') ? String((JSON.parse(text) as { readonly code: unknown }).code) : text;
  }
}

export class TargetClient {
  readonly socket: WebSocket;
  readonly opened: Promise<void>;
  /** Text frames. */
  readonly texts: string[] = [];
  #chunks: Buffer[] = [];
  /** Bytes that came. */
  received = 0;
  pings = 0;
  /** How it was closed: 1006 where it broke. */
  closed: { readonly code: number; readonly reason: string; readonly at: number } | undefined;

  constructor(socket: WebSocket) {
    this.socket = socket;
    socket.on('message', (data: Buffer, is_binary) => {
      if (!is_binary) this.texts.push(data.toString());
      else this.#take(data);
    });
    socket.on('ping', () => {
      this.pings += 1;
    });
    socket.once('close', (code, reason) => {
      this.closed = { code, reason: reason.toString(), at: performance.now() };
    });
    this.opened = new Promise((resolve, reject) => {
      socket.once('open', resolve);
      socket.on('error', reject);
      socket.once('unexpected-response', (_request, response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk) => {
          text += chunk;
        });
        response.once('end', () => {
          reject(new Refused(response, text));
          socket.terminate();
        });
      });
    });
    this.opened.catch(() => undefined);
  }

  /** Of what came, the newest: as text. */
  get text(): string {
    return Buffer.concat(this.#chunks).toString('latin1');
  }

  send(bytes: string | Buffer): void {
    this.socket.send(Buffer.from(bytes), { binary: true });
  }

  /** A text frame. */
  say(text: string): void {
    this.socket.send(text, { binary: false });
  }

  async untilText(text: string): Promise<void> {
    await until(() => this.text.endsWith(text), `${JSON.stringify(text)} does not come`);
  }

  async untilClosed(): Promise<{ readonly code: number; readonly reason: string; readonly at: number }> {
    await until(() => this.closed !== undefined, 'it is not closed');
    return this.closed as NonNullable<typeof this.closed>;
  }

  terminate(): void {
    this.socket.terminate();
  }

  #take(data: Buffer): void {
    this.received += data.length;
    this.#chunks.push(data);
    // What is far back is of no interest, and would be counted as held.
    if (this.#chunks.length > 64) this.#chunks = this.#chunks.slice(-32);
  }
}
