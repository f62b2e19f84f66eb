// The metrics, all of them: defined here, fed from the audit log's rows as they are committed and by few calls beside. Labels
// are bounded: names of the configuration, and words of tables; no person, session or address is ever one.

import { collectDefaultMetrics, type OpenMetricsContentType, Registry } from 'prom-client';
import { REASONS } from '../../shared/decide.ts';
import type { Code } from '../../shared/errors.ts';
import { END_REASONS } from '../../shared/session.ts';
import { between, type Stopwatch } from '../../shared/time.ts';
import {
  type AuditEvent,
  type DenialEvent,
  type EndEvent,
  type PolicyEvent,
  SIGNAL_SOURCES,
  type SignalEvent,
  type SignalSource,
} from '../audit_log/events.ts';
import { nameOfType } from '../audit_log/signals.ts';
import { clusterLimits } from '../config/clusters.ts';
import { FAILURE_KINDS } from '../net/fetch_json.ts';
import type { Minted } from '../sessions/minted.ts';
import { CHANGES, type Change } from '../store/changes.ts';
import { RENEWAL_WAYS, SETTLED, type StoreObserver } from '../store/options.ts';
import { REQUEST_CLASSES, type RequestClass, SENT_AWAY, type SentAway } from '../traffic/classes.ts';
import { ActiveSessions } from './active_sessions.ts';
import { defineAll } from './definitions.ts';
import { EndEffects } from './end_effects.ts';
import type { Facts } from './facts.ts';
import {
  beginGateway,
  beginTargets,
  countConnection,
  GATEWAY_OUTCOMES,
  GATEWAY_REQUESTS,
  type GatewayOutcome,
  type GatewayRequest,
  OF_TARGETS,
} from './gateways.ts';
import { showRoles } from './roles.ts';
import { WEBHOOK_OUTCOMES, type Webhook, type WebhookOutcome } from './webhooks.ts';

/** Why the webhook denies. */
const DENIALS: readonly Code[] = [...REASONS, 'token_id', 'unknown_session', 'another_user', 'not_admitted'];

/** Why a signal could not be taken yet, as far as that is foreseen. */
const PUT_OFF: readonly Code[] = ['identity_provider', 'store'];

export interface Metrics {
  readonly registry: Registry<OpenMetricsContentType>;
  /** Follows the audit log. */
  readonly onAudit: (event: AuditEvent) => void;
  readonly store: StoreObserver;
  /** A change that was heard of, this replica's own or another's. */
  readonly heard: (change: Change) => void;
  /** One answered request. */
  readonly webhook: (webhook: Webhook, outcome: WebhookOutcome, seconds: number) => void;
  readonly gateway: (request: GatewayRequest, outcome: GatewayOutcome, seconds: number) => void;
  /** A request that was not looked at. */
  readonly sentAway: (name: RequestClass, reason: SentAway) => void;
  /** How many gateways of a cluster are told of ends. */
  readonly gatewayFeeds: (cluster: string, open: number) => void;
  /** A logout token or a security event that could not be taken yet. */
  readonly signalPutOff: (source: SignalSource, reason: Code) => void;
  /** A transmitter that was polled in vain. */
  readonly pollFailed: () => void;
  /** A role that could not be removed. */
  readonly roleNotRemoved: (target: string) => void;
  /** Takes up what was minted before this process began. */
  readonly restore: (tokens: readonly Minted[]) => void;
  /** The configuration in the file is the one in force: a refused one was put right without a change. */
  readonly sameConfig: () => void;
  /** @returns the OpenMetrics text */
  readonly render: (facts: Facts) => Promise<string>;
}

export interface MetricsOptions {
  readonly stopwatch: Stopwatch;
  /** Of this program. */
  readonly version: string;
  /** Also what prom-client knows of a Node.js process; it looks on all the time. */
  readonly of_process: boolean;
}

export function createMetrics({ stopwatch, version, of_process }: MetricsOptions): Metrics {
  const registry = new Registry<OpenMetricsContentType>();
  registry.setContentType(Registry.OPENMETRICS_CONTENT_TYPE);
  const all = defineAll(registry);
  if (of_process) collectDefaultMetrics({ register: registry });
  const active = new ActiveSessions();
  const effects = new EndEffects();
  /** How many gateways are told of ends, by cluster. */
  const feeds = new Map<string, number>();
  all.build.set({ version }, 1);
  beginAtZero(all);

  const onDenial = ({ reason, cluster, repeated = 0, sid }: DenialEvent) => {
    all.denials.inc({ cluster, reason }, 1 + repeated);
    // A denial that was itself the end has nothing to wait for.
    const seconds = sid === undefined ? undefined : effects.denied(sid, stopwatch());
    if (seconds !== undefined && reason === 'session_ended') all.end_to_effect.observe(seconds);
  };
  const onEnd = ({ reason, sid, replaced_by }: EndEvent) => {
    all.ends.inc({ reason });
    if (sid === undefined) return;
    active.ended(sid);
    // What a session has minted goes on where a newer one of the same person judges it.
    if (replaced_by === undefined) effects.ended(sid, stopwatch());
  };
  const onSignal = ({ source, type, action, at, unmatched }: SignalEvent) => {
    all.signals.inc({ source, signal: nameOfType(type), action });
    if (unmatched) all.signals_unmatched.inc({ source });
    all.last_signal.set({ source }, at);
  };
  const onPolicy = ({ outcome, at }: PolicyEvent) => {
    if (outcome !== 'loaded') all.reloads.inc({ outcome });
    all.last_reload_successful.set(outcome === 'refused' ? 0 : 1);
    if (outcome !== 'refused') all.last_good.set(at);
  };

  return {
    registry,
    onAudit(event) {
      switch (event.event) {
        case 'login':
          if (!event.retry) all.logins.inc();
          return;
        case 'mint': {
          const { sid, cluster, segment, exp } = event;
          // Of targets connections are counted, each of which has a token of its own.
          if (cluster === undefined) return;
          all.mints.inc({ cluster, segment: segment ?? '' });
          if (sid !== undefined) active.minted({ sid, cluster, segment, exp });
          return;
        }
        case 'refusal':
          return all.refusals.inc({ grant: event.grant, reason: event.reason }, 1 + (event.repeated ?? 0));
        case 'denial':
          return onDenial(event);
        case 'end':
          return onEnd(event);
        case 'failed_logins':
          return all.failed_logins.inc({ by: event.by, end_reason: event.end_reason ?? '' });
        case 'policy':
          return onPolicy(event);
        case 'signal':
          return onSignal(event);
        case 'secret_deleted':
          all.secret_deletion.observe({ cluster: event.cluster }, between(event.due_at, event.at));
          return;
        case 'role_removed':
          all.role_removal.observe({ target: event.target }, between(event.due_at, event.at));
          return;
        case 'credential':
          return;
        case 'revalidation':
          return all.revalidations.inc();
        case 'stream':
          return all.streams.inc({ cluster: event.cluster, kind: event.kind, step: event.step });
        case 'streams_lost':
          return all.streams_lost.inc({ cluster: event.cluster ?? OF_TARGETS }, event.count);
        case 'connect':
        case 'disconnect':
          return countConnection(all, event);
        case 'list':
        case 'administration':
        case 'store_copy':
        case 'lane_opened':
        case 'anchor':
          return;
      }
    },
    store: {
      asked() {
        const begin = stopwatch();
        return (outcome) => all.transactions.observe({ outcome }, stopwatch() - begin);
      },
      grouped: (size) => all.groups.observe(size),
      renewed: (way) => all.renewals.inc({ way }),
    },
    heard(change) {
      all.changes.inc({ kind: change.kind });
      if (change.kind === 'end') active.ended(change.sid);
    },
    webhook: (webhook, outcome, seconds) => all.webhook.observe({ webhook, outcome }, seconds),
    gateway: (request, outcome, seconds) => all.gateway.observe({ request, outcome }, seconds),
    gatewayFeeds: (cluster, open) => void feeds.set(cluster, open),
    signalPutOff: (source, reason) => all.signals_put_off.inc({ source, reason }),
    pollFailed: () => all.poll_failures.inc(),
    roleNotRemoved: (target) => all.roles_not_removed.inc({ target }),
    sentAway: (name, reason) => all.sent_away.inc({ class: name, reason }),
    restore(tokens) {
      for (const token of tokens) active.minted(token);
    },
    sameConfig: () => all.last_reload_successful.set(1),
    async render({
      now,
      config,
      living,
      secrets_overdue,
      connections,
      roles_overdue,
      signing_since,
      clock_fault,
      clock_ahead,
      store_fault,
      feed,
      in_step,
      turn,
      identity_provider_failures,
    }) {
      if (living === undefined) all.living.remove();
      else all.living.set(living);
      all.secrets_overdue.reset();
      for (const { name, credential } of config.clusters) {
        if (credential !== 'service-account') continue;
        all.secret_deletion.zero({ cluster: name });
        if (secrets_overdue) all.secrets_overdue.set({ cluster: name }, secrets_overdue.get(name) ?? 0);
      }
      showRoles(all, config, roles_overdue);
      all.active.reset();
      all.gateway_feeds.reset();
      beginTargets(all, config, feeds.get(OF_TARGETS) ?? 0, connections);
      for (const cluster of config.clusters) {
        if (cluster.gateway) beginGateway(all, cluster.name, cluster.gateway, feeds.get(cluster.name) ?? 0);
        const labels = { cluster: cluster.name, segment: clusterLimits(config, cluster).segment ?? '' };
        all.active.set(labels, 0);
        all.mints.inc(labels, 0);
        for (const reason of DENIALS) all.denials.inc({ cluster: cluster.name, reason }, 0);
      }
      for (const { cluster, segment = '', count } of active.count(now)) all.active.set({ cluster, segment }, count);
      all.store_usable.set(store_fault === undefined ? 1 : 0);
      all.feed_age.set(feed.age);
      all.feed_behind.set(feed.behind);
      all.turn.set(turn ? 1 : 0);
      all.in_step.set(in_step ? 1 : 0);
      all.clock_ahead.set(clock_ahead);
      all.clock_believed.set(clock_fault === undefined ? 1 : 0);
      all.key_age.set(between(signing_since, now));
      all.idp_errors.reset();
      for (const kind of FAILURE_KINDS) all.idp_errors.inc({ kind }, identity_provider_failures[kind]);
      return registry.metrics();
    },
  };
}

/** A series that appears only with its first event has no increase to alert on. */
function beginAtZero({
  ends,
  signals_unmatched,
  signals_put_off,
  failed_logins,
  reloads,
  changes,
  webhook,
  gateway,
  transactions,
  renewals,
  sent_away,
}: ReturnType<typeof defineAll>): void {
  for (const reason of END_REASONS) ends.inc({ reason }, 0);
  for (const source of SIGNAL_SOURCES) {
    signals_unmatched.inc({ source }, 0);
    for (const reason of PUT_OFF) signals_put_off.inc({ source, reason }, 0);
  }
  for (const by of ['person', 'address'] as const) {
    for (const end_reason of by === 'person' ? ['', 'max_age', 'inactivity_timeout'] : ['']) {
      failed_logins.inc({ by, end_reason }, 0);
    }
  }
  for (const kind of CHANGES) changes.inc({ kind }, 0);
  for (const outcome of ['reloaded', 'refused'] as const) reloads.inc({ outcome }, 0);
  for (const [name, outcomes] of Object.entries(WEBHOOK_OUTCOMES)) {
    for (const outcome of outcomes) webhook.zero({ webhook: name, outcome });
  }
  for (const request of GATEWAY_REQUESTS) for (const outcome of GATEWAY_OUTCOMES) gateway.zero({ request, outcome });
  for (const outcome of SETTLED) transactions.zero({ outcome });
  for (const way of RENEWAL_WAYS) renewals.inc({ way }, 0);
  for (const name of REQUEST_CLASSES) for (const reason of SENT_AWAY) sent_away.inc({ class: name, reason }, 0);
}
