// GET /metrics, /healthz and /readyz, on a listener of their own: on the other one every path is the API server's.

import http from 'node:http';
import type { ConnectionLimits } from '../serving/net/connections.ts';
import { boundConnections } from '../serving/net/http_connections.ts';
import type { Metrics } from './metrics.ts';

/** Milliseconds. */
const REQUEST_MS = 5_000;
/** One more than these makes room for itself: whoever stays connected keeps nobody from asking. */
const LIMITS: ConnectionLimits = { all: 64, unproven: 32, unproven_of_address: 32, of_address: 64 };
/** Answers with all figures, at a time: what their readers do not take is kept meanwhile, and such connections make no room. */
const MOST_FIGURES = 4;

/** @param status `ok`, or why it is not ready */
export function createHealthServer({ registry }: Pick<Metrics, 'registry'>, status: () => string): http.Server {
  let figures = 0;
  const server = http.createServer(
    { headersTimeout: REQUEST_MS, requestTimeout: REQUEST_MS, connectionsCheckingInterval: 1_000 },
    (request, response) => {
      const say = (code: number, type: string, text: string, more = {}) =>
        response.writeHead(code, { 'content-type': type, 'x-content-type-options': 'nosniff', ...more }).end(text);
      if (request.method !== 'GET') return say(405, 'text/plain', 'only GET\n');
      switch (request.url) {
        case '/healthz':
          return say(200, 'application/json', '{"status":"ok"}');
        case '/readyz': {
          const now = status();
          return say(now === 'ok' ? 200 : 503, 'application/json', JSON.stringify({ status: now }));
        }
        case '/metrics':
          if (figures >= MOST_FIGURES)
            return say(503, 'text/plain', 'others are reading them\n', { 'retry-after': '1' });
          figures += 1;
          response.once('close', () => {
            figures -= 1;
          });
          registry.metrics().then(
            (text) => say(200, registry.contentType, text),
            () => say(500, 'text/plain', 'the metrics cannot be read\n'),
          );
          return;
        default:
          return say(404, 'text/plain', 'only /metrics, /healthz and /readyz\n');
      }
    },
  );
  boundConnections(server, LIMITS, () => undefined);
  return server;
}
