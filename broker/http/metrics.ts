// GET /metrics, on a listener of its own: whoever may read it need not reach the broker, and the other way round. It waits for
// no transaction, so it answers while the store does not.

import Fastify, { type FastifyInstance } from 'fastify';
import { type TlsPair, tlsOptions } from '../../serving/config/tls.ts';
import type { ClientCertificates } from '../../serving/net/client_certificates.ts';
import type { ConnectionLimits } from '../../serving/net/connections.ts';
import { HSTS } from '../../serving/net/hsts.ts';
import { boundConnections } from '../../serving/net/http_connections.ts';
import type { Broker } from '../broker.ts';
import { countOverdue } from '../sessions/bound_secrets.ts';
import { countOpen } from '../sessions/connections.ts';
import { countActive } from '../sessions/lists.ts';
import { countOverdueRoles } from '../sessions/session_roles.ts';

/** Milliseconds; a peer that is slower than this is cut. */
const REQUEST_MS = 5_000;

/** What the figures are of. */
export type Shown = Pick<
  Broker,
  'metrics' | 'store' | 'config' | 'keys' | 'identityProvider' | 'clock' | 'replicas' | 'turn' | 'now'
>;

export function createMetricsServer(
  broker: Shown,
  limits: ConnectionLimits,
  tls: TlsPair | undefined,
  certificates: ClientCertificates,
): FastifyInstance {
  const http = { headersTimeout: REQUEST_MS, requestTimeout: REQUEST_MS, connectionsCheckingInterval: 1_000 };
  const common = { bodyLimit: 1, forceCloseConnections: true };
  const app: FastifyInstance = tls
    ? Fastify({ ...common, https: { ...http, ...tlsOptions(tls), handshakeTimeout: REQUEST_MS } })
    : Fastify({ ...common, http });
  if (tls) {
    certificates.attach(app.server);
    app.addHook('onRequest', async ({ raw }, reply) => {
      reply.header(...HSTS);
      const fault = tls.client_ca === undefined ? undefined : certificates.faultOf(raw.socket);
      if (fault !== undefined)
        return reply.code(401).header('Connection', 'close').type('text/plain').send(`${fault}\n`);
    });
  }
  boundConnections(app.server, limits, () => undefined);
  const { metrics } = broker;
  app.get('/metrics', async (_request, reply) =>
    reply.type(metrics.registry.contentType).send(await metrics.render(await lookUp(broker))),
  );
  app.setNotFoundHandler((_request, reply) => reply.code(404).type('text/plain').send('only /metrics\n'));
  return app;
}

async function lookUp({ store, config, keys, identityProvider, clock, replicas, turn, now }: Shown) {
  // Without an answer of the store that one figure is missing, and the ones that tell of its failures are there.
  const active = await store.read(countActive).catch(() => undefined);
  const secrets_overdue = await store.read((db) => countOverdue(db, now())).catch(() => undefined);
  const connections = await store.read((db) => countOpen(db, now())).catch(() => undefined);
  const roles_overdue = await store.read((db) => countOverdueRoles(db, now())).catch(() => undefined);
  return {
    now: now(),
    config,
    living: active,
    secrets_overdue,
    connections,
    roles_overdue,
    signing_since: keys.signing.sign_from,
    clock_fault: clock.fault(),
    clock_ahead: clock.ahead(),
    store_fault: store.fault,
    feed: replicas.feed,
    turn: turn.held,
    in_step: replicas.policies.inStep,
    identity_provider_failures: identityProvider.failures,
  };
}
