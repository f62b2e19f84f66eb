// A gateway in this process, before an API server that records what it is sent, with clients that send bytes: for what its peers do that
// real ones do not do at will.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { pino } from 'pino';
import type { ClusterSettings } from '../../gateway/config/settings.ts';
import { type Gateway, startGateway } from '../../gateway/serve.ts';
import { STREAM_KINDS } from '../../shared/gateway_events.ts';
import type { EndReason } from '../../shared/session.ts';
import { seconds } from '../../shared/time.ts';
import { type CertificateAuthority, createCertificateAuthority } from './certificates.ts';
import { until } from './patience.ts';
import { openRaw, type RawClient, type RawClientOptions } from './raw_client.ts';
import { type RecordingUpstream, startRecordingUpstream } from './recording_upstream.ts';
import { type StandInBroker, startStandInBroker } from './stand_in_broker.ts';

export interface RecordedGateway {
  readonly url: string;
  readonly authority: CertificateAuthority;
  readonly broker: StandInBroker;
  readonly upstream: RecordingUpstream;
  readonly gateway: Gateway;
  /** Milliseconds by which the clock that is never set is ahead of this process's. */
  readonly ahead: { elapsed: number };
  /** All that it has logged. */
  log(): string;
  metrics(): Promise<string>;
  /** A connection to it. */
  open(protocol?: RawClientOptions['protocol']): Promise<RawClient>;
  /** Ends a session, as the broker tells it. */
  endSession(sid: string, reason?: EndReason): void;
  stop(): Promise<void>;
}

/** Ready, with short waits at its stop. */
export async function startRecordedGateway(
  changes: Partial<Omit<ClusterSettings, 'broker' | 'cluster' | 'listen'>> = {},
  descriptors?: number,
): Promise<RecordedGateway> {
  const dir = await mkdtemp(path.join(tmpdir(), 'curfew-recorded-gateway-'));
  const authority = await createCertificateAuthority(dir);
  const hosts = ['127.0.0.1', 'localhost'];
  const [own, theirs] = [await authority.issue({ name: 'own', hosts }), await authority.issue({ name: 'api', hosts })];
  const [broker, upstream] = [await startStandInBroker(), await startRecordingUpstream(theirs)];
  broker.beat_ms = 500;
  broker.record = STREAM_KINDS;
  let logged = '';
  const sink = new PassThrough().setEncoding('utf8').on('data', (text: string) => {
    logged += text;
  });
  const ahead = { elapsed: 0 };
  const nowhere = { address: '127.0.0.1', port: 0 };
  const settings: ClusterSettings = {
    broker: broker.place,
    cluster: 'prod',
    listen: { ...nowhere, tls: { cert_file: own.certFile, key_file: own.keyFile } },
    api_server: { url: upstream.url, ca: authority.caPem },
    ...{ other_credentials: 'refuse', on_lost_broker: { cut_after: seconds(10) }, warn: 'off', drain: seconds(0) },
    metrics: nowhere,
    ...changes,
  };
  const gateway = await startGateway(settings, {
    ...{ version: 'test', wall: () => Date.now(), of_process: false, descriptors },
    elapsed: () => performance.now() + ahead.elapsed,
    log: pino({ level: 'trace' }, sink),
  });
  await until(() => gateway.status() === 'ok', 'the gateway does not become ready');
  return {
    ...{ url: gateway.url, authority, broker, upstream, gateway, ahead },
    log: () => logged,
    metrics: async () => (await fetch(`${gateway.health_url}/metrics`)).text(),
    open: (protocol = 'http/1.1') => openRaw({ url: gateway.url, ca: authority.caPem, protocol }),
    endSession(sid, reason = 'logout') {
      const since = broker.now();
      broker.facts.set(sid, { ended: { at: since, reason } });
      broker.tell({ type: 'end', place: sid, sid, reason, since });
    },
    async stop() {
      await gateway.stop();
      await Promise.all([upstream.stop(), broker.stop()]);
      await rm(dir, { recursive: true, force: true });
    },
  };
}
