// `curfew-broker serve`: starts the service, and stops it without cutting what is in flight.

import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { readTlsPair, watchTls } from '../serving/config/tls.ts';
import { ClientCertificates } from '../serving/net/client_certificates.ts';
import { descriptorLimit } from '../serving/net/descriptors.ts';
import type { Clock, Stopwatch } from '../shared/time.ts';
import { createClusterApis } from './api_servers/apis.ts';
import { createSealer } from './audit_log/chain.ts';
import type { AuditEntry, DenialEvent, RefusalEvent } from './audit_log/events.ts';
import type { Broker } from './broker.ts';
import { watchedClock } from './clock/watch.ts';
import { longestTaken } from './config/clusters.ts';
import { createLiveConfig, type ReloadOutcome } from './config/live.ts';
import type { Config } from './config/settings.ts';
import { Databases } from './databases/databases.ts';
import { type Encryption, encryptionOf } from './encryption.ts';
import { FailingAddresses } from './failed_logins/failed_logins.ts';
import { joinReplicas } from './feed/replicas.ts';
import { startDeliveries } from './hooks/delivery.ts';
import { fewFor, limitsFor } from './http/connections.ts';
import { listenAt } from './http/listen.ts';
import { startMetrics } from './http/metrics_listener.ts';
import { createServer, type Readiness } from './http/server.ts';
import { takeTurns } from './leases/turn.ts';
import { type LeftBehind, lookAfterLeftBehind } from './left_behind.ts';
import { createMetrics } from './metrics/metrics.ts';
import { openStore } from './open_store.ts';
import program from './package.json' with { type: 'json' };
import { KnownRefusals } from './refusals/known_refusals.ts';
import { Repeated } from './refusals/repeated.ts';
import { judgeKeys, recordOutcome, recordPolicy, sayOutcome } from './reload.ts';
import { Holders } from './sessions/holders.ts';
import { JudgedSessions } from './sessions/judged.ts';
import { startFlushing, Touches } from './sessions/touches.ts';
import { startPolling } from './signals/polling.ts';
import { startAnchors } from './store/anchors.ts';
import type { Standing } from './store/audit_head.ts';
import type { StoreOptions } from './store/options.ts';
import { watchStore } from './store/watch.ts';
import { startSweeper, sweep } from './sweeper.ts';
import { keysOf } from './tokens/key_rotation.ts';
import { loadKeys, readKeys } from './tokens/keys.ts';
import { oldTokenIds } from './tokens/old_token_ids.ts';
import { createTokenIds } from './tokens/token_id.ts';
import type { IdentityProvider } from './upstream/identity_provider.ts';
import { createTransmitters } from './upstream/transmitters.ts';

/** How long requests are still taken after `/readyz` says no, in milliseconds: whoever routes them must have noticed. */
const DRAIN_MS = 3_000;

export interface Service {
  /** Where it listens, as a URL. */
  readonly url: string;
  /** Where `/metrics` is, when it is anywhere. */
  readonly metrics_url?: string | undefined;
  /** Ends what is over now, without waiting for the next round. @returns how many sessions were over */
  sweep(): Promise<number>;
  /**
   * Reads the configuration again; what cannot be used changes nothing. Never rejects for a fault in it.
   *
   * @throws CurfewError `store` when it could not be recorded: then the old one stays
   */
  reload(load: () => Promise<Config>): Promise<ReloadOutcome>;
  /** Not ready at once, then no new connections, then what is in flight ends, then the store is closed. */
  stop(): Promise<void>;
}

export interface Surroundings {
  readonly now: Clock;
  readonly stopwatch: Stopwatch;
  /** `now` with the fractions of its seconds: how far it and the database's are apart is measured. Without it that is not known. */
  readonly exact?: (() => number) | undefined;
  /** What the clock is held against: the stopwatch, unless a test bends the clock. */
  readonly monotonic?: Stopwatch;
  readonly log: Logger;
  readonly identityProvider: IdentityProvider;
  /** Is told each row of the audit log after it is on disk. */
  readonly onAudit: (entry: AuditEntry) => void;
  readonly drainMs?: number;
}

/** @throws CurfewError `configuration` or `store`, naming what is wrong */
export async function startService(config: Config, around: Surroundings): Promise<Service> {
  const {
    now: wall,
    exact,
    stopwatch,
    monotonic = stopwatch,
    log,
    identityProvider,
    onAudit,
    drainMs = DRAIN_MS,
  } = around;
  const { tls: files } = config.listen;
  const tls = files && (await readTlsPair(files));
  const metrics = createMetrics({ stopwatch, version: program.version, of_process: config.metrics !== undefined });
  let left: LeftBehind | undefined;
  const onRow = (entry: AuditEntry) => {
    onAudit(entry);
    // What goes with what was just written is not to wait for the next look.
    if (entry.event.event === 'end' || entry.event.event === 'revalidation') left?.wake();
  };
  const known_refusals = new KnownRefusals();
  let encryptionNow = encryptionOf(config);
  const encryption = () => encryptionNow();
  const options = storeOptions(encryption, { metrics, known_refusals, log, stopwatch, exact }, onRow);
  const { store, guard } = await openStore(config.store, options);
  const standing = await store.standing();
  const clock = watchedClock({ wall, monotonic, newest: standing.newest, identityProvider, log });
  const { now } = clock;
  await clock.ask();
  const { head: place } = await store.feed.after(0, 0);
  // The first that is written: not with another encryption key, nor by a clock that is not the database's.
  let keys = await loadKeys(store, keysOf(config), now).catch(async (error: unknown) => {
    clock.stop();
    await store.close();
    guard.close();
    throw error;
  });
  const keysAgain = async () => {
    keys = await store.read((db) => readKeys(db, encryption, now));
  };
  const onEpoch = async ({ newest }: Standing) => {
    await keysAgain();
    clock.accept(newest);
    log.warn('all that there was has been declared over: other keys sign from now on');
  };
  store.serve({ clock, guard, onEpoch }, standing);
  const storeWatch = watchStore(store, guard, stopwatch, log);
  const live = createLiveConfig(config);
  const replicas = joinReplicas(
    {
      ...{ store, stopwatch, log, now, digest: () => live.current.digest, readKeys: keysAgain },
      onAhead: clock.compared,
      heard(change) {
        metrics.heard(change);
        if (change.kind === 'end') left?.wake();
      },
    },
    place,
  );
  const touches = new Touches();
  const denials = new Repeated<DenialEvent>(10_000);
  // Of these and the next anybody can make as many as they like.
  const unproven = new Repeated<DenialEvent>(20);
  const refusals = new Repeated<RefusalEvent>(500, { at_once: 100, a_minute: 10 });
  const broker: Broker = {
    get config() {
      return live.current;
    },
    store,
    touches,
    judged: new JudgedSessions(store, config.store.postgres !== undefined),
    tokenIds: createTokenIds(encryption),
    oldTokenIds: await oldTokenIds(store, longestTaken(config), now()),
    denials,
    unproven,
    refusals,
    known_refusals,
    holders: new Holders(),
    strangers: new FailingAddresses(),
    metrics,
    log,
    get keys() {
      return keys;
    },
    identityProvider,
    transmitters: createTransmitters(now, log),
    apis: createClusterApis(),
    databases: new Databases(standing.database_id),
    clock,
    replicas,
    turn: takeTurns({ store, stopwatch, log }, 'background'),
    now,
    stopwatch,
  };
  await recordPolicy(broker, { outcome: 'loaded', digest: config.digest }, config);
  const readiness: Readiness = {
    ...{ accepting: true, draining: false },
    storeFault: () => storeWatch.fault() ?? replicas.feed.fault,
    policyFault: () => replicas.policies.fault(),
  };
  const descriptors = await descriptorLimit();
  const certificates = new ClientCertificates(now);
  const app = createServer(broker, { log, readiness, tls, limits: limitsFor(descriptors), certificates });
  const stopSweeper = startSweeper(broker, log);
  const stopFlushing = startFlushing(touches, store, log);
  const stopDeliveries = startDeliveries(broker);
  left = lookAfterLeftBehind(broker);
  const stopPolling = startPolling(broker, stopwatch);
  const stopAnchors = startAnchors(broker, log);
  const measured = await startMetrics(broker, fewFor(descriptors), log);
  const url = await listenAt(app, 'listen', config.listen).catch(async (error: unknown) => {
    await measured?.close();
    throw error;
  });
  const watcher = tls && files && watchTls(app.server as never, files, tls, { log, onClientCa: certificates.changed });
  log.info({ issuer: config.issuer, url, ...(measured && { metrics: measured.url }) }, 'ready');
  return {
    url,
    metrics_url: measured?.url,
    sweep: () => sweep(broker),
    async reload(load) {
      const outcome = await judgeKeys(store, await live.judge(load));
      const before = encryptionNow;
      // What is written from here on, the row of this too, is sealed by the key that is to seal.
      if (outcome.outcome === 'reloaded') encryptionNow = encryptionOf(outcome.config);
      // First the row, then the policy: none is in force that the audit log does not know.
      await recordOutcome(broker, outcome).catch((error: unknown) => {
        encryptionNow = before;
        throw error;
      });
      if (outcome.outcome === 'reloaded') {
        live.take(outcome.config);
        replicas.reloaded();
        replicas.feed.tail.wake();
        void left?.sweep();
      }
      if (outcome.outcome === 'same') metrics.sameConfig();
      // Whoever asks for a reload means certificates too, and does not wait until they are looked at.
      await Promise.all([watcher?.reload(), measured?.watcher?.reload()]);
      sayOutcome(outcome, log);
      return outcome;
    },
    async stop() {
      readiness.accepting = false;
      log.info('stopping');
      await sleep(drainMs);
      readiness.draining = true;
      await app.close();
      watcher?.close();
      clock.stop();
      stopSweeper();
      await stopPolling();
      await broker.transmitters.close();
      await broker.apis.close();
      await left?.stop();
      await stopDeliveries();
      await broker.turn.stop();
      await stopFlushing();
      for (const counted of [denials, unproven, refusals, known_refusals]) {
        await counted.flush(store, now(), true).catch(() => log.error('counted rows could not be recorded'));
      }
      await measured?.close();
      await replicas.stop();
      await stopAnchors();
      storeWatch.stop();
      await store.close();
      guard.close();
      await identityProvider.close();
      log.info('stopped');
    },
  };
}

type Timed = Pick<Surroundings, 'stopwatch' | 'exact'>;

function storeOptions(
  encryption: Encryption,
  { metrics, known_refusals, log, stopwatch, exact }: Pick<Broker, 'metrics' | 'known_refusals' | 'log'> & Timed,
  onAudit: (entry: AuditEntry) => void,
): StoreOptions {
  return {
    sealer: createSealer(encryption),
    observer: metrics.store,
    stopwatch,
    wall: exact,
    onBroken: () => log.error('the audit log was changed from outside: run curfew-broker audit verify'),
    damp: (event) => known_refusals.note(event),
    onAudit(entry) {
      metrics.onAudit(entry.event);
      onAudit(entry);
    },
  };
}
