// The HTTP service: routes, limits of size and time, errors as answers, and how it stops.

import Fastify, { type FastifyError, type FastifyInstance, type FastifyReply } from 'fastify';
import type { Logger } from 'pino';
import { type TlsPair, tlsOptions } from '../../serving/config/tls.ts';
import type { ClientCertificates } from '../../serving/net/client_certificates.ts';
import type { ConnectionLimits } from '../../serving/net/connections.ts';
import { HSTS } from '../../serving/net/hsts.ts';
import { boundConnections } from '../../serving/net/http_connections.ts';
import { sayCuts } from '../../serving/net/say_cut.ts';
import { type Code, CurfewError } from '../../shared/errors.ts';
import type { Broker } from '../broker.ts';
import { encryptionOf } from '../encryption.ts';
import { Rarely } from '../refusals/rarely.ts';
import { createProofVerifier } from '../tokens/dpop.ts';
import { sendError } from './answer.ts';
import { tellAddresses } from './client_address.ts';
import { LARGEST_BODY_BYTES } from './form.ts';
import { type GatewayParts, gatewayRoutes } from './gateways.ts';
import { introspectionRoutes } from './introspection.ts';
import { metadataRoutes } from './metadata.ts';
import { faultOfHead } from './request_head.ts';
import { sessionRoutes } from './sessions.ts';
import { logoutRoute, pushRoute } from './signals.ts';
import { type TokenParts, tokenRoutes } from './token.ts';
import { type Traffic, type TrafficParts, watchTraffic } from './traffic.ts';
import { answerBadTarget, answerExpectations, answerUnreadable } from './unreadable.ts';
import { type WebhookParts, webhookRoutes } from './webhooks.ts';

/** Milliseconds; a peer that is slower than this is cut. */
const REQUEST_MS = 8_000;
const HEADERS_MS = 5_000;
const KEEP_ALIVE_MS = 30_000;
const HANDSHAKE_MS = 5_000;

export interface Readiness {
  /** False from the first word of a stop on, so that whoever routes requests sends them elsewhere. */
  accepting: boolean;
  /** Once no request is taken any more: what still comes, on a connection that is open, is for another broker. */
  draining: boolean;
  /** What keeps the store from being used, by what it last did. */
  readonly storeFault: () => string | undefined;
  /** Whether all replicas are to have another configuration, which this one did not take in time. */
  readonly policyFault: () => string | undefined;
}

export interface ServerOptions {
  readonly log: Logger;
  readonly readiness: Readiness;
  /** TLS material in PEM; plain HTTP without it. */
  readonly tls?: TlsPair | undefined;
  readonly limits: ConnectionLimits;
  /** Of its clients. */
  readonly certificates: ClientCertificates;
}

/** What all routes work with. */
export type ServerParts = TokenParts &
  Parameters<typeof metadataRoutes>[1] &
  Parameters<typeof introspectionRoutes>[1] &
  Parameters<typeof sessionRoutes>[1] &
  Parameters<typeof logoutRoute>[1] &
  WebhookParts &
  GatewayParts &
  TrafficParts;

export function createServer(
  broker: ServerParts,
  { log, readiness, tls, limits, certificates }: ServerOptions,
): FastifyInstance {
  const { config } = broker;
  const is_secure = tls !== undefined;
  const http = {
    ...{ headersTimeout: HEADERS_MS, requestTimeout: REQUEST_MS, connectionsCheckingInterval: 1_000 },
    // Looked at with the rest of the head, and answered like that.
    requireHostHeader: false,
  };
  const common = {
    bodyLimit: LARGEST_BODY_BYTES,
    keepAliveTimeout: KEEP_ALIVE_MS,
    requestTimeout: REQUEST_MS,
    forceCloseConnections: 'idle' as const,
    // We say so ourselves, with the code.
    return503OnClosing: false,
    clientErrorHandler: answerUnreadable(is_secure),
    frameworkErrors: answerBadTarget(is_secure),
  };
  const app: FastifyInstance = tls
    ? Fastify({ ...common, https: { ...http, ...tlsOptions(tls), handshakeTimeout: HANDSHAKE_MS } })
    : Fastify({ ...common, http });

  const connections = boundConnections(app.server, limits, sayCuts(log));
  app.addHook('preClose', (done) => {
    connections.close();
    done();
  });
  if (is_secure) certificates.attach(app.server);
  answerExpectations(app.server, is_secure);
  tellAddresses(app, config.trusted_proxies);
  app.addHook('onRequest', ({ raw }, reply, done) => {
    if (connections.isCut(raw)) {
      reply.hijack();
      return;
    }
    const fault = faultOfHead(raw);
    if (readiness.draining) done(new CurfewError('draining', 'the broker is stopping'));
    else done(fault === undefined ? undefined : new CurfewError('request_invalid', fault));
  });
  app.addHook('onSend', (_request, reply, payload, done) => {
    reply.header('X-Content-Type-Options', 'nosniff');
    // Nothing here is for a cache unless its route says so (RFC 6749 5.1, RFC 9110 15.5).
    if (!reply.hasHeader('Cache-Control')) reply.header('Cache-Control', 'no-store');
    if (is_secure) reply.header(...HSTS);
    if (!readiness.accepting) reply.header('Connection', 'close');
    done(null, payload);
  });
  const prefix = new URL(config.issuer).pathname.replace(/\/$/, '');
  const traffic = watchTraffic(app, broker, { log, prefix });
  app.addHook('onClose', async () => traffic.stop());
  const said = new Rarely();
  app.setErrorHandler((error, request, reply) => {
    const failure = asFailure(error);
    const { url: route } = request.routeOptions;
    if (failure.code === 'internal') log.error({ route, name: nameOf(error) }, 'unexpected error');
    else if (failure.code === 'store') {
      // Anybody's requests meet it while the store is away.
      const unsaid = said.note(`store ${route}`, broker.now());
      if (unsaid !== undefined) log.error({ route, ...(unsaid > 0 && { unsaid }) }, 'the store failed');
    }
    return sendError(reply, failure);
  });
  app.setNotFoundHandler((_request, reply) =>
    reply
      .code(404)
      .send({ error: 'invalid_request', error_description: 'there is nothing here', reason: 'request_invalid' }),
  );

  const proofs = createProofVerifier(() => encryptionOf(broker.config)(), broker.now);
  app.register(
    async (scope) => {
      metadataRoutes(scope, broker);
      tokenRoutes(scope, broker, proofs);
      introspectionRoutes(scope, broker, proofs, certificates);
      sessionRoutes(scope, broker, proofs);
      logoutRoute(scope, broker);
      for (const url of ['/token', '/revoke', '/introspect', '/backchannel-logout']) {
        scope.route({ method: ['GET', 'PUT', 'DELETE', 'PATCH'], url, handler: (_request, reply) => onlyPost(reply) });
      }
    },
    { prefix },
  );
  app.register(async (scope) => webhookRoutes(scope, broker, certificates), { prefix });
  app.register(async (scope) => gatewayRoutes(scope, broker), { prefix });
  app.register(async (scope) => pushRoute(scope, broker), { prefix });
  app.get('/healthz', async () => ({ status: 'ok' }));
  app.get('/readyz', async (_request, reply) => {
    const status = statusOf(broker, readiness, traffic);
    return reply.code(status === 'ok' ? 200 : 503).send({ status });
  });
  return app;
}

/** What `/readyz` says: `ok`, or what keeps the broker from its work. */
function statusOf(
  { clock }: Pick<Broker, 'clock'>,
  { accepting, storeFault, policyFault }: Readiness,
  { overloaded }: Pick<Traffic, 'overloaded'>,
): 'ok' | 'stopping' | 'policy' | Code {
  if (!accepting) return 'stopping';
  if (clock.fault() !== undefined) return 'clock';
  if (storeFault() !== undefined) return 'store';
  if (policyFault() !== undefined) return 'policy';
  return overloaded() ? 'busy' : 'ok';
}

/** RFC 9110 15.5.6 */
function onlyPost(reply: FastifyReply): FastifyReply {
  const refusal = { error: 'invalid_request', error_description: 'only POST', reason: 'request_invalid' };
  return reply.code(405).header('Allow', 'POST').send(refusal);
}

/** Fastify's own refusals (size, media type) have a status below 500; all else that is not ours is our bug. */
function asFailure(error: unknown): CurfewError {
  if (error instanceof CurfewError) return error;
  const { statusCode } = error as Partial<FastifyError>;
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
    return new CurfewError('request_invalid', statusCode === 415 ? 'expected a form' : 'the request cannot be read', {
      cause: error,
    });
  }
  return new CurfewError('internal', 'unexpected error', { cause: error });
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : typeof error;
}
