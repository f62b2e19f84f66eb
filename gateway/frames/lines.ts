// JSON events of a watch, one a line: an event of ours may stand between two of them.

import type { FrameScan } from './scan.ts';

const NEWLINE = 0x0a;

export class LineScan implements FrameScan {
  whole = true;

  /** What comes from the API server is not a use. */
  push(bytes: Uint8Array): boolean {
    if (bytes.length > 0) this.whole = bytes[bytes.length - 1] === NEWLINE;
    return false;
  }

  finish(bytes: Uint8Array): number {
    const at = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).indexOf(NEWLINE);
    const end = at < 0 ? bytes.length : at + 1;
    this.push(bytes.subarray(0, end));
    return end;
  }
}
