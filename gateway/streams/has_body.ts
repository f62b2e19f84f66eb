// Whether a request has a body, over HTTP/2 or HTTP/1.1.

import type { IncomingMessage } from 'node:http';
import type { Http2ServerRequest, ServerHttp2Stream } from 'node:http2';

export function hasBody(request: IncomingMessage | Http2ServerRequest): boolean {
  if ('stream' in request) return !(request.stream as ServerHttp2Stream).endAfterHeaders;
  const { 'content-length': length = '0', 'transfer-encoding': encoding } = request.headers;
  return encoding !== undefined || Number(length) !== 0;
}
