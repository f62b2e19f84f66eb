// What every reader of frames tells: it copies nothing, changes nothing, and knows at each byte whether something may be put between.

/** Follows one direction of a connection. */
export interface FrameScan {
  /** Takes what passes. @returns whether some of it is use: data, and no ping, resize or empty frame */
  push(bytes: Uint8Array): boolean;
  /** Takes no more than the rest of what has begun. @returns how many bytes that were */
  finish(bytes: Uint8Array): number;
  /** Whether nothing is half sent. */
  readonly whole: boolean;
}
