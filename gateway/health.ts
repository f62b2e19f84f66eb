// GET /metrics, /healthz and /readyz, on a listener of their own: on the other one every path is the API server's.

import http from 'node:http';
import type { Metrics } from './metrics.ts';

/** Milliseconds. */
const REQUEST_MS = 5_000;
const MOST_CONNECTIONS = 64;

/** @param status `ok`, or why it is not ready */
export function createHealthServer({ registry }: Pick<Metrics, 'registry'>, status: () => string): http.Server {
  const server = http.createServer(
    { headersTimeout: REQUEST_MS, requestTimeout: REQUEST_MS, connectionsCheckingInterval: 1_000 },
    (request, response) => {
      const say = (code: number, type: string, text: string) =>
        response.writeHead(code, { 'content-type': type, 'x-content-type-options': 'nosniff' }).end(text);
      if (request.method !== 'GET') return say(405, 'text/plain', 'only GET\n');
      switch (request.url) {
        case '/healthz':
          return say(200, 'application/json', '{"status":"ok"}');
        case '/readyz': {
          const now = status();
          return say(now === 'ok' ? 200 : 503, 'application/json', JSON.stringify({ status: now }));
        }
        case '/metrics':
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
  server.maxConnections = MOST_CONNECTIONS;
  return server;
}
