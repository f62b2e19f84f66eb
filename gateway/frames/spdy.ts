// SPDY/3.1 as Kubernetes streams with it: frames counted, nothing copied. Which data is use is said by the stream it is on.

import { type FrameScan, finishFrame } from './scan.ts';

const HEADER_BYTES = 8;
const CONTROL = 0x80;
const FIN = 0x01;

/** @param counts whether data on a stream is use */
export class SpdyScan implements FrameScan {
  readonly #counts: (stream: number) => boolean;
  readonly #header = new Uint8Array(HEADER_BYTES);
  #filled = 0;
  #left = 0;

  constructor(counts: (stream: number) => boolean = () => true) {
    this.#counts = counts;
  }

  get whole(): boolean {
    return this.#left === 0 && this.#filled === 0;
  }

  push(bytes: Uint8Array): boolean {
    return this.pushPart(bytes, 0, bytes.length, undefined);
  }

  /** @param byteAt what stands at an index, where that is masked */
  pushPart(bytes: Uint8Array, start: number, end: number, byteAt: ((at: number) => number) | undefined): boolean {
    let used = false;
    for (let at = start; at < end; ) {
      if (this.#left > 0) {
        const count = Math.min(this.#left, end - at);
        this.#left -= count;
        at += count;
        continue;
      }
      this.#header[this.#filled++] = byteAt ? byteAt(at) : (bytes[at] ?? 0);
      at += 1;
      if (this.#filled === HEADER_BYTES && this.#begin()) used = true;
    }
    return used;
  }

  finish(bytes: Uint8Array): number {
    return finishFrame(this, bytes, () => this.#left);
  }

  /** @returns whether the frame whose header is here is data that is use */
  #begin(): boolean {
    this.#filled = 0;
    const [first = 0, second = 0, third = 0, fourth = 0, , high = 0, middle = 0, low = 0] = this.#header;
    this.#left = (high << 16) | (middle << 8) | low;
    if ((first & CONTROL) !== 0 || this.#left === 0) return false;
    return this.#counts(((first & 0x7f) << 24) | (second << 16) | (third << 8) | fourth);
  }
}

/** A data frame. @param last whether the stream ends with it on this side */
export function spdyData(stream: number, last: boolean, payload: Uint8Array): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32BE(stream, 0);
  header[4] = last ? FIN : 0;
  header.writeUIntBE(payload.length, 5, 3);
  return Buffer.concat([header, payload]);
}
