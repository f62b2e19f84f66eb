// How a stream of HTTP/2 is broken off, so that its other side knows it. `close()` of Node.js ends it first (END_STREAM), whatever its code:
// half a body would look whole.

import type { Http2Stream } from 'node:http2';

/** By RST_STREAM alone, with INTERNAL_ERROR. What is not sent yet is not sent. */
export function breakOff(stream: Http2Stream): void {
  if (!stream.destroyed) stream.destroy(new Error('broken off'));
}
