// JSON events of a watch, one a line: an event of ours may stand between two of them.

import type { FrameScan } from './scan.ts';

const NEWLINE = 0x0a;

/** How an event begins that only says how far the watch has come: the API server sends one each minute. */
const BOOKMARK = '{"type":"BOOKMARK"';

export class LineScan implements FrameScan {
  whole = true;
  /** Of the line that is under way. */
  #beginning = '';

  /** @returns whether some of it is an event, and not a bookmark */
  push(bytes: Uint8Array): boolean {
    const all = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    let is_output = false;
    for (let at = 0; at < all.length; ) {
      if (this.whole) this.#beginning = '';
      const end = all.indexOf(NEWLINE, at) + 1 || all.length;
      const missing = BOOKMARK.length - this.#beginning.length;
      this.#beginning += all.toString('latin1', at, Math.min(end, at + missing));
      if (!BOOKMARK.startsWith(this.#beginning)) is_output = true;
      this.whole = all[end - 1] === NEWLINE;
      at = end;
    }
    return is_output;
  }

  finish(bytes: Uint8Array): number {
    const at = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).indexOf(NEWLINE);
    const end = at < 0 ? bytes.length : at + 1;
    this.push(bytes.subarray(0, end));
    return end;
  }
}
