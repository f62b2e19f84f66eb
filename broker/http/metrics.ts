// GET /metrics, on a listener of its own: whoever may read it need not reach the broker, and the other way round. It waits for
// no transaction, so it answers while the store does not.

import Fastify, { type FastifyInstance } from 'fastify';
import type { ConnectionLimits } from '../../serving/net/connections.ts';
import { boundConnections } from '../../serving/net/http_connections.ts';
import type { Broker } from '../broker.ts';
import { countOverdue } from '../sessions/bound_secrets.ts';
import { countActive } from '../sessions/lists.ts';

/** Milliseconds; a peer that is slower than this is cut. */
const REQUEST_MS = 5_000;

/** What the figures are of. */
export type Shown = Pick<
  Broker,
  'metrics' | 'store' | 'config' | 'keys' | 'identityProvider' | 'clock' | 'replicas' | 'turn' | 'now'
>;

export function createMetricsServer(broker: Shown, limits: ConnectionLimits): FastifyInstance {
  const app: FastifyInstance = Fastify({
    http: { headersTimeout: REQUEST_MS, requestTimeout: REQUEST_MS, connectionsCheckingInterval: 1_000 },
    bodyLimit: 1,
    forceCloseConnections: true,
  });
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
  return {
    now: now(),
    config,
    living: active,
    secrets_overdue,
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
