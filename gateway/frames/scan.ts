// What every reader of frames tells: it copies nothing, changes nothing, and knows at each byte whether something may be put between.

/** Follows one direction of a connection. */
export interface FrameScan {
  /** Takes what passes. @returns whether some of it is use, or output: data, and no ping, resize or empty frame */
  push(bytes: Uint8Array): boolean;
  /** Takes no more than the rest of what has begun. @returns how many bytes that were */
  finish(bytes: Uint8Array): number;
  /** Whether nothing is half sent. */
  readonly whole: boolean;
}

/** `finish` of a reader: of a payload all that is left at once, of a header byte by byte, as each may be its last. @param left of the payload */
export function finishFrame(scan: Pick<FrameScan, 'push' | 'whole'>, bytes: Uint8Array, left: () => number): number {
  let at = 0;
  while (at < bytes.length && !scan.whole) {
    const count = Math.min(left() || 1, bytes.length - at);
    scan.push(bytes.subarray(at, at + count));
    at += count;
  }
  return at;
}
