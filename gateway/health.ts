// GET /metrics, /healthz and /readyz, on a listener of their own: on the other one every path is the API server's.

import http from 'node:http';
import https from 'node:https';
import { type TlsPair, tlsOptions } from '../serving/config/tls.ts';
import type { ClientCertificates } from '../serving/net/client_certificates.ts';
import type { ConnectionLimits } from '../serving/net/connections.ts';
import { HSTS } from '../serving/net/hsts.ts';
import { boundConnections } from '../serving/net/http_connections.ts';
import type { Metrics } from './metrics.ts';

/** Milliseconds. */
const REQUEST_MS = 5_000;
/** One more than these makes room for itself: whoever stays connected keeps nobody from asking. */
const LIMITS: ConnectionLimits = { all: 64, unproven: 32, unproven_of_address: 32, of_address: 64 };
/** Answers with all figures, at a time: what their readers do not take is kept meanwhile, and such connections make no room. */
const MOST_FIGURES = 4;

export interface HealthTls {
  readonly pair: TlsPair;
  /** Figures are for those alone that have one, where `pair` has a `client_ca`. */
  readonly certificates: ClientCertificates;
}

/** @param status `ok`, or why it is not ready */
export function createHealthServer(
  { registry }: Pick<Metrics, 'registry'>,
  status: () => string,
  tls?: HealthTls,
): http.Server {
  let figures = 0;
  const listener: http.RequestListener = (request, response) => {
    if (tls) response.setHeader(...HSTS);
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
      case '/metrics': {
        // A kubelet that asks whether it is ready has none.
        const fault = tls?.pair.client_ca === undefined ? undefined : tls.certificates.faultOf(request.socket);
        if (fault !== undefined) return say(401, 'text/plain', `${fault}\n`, { connection: 'close' });
        if (figures >= MOST_FIGURES) return say(503, 'text/plain', 'others are reading them\n', { 'retry-after': '1' });
        figures += 1;
        response.once('close', () => {
          figures -= 1;
        });
        registry.metrics().then(
          (text) => say(200, registry.contentType, text),
          () => say(500, 'text/plain', 'the metrics cannot be read\n'),
        );
        return;
      }
      default:
        return say(404, 'text/plain', 'only /metrics, /healthz and /readyz\n');
    }
  };
  const times = { headersTimeout: REQUEST_MS, requestTimeout: REQUEST_MS, connectionsCheckingInterval: 1_000 };
  const server = tls
    ? https.createServer({ ...times, ...tlsOptions(tls.pair), handshakeTimeout: REQUEST_MS }, listener)
    : http.createServer(times, listener);
  tls?.certificates.attach(server);
  boundConnections(server, LIMITS, () => undefined);
  return server;
}
