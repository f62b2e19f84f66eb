// The listener of the metrics, with its certificate and what was minted before this process began.

import type { Logger } from 'pino';
import { readTlsPair, watchTls } from '../../serving/config/tls.ts';
import { ClientCertificates } from '../../serving/net/client_certificates.ts';
import type { ConnectionLimits } from '../../serving/net/connections.ts';
import { between } from '../../shared/time.ts';
import { MOST_SESSIONS } from '../metrics/active_sessions.ts';
import { mintedSince } from '../sessions/minted.ts';
import { listenAt } from './listen.ts';
import { createMetricsServer, type Shown } from './metrics.ts';

/** Before the broker itself listens, so that a place that is taken stops the start. */
export async function startMetrics(broker: Shown, limits: ConnectionLimits, log: Logger) {
  const { config, store, metrics, now } = broker;
  if (!config.metrics) return undefined;
  const { token_ttl } = config.policy.limits;
  metrics.restore(await store.read((db) => mintedSince(db, between(token_ttl, now()), MOST_SESSIONS)));
  const { tls: files } = config.metrics;
  const setting = 'metrics.tls';
  const tls = files && (await readTlsPair(files, setting));
  const certificates = new ClientCertificates(now);
  const app = createMetricsServer(broker, limits, tls, certificates);
  const url = await listenAt(app, 'metrics', config.metrics);
  const watcher =
    tls && files && watchTls(app.server as never, files, tls, { log, setting, onClientCa: certificates.changed });
  const close = async () => {
    watcher?.close();
    await app.close();
  };
  return { url: `${url}/metrics`, watcher, close };
}
