// `curfew-gateway serve`: starts the gateway, and stops it: not ready first, then what is open has its time, then it is cut with words.

import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { readTlsPair, watchTls } from '../serving/config/tls.ts';
import { ClientCertificates } from '../serving/net/client_certificates.ts';
import { descriptorLimit } from '../serving/net/descriptors.ts';
import { listen, urlOf } from '../serving/net/listen.ts';
import { watchLoopDelay } from '../serving/net/loop_delay.ts';
import { Overload } from '../serving/net/overload.ts';
import { sayCuts } from '../serving/net/say_cut.ts';
import { fromMilliseconds } from '../shared/time.ts';
import { createBroker } from './authority/ask.ts';
import { Authority } from './authority/authority.ts';
import { limitsFor, type PendingLimits } from './clients.ts';
import { watchToken } from './config/broker_token.ts';
import type { Settings } from './config/settings.ts';
import { createEntrance, type Entrance } from './entrance.ts';
import { createHealthServer } from './health.ts';
import { Live } from './live/live.ts';
import { createMetrics } from './metrics.ts';
import { STOPPING } from './words.ts';

/** Milliseconds in which whoever routes connections sees that this one is not ready. */
const UNREADY_MS = 1_000;
/** Milliseconds for last words, and for the broker to be told. */
const WORDS_MS = 1_500;

export interface Surroundings {
  readonly version: string;
  /** Milliseconds: by a clock that is never set, and by one that is. */
  readonly elapsed: () => number;
  readonly wall: () => number;
  readonly log: Logger;
  /** Whether figures of the process are shown as well. */
  readonly of_process?: boolean;
  /** How many files and sockets it may have open: asked of the system unless it is told. */
  readonly descriptors?: number | undefined;
  /** How often clients of connections to targets are pinged, in milliseconds: by a rule of ours unless it is told. */
  readonly ping_ms?: number | undefined;
  /** How many connections to targets may be being made at a time, where others than usual. */
  readonly pending_limits?: PendingLimits | undefined;
  /** By how many milliseconds the event loop is late: watched unless it is told. */
  readonly delay?: (() => number) | undefined;
}

export interface Gateway {
  readonly url: string;
  /** Where `/metrics`, `/healthz` and `/readyz` are; absent without `metrics`. */
  readonly health_url: string | undefined;
  /** `ok`, or why it is not ready. */
  status(): string;
  stop(): Promise<void>;
}

/** @throws CurfewError `configuration` */
export async function startGateway(settings: Settings, around: Surroundings): Promise<Gateway> {
  const { elapsed, wall, log, version } = around;
  const { cluster, broker: place } = settings;
  const tls = await readTlsPair(settings.listen.tls);
  const broker = createBroker(place);
  const instance = `${hostname().slice(0, 64)}-${randomBytes(8).toString('hex')}`;
  let stopping = false;
  const authority: Authority = new Authority({
    ...{ broker, cluster, instance, elapsed, wall, log },
    onEnd: (sid) => live.end(sid),
    onKeyRevoked(kid) {
      entrance.forget(kid);
      live.revoke(kid);
    },
    onLeases: () => live.sweep(),
  });
  const metrics = createMetrics(
    version,
    {
      feedAge: () => authority.feedAge,
      leaseAge: () => authority.leases.age,
      isLost: () => authority.lost() !== undefined,
      waitingEvents: () => authority.events.waiting,
      connections: () => front.connections(),
      pending: () => front.pending(),
    },
    around.of_process,
  );
  const cut_after_ms = settings.on_lost_broker.cut_after * 1000;
  const live: Live = new Live({ authority, metrics, elapsed, cut_after_ms, warn: settings.warn });
  const sayCut = sayCuts(log);
  const watched = around.delay ? undefined : watchLoopDelay(() => elapsed() / 1000);
  const delay = around.delay ?? watched?.ms ?? (() => 0);
  const overload = new Overload(delay);
  const entrance: Entrance = createEntrance(settings, {
    ...{
      authority,
      broker,
      live,
      metrics,
      isStopping: () => stopping,
      elapsed,
      delay,
      log,
      tls,
      ...{ ping_ms: around.ping_ms, pending_limits: around.pending_limits },
    },
    limits: limitsFor(around.descriptors ?? (await descriptorLimit())),
    onCut() {
      metrics.connectionCut();
      sayCut();
    },
  });
  const { front } = entrance;
  const status = () => (stopping ? 'stopping' : (authority.lost()?.why ?? (overload.now() ? 'busy' : 'ok')));
  const health_files = settings.metrics?.tls;
  const setting = 'metrics.tls';
  const health_pair = health_files && (await readTlsPair(health_files, setting));
  const certificates = new ClientCertificates(() => fromMilliseconds(wall()));
  const health_tls = health_pair && { pair: health_pair, certificates };
  const health = settings.metrics && createHealthServer(metrics, status, health_tls);
  const close = async () => {
    watched?.stop();
    entrance.close();
    health?.close();
    health?.closeAllConnections();
    live.stop();
    await authority.stop();
    broker.close();
  };
  try {
    if (health && settings.metrics) await listen(health, 'metrics', settings.metrics);
    await listen(front.server, 'listen', settings.listen);
  } catch (error) {
    await close();
    throw error;
  }
  const watcher = watchTls(front.server, settings.listen.tls, tls, { log });
  const health_watcher =
    health_files &&
    health_pair &&
    watchTls(health as never, health_files, health_pair, { log, setting, onClientCa: certificates.changed });
  entrance.watch();
  const { token_file } = place;
  const stopToken = token_file && watchToken(token_file, place.token, (read) => broker.useToken(read), log);
  const health_url = health && urlOf(health);
  const own_url = urlOf(front.server);
  log.info(
    {
      ...(cluster === undefined ? { targets: true } : { cluster }),
      url: own_url,
      ...(health_url !== undefined && { metrics: health_url }),
    },
    'listening',
  );
  return {
    url: own_url,
    health_url,
    status,
    async stop() {
      if (stopping) return;
      stopping = true;
      log.info({ open: live.size }, 'stopping');
      await sleep(UNREADY_MS);
      front.close();
      const end = elapsed() + settings.drain * 1000;
      while (live.size > 0 && elapsed() < end) await sleep(100);
      if (live.size > 0) {
        log.info({ open: live.size }, 'what is still open is cut');
        live.cutAll(STOPPING);
        await sleep(WORDS_MS);
      }
      watcher.close();
      health_watcher?.close();
      if (stopToken) stopToken();
      await close();
      log.info('stopped');
    },
  };
}
