// Bytes between a client's WebSocket and a target: as they come, and no faster than the other side takes them. A slow reader on either side
// makes the other wait; what is kept meanwhile is bounded.

import type { Socket } from 'node:net';
import type { RawData, WebSocket } from 'ws';
import type { Opened } from '../live/opened.ts';
import { FORBIDDEN_FRAME, type Refusal, TARGET_LOST } from '../words.ts';
import { CLOSE, closeWith, reasonOf } from './closing.ts';
import { reset } from './upstream.ts';

/** Bytes that wait for the client at most, but for the piece that came last: then nothing more is read of the target. */
const MOST_WAITING = 128 * 1024;
/** Milliseconds for the target to take the last bytes of a client that has gone. */
const LAST_BYTES_MS = 5_000;
/** The one text frame of a client, and of the gateway: nothing more comes from that side. */
const EOF = 'eof';

export interface RelayParts {
  readonly client: WebSocket;
  /** Connected. */
  readonly upstream: Socket;
  readonly opened: Opened;
  /** Whether one side may end and the other go on. */
  readonly half_closes: boolean;
  /** Is told why it ended, where that is neither side's own wish. */
  readonly onFailure: (refusal: Refusal) => void;
}

export class Relay {
  readonly #parts: RelayParts;
  /** Nothing more is passed on, either way. */
  #over = false;
  /** Writes that the target's side of the system has not taken yet. */
  #unwritten = 0;
  #client_ended = false;
  #target_ended = false;

  constructor(parts: RelayParts) {
    this.#parts = parts;
    const { client, upstream } = parts;
    client.on('message', (data, is_binary) => this.#fromClient(data, is_binary));
    client.on('error', () => this.#failed());
    client.on('close', (code) => this.#clientGone(code));
    upstream.on('drain', () => this.#over || client.resume());
    upstream.on('data', (bytes) => this.#fromTarget(bytes));
    upstream.on('end', () => this.#targetEnded());
    upstream.on('close', () => this.#targetGone());
    client.resume();
  }

  /** The target first: whatever the client does or does not read, nothing of it goes on there. */
  cut(refusal: Refusal): void {
    this.#breakOff();
    closeWith(this.#parts.client, refusal);
  }

  /** A line for the person, which no program takes for bytes. */
  warn(text: string): void {
    const { client } = this.#parts;
    if (client.readyState === client.OPEN) client.send(`warning: ${text}`);
  }

  /** Keeps the connection open through what is between; says nothing of the person. */
  ping(): void {
    const { client } = this.#parts;
    if (!this.#over && client.readyState === client.OPEN && client.bufferedAmount === 0) client.ping();
  }

  #fromClient(data: RawData, is_binary: boolean): void {
    const { upstream, opened, client, half_closes } = this.#parts;
    if (this.#over) return;
    const bytes = data as Buffer;
    const is_end = !is_binary && half_closes && bytes.toString() === EOF;
    // Nor does anything come after the end.
    if (this.#client_ended || !(is_binary || is_end)) this.#refuse(FORBIDDEN_FRAME);
    else if (is_end) this.#clientEnded();
    else if (bytes.length > 0) {
      opened.sent(bytes.length, true);
      this.#unwritten += 1;
      if (!upstream.write(bytes, () => this.#written())) client.pause();
    }
  }

  #fromTarget(bytes: Buffer): void {
    const { client, opened, upstream } = this.#parts;
    if (this.#over || client.readyState !== client.OPEN) return;
    opened.received(bytes.length, true);
    client.send(bytes, { binary: true }, () => {
      if (upstream.isPaused() && !this.#isFull()) upstream.resume();
    });
    if (this.#isFull()) upstream.pause();
  }

  #isFull(): boolean {
    return this.#parts.client.bufferedAmount >= MOST_WAITING;
  }

  #clientEnded(): void {
    this.#client_ended = true;
    this.#endIfWritten();
    this.#closeIfBothEnded();
  }

  #written(): void {
    this.#unwritten -= 1;
    this.#endIfWritten();
  }

  /** Not before: what is being ended cannot be reset, and what still waits would reach the target. */
  #endIfWritten(): void {
    if (this.#client_ended && this.#unwritten === 0) this.#parts.upstream.end();
  }

  /** All that it sent was passed on before. */
  #targetEnded(): void {
    const { client, half_closes } = this.#parts;
    if (this.#over) return;
    this.#target_ended = true;
    if (half_closes && client.readyState === client.OPEN) client.send(EOF);
    if (half_closes) this.#closeIfBothEnded();
    else client.close(CLOSE.normal);
  }

  #closeIfBothEnded(): void {
    if (this.#client_ended && this.#target_ended) this.#parts.client.close(CLOSE.normal);
  }

  #targetGone(): void {
    const { client, opened, onFailure } = this.#parts;
    const was_over = this.#over;
    this.#over = true;
    if (!was_over && !this.#target_ended) {
      onFailure(TARGET_LOST);
      // What came before goes to the client first.
      client.close(CLOSE.target, reasonOf(TARGET_LOST));
    } else if (!was_over && client.readyState === client.OPEN) client.close(CLOSE.normal);
    client.resume();
    if (client.readyState === client.CLOSED) opened.close();
  }

  /** Whoever says goodbye has sent all that was to be sent; of anybody else it is not known. */
  #clientGone(code: number): void {
    const { upstream, opened } = this.#parts;
    if (!this.#over && code === CLOSE.normal && !upstream.destroyed) {
      this.#over = true;
      this.#client_ended = true;
      this.#endIfWritten();
      // Nobody reads what it still says.
      upstream.resume();
      setTimeout(() => reset(upstream), LAST_BYTES_MS).unref();
    } else this.#breakOff();
    if (upstream.destroyed) opened.close();
  }

  #refuse(refusal: Refusal): void {
    if (this.#over) return;
    this.#parts.onFailure(refusal);
    this.cut(refusal);
  }

  /** A frame that cannot be: what is wrong with it was told already. */
  #failed(): void {
    this.#refuse(FORBIDDEN_FRAME);
  }

  #breakOff(): void {
    this.#over = true;
    reset(this.#parts.upstream);
  }
}
