// A gateway in this process, between a stand-in for the broker and one for the API server: with clocks that a test moves.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pino } from 'pino';
import type { ClusterSettings } from '../../gateway/config/settings.ts';
import { type Gateway, startGateway } from '../../gateway/serve.ts';
import { seconds } from '../../shared/time.ts';
import { createCertificateAuthority } from './certificates.ts';
import { GatewayClient } from './gateway_client.ts';
import { until } from './patience.ts';
import { type StandInBroker, startStandInBroker } from './stand_in_broker.ts';
import { type StreamingApiServer, startStreamingApiServer } from './streaming_api_server.ts';

export interface LoneGateway extends Gateway {
  readonly broker: StandInBroker;
  readonly api: StreamingApiServer;
  readonly log: readonly string[];
  /** Milliseconds by which the machine's clock is ahead of this process's. */
  readonly ahead: { wall: number };
  /** By how many milliseconds its event loop is said to be late. */
  readonly delay: { ms: number };
  /** From here on the clock that is never set stands still at a moment from now: nothing grows old by itself. */
  standStill(): void;
  /** Somebody with a token of that session. */
  client(sid: string, for_gateway?: boolean): GatewayClient;
  untilReady(): Promise<void>;
}

/**
 * @param changes of its settings
 * @param wall_ahead milliseconds, from its start on
 * @param token_file where its token is read again
 */
export async function startLoneGateway(
  changes: Partial<ClusterSettings> = {},
  wall_ahead = 0,
  token_file?: string,
): Promise<LoneGateway> {
  const dir = await mkdtemp(path.join(tmpdir(), 'curfew-lone-gateway-'));
  const authority = await createCertificateAuthority(dir);
  const { certFile: cert_file, keyFile: key_file } = await authority.issue({ name: 'gateway', hosts: ['127.0.0.1'] });
  const [broker, api] = await Promise.all([startStandInBroker(), startStreamingApiServer(authority)]);
  broker.beat_ms = 500;
  const ahead = { wall: wall_ahead };
  /** Of both clocks. */
  let stood: { readonly elapsed: number; readonly wall: number } | undefined;
  const log: string[] = [];
  const delay = { ms: 0 };
  const settings: ClusterSettings = {
    broker: { ...broker.place, token_file },
    cluster: 'prod',
    listen: { address: '127.0.0.1', port: 0, tls: { cert_file, key_file } },
    api_server: { url: api.url, ca: authority.caPem },
    ...{ other_credentials: 'refuse', on_lost_broker: { cut_after: seconds(2) }, warn: 'off', drain: seconds(0) },
    metrics: { address: '127.0.0.1', port: 0 },
    ...changes,
  };
  const gateway = await startGateway(settings, {
    ...{ version: '0', of_process: false },
    elapsed: () => stood?.elapsed ?? performance.now(),
    wall: () => (stood?.wall ?? Date.now()) + ahead.wall,
    delay: () => delay.ms,
    log: pino({ level: 'info' }, { write: (line: string) => void log.push(line) }),
  });
  const clients: GatewayClient[] = [];
  const lone: LoneGateway = {
    ...gateway,
    ...{ broker, api, log, ahead, delay },
    client(sid, for_gateway) {
      const client = new GatewayClient(gateway.url, authority.caPem, broker.token(sid, for_gateway));
      clients.push(client);
      return client;
    },
    standStill() {
      stood = { elapsed: performance.now() + 1, wall: Date.now() + 1 };
    },
    untilReady: () => until(() => gateway.status() === 'ok', `it does not become ready: ${gateway.status()}`),
    async stop() {
      for (const client of clients) client.close();
      await gateway.stop();
      await Promise.all([broker.stop(), api.stop()]);
      await rm(dir, { recursive: true, force: true });
    },
  };
  await lone.untilReady();
  return lone;
}
