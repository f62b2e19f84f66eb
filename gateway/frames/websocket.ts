// WebSocket (RFC 6455 5): frames counted, nothing copied. What stands in messages is told by whoever asks: channels of Kubernetes, SPDY
// that is tunnelled, or anything.

import { type FrameScan, finishFrame } from './scan.ts';
import type { SpdyScan } from './spdy.ts';

const TEXT = 1;
const BINARY = 2;
const CLOSE = 8;
const FIN = 0x80;
const MASKED = 0x80;
/** The longest header: two bytes, a length of eight, a mask of four. */
const HEADER_BYTES = 14;
/** RFC 6455 5.5: of a control frame, two of which are the code. */
const LONGEST_REASON_BYTES = 123;

/** What messages hold. */
export type Content =
  /** Kubernetes' channels: the first byte of a message is its channel, in digits where the subprotocol is a base64 one. */
  | { readonly kind: 'channels'; readonly counts: (channel: number) => boolean; readonly digits: boolean }
  | { readonly kind: 'spdy'; readonly inner: SpdyScan }
  | { readonly kind: 'anything' };

export class WebSocketScan implements FrameScan {
  readonly #content: Content;
  readonly #header = Buffer.alloc(HEADER_BYTES);
  #filled = 0;
  #needed = 2;
  #left = 0;
  /** Of the frame that is under way. */
  #data = false;
  #length = 0;
  #mask: Buffer | undefined;
  #taken = 0;
  /** Of the message that is under way. */
  #begins = false;
  #counts = false;
  #fragmented = false;

  constructor(content: Content) {
    this.#content = content;
  }

  /** Between messages: a data frame in the middle of one that is fragmented would belong to it. */
  get whole(): boolean {
    return this.betweenFrames && !this.#fragmented;
  }

  /** Where a control frame may stand. */
  get betweenFrames(): boolean {
    return this.#left === 0 && this.#filled === 0;
  }

  push(bytes: Uint8Array): boolean {
    let used = false;
    for (let at = 0; at < bytes.length; ) {
      if (this.#left > 0) {
        const count = Math.min(this.#left, bytes.length - at);
        if (this.#data && this.#payload(bytes, at, at + count)) used = true;
        this.#left -= count;
        at += count;
      } else {
        this.#header[this.#filled++] = bytes[at] ?? 0;
        at += 1;
        if (this.#filled === this.#needed) this.#grow();
      }
    }
    return used;
  }

  finish(bytes: Uint8Array): number {
    return finishFrame(this, bytes, () => this.#left);
  }

  /** The header is here as far as it was needed: it says how long it is. */
  #grow(): void {
    const second = this.#header[1] ?? 0;
    const short = second & 0x7f;
    const lengthBytes = short === 126 ? 2 : short === 127 ? 8 : 0;
    const whole = 2 + lengthBytes + ((second & MASKED) !== 0 ? 4 : 0);
    if (this.#filled < whole) {
      this.#needed = whole;
      return;
    }
    this.#length =
      lengthBytes === 0
        ? short
        : lengthBytes === 2
          ? this.#header.readUInt16BE(2)
          : Number(this.#header.readBigUInt64BE(2));
    this.#mask = (second & MASKED) === 0 ? undefined : Buffer.from(this.#header.subarray(whole - 4, whole));
    this.#begin();
    this.#filled = 0;
    this.#needed = 2;
  }

  #begin(): void {
    const first = this.#header[0] ?? 0;
    const operation = first & 0x0f;
    this.#data = operation < CLOSE;
    this.#left = this.#length;
    this.#taken = 0;
    if (!this.#data) return;
    this.#fragmented = (first & FIN) === 0;
    // A continuation is of the channel of its message.
    if (operation !== 0) {
      this.#begins = true;
      this.#counts = false;
    }
  }

  #payload(bytes: Uint8Array, start: number, end: number): boolean {
    const mask = this.#mask;
    const offset = this.#taken - start;
    const byteAt = mask ? (at: number) => (bytes[at] ?? 0) ^ (mask[(at + offset) & 3] ?? 0) : undefined;
    this.#taken += end - start;
    const content = this.#content;
    switch (content.kind) {
      case 'anything':
        return true;
      case 'spdy':
        return content.inner.pushPart(bytes, start, end, byteAt);
      case 'channels': {
        if (!this.#begins) return this.#counts;
        this.#begins = false;
        const channel = (byteAt ? byteAt(start) : (bytes[start] ?? 0)) - (content.digits ? 0x30 : 0);
        this.#counts = content.counts(channel);
        // The channel alone is no data.
        return this.#counts && end - start > 1;
      }
    }
  }
}

/** A message of a server, in one frame: without a mask (RFC 6455 5.1). */
export function webSocketMessage(payload: Uint8Array, text = false): Buffer {
  return frame(text ? TEXT : BINARY, payload);
}

/** @param reason is cut where it is longer than a control frame */
export function webSocketClose(code: number, reason = ''): Buffer {
  const head = Buffer.alloc(2);
  head.writeUInt16BE(code);
  return frame(CLOSE, Buffer.concat([head, cutText(reason)]));
}

function frame(operation: number, payload: Uint8Array): Buffer {
  const { length } = payload;
  const short = Buffer.from([FIN | operation, Math.min(length, 126)]);
  const long = Buffer.alloc(length < 126 ? 0 : 2);
  if (length >= 126) long.writeUInt16BE(length);
  return Buffer.concat([short, long, payload]);
}

/** No half of a character. */
function cutText(text: string): Buffer {
  const characters = [...text];
  while (Buffer.byteLength(characters.join('')) > LONGEST_REASON_BYTES) characters.pop();
  return Buffer.from(characters.join(''));
}
