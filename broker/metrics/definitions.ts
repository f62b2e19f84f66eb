// The metrics by name, with what each says, its labels and buckets.

import { Counter, Gauge, Histogram, type OpenMetricsContentType, type Registry } from 'prom-client';

/** Buckets, in seconds. */
export const QUICK = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];
/** Up to the longest life of a token: a client that does not ask is not denied. */
export const EFFECT = [0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600];
export const GROUP = [1, 2, 4, 8, 16, 32, 64];
export function defineAll(registry: Registry<OpenMetricsContentType>) {
  const registers = [registry];
  const counter = <T extends string>(name: string, help: string, ...labelNames: T[]) =>
    new Counter({ name, help, labelNames, registers });
  const gauge = <T extends string>(name: string, help: string, ...labelNames: T[]) =>
    new Gauge({ name, help, labelNames, registers });
  const histogram = <T extends string>(name: string, help: string, buckets: number[], ...labelNames: T[]) =>
    new Histogram({ name, help, buckets, labelNames, registers });
  return {
    living: gauge('curfew_sessions_living', 'Sessions that have not ended'),
    active: gauge('curfew_sessions_active', 'Active sessions that hold an unexpired token', 'cluster', 'segment'),
    logins: counter('curfew_logins_total', 'Sessions opened by a login'),
    mints: counter('curfew_mints_total', 'Kubernetes tokens issued', 'cluster', 'segment'),
    ends: counter('curfew_ends_total', 'Sessions ended', 'reason'),
    refusals: counter('curfew_refusals_total', 'Requests to the broker that were refused', 'grant', 'reason'),
    denials: counter('curfew_denials_total', 'Requests at an API server that were denied', 'cluster', 'reason'),
    failed_logins: counter(
      'curfew_failed_logins_noticed_total',
      'Times that somebody failed to log in again and again; by how the last session ended',
      'by',
      'end_reason',
    ),
    end_to_effect: histogram(
      'curfew_end_to_effect_seconds',
      'From the commit of an end to the first denial of its session at the webhook',
      EFFECT,
    ),
    signals: counter(
      'curfew_signals_total',
      'Words of the identity provider that were heard, by what they do',
      'source',
      'signal',
      'action',
    ),
    last_signal: gauge(
      'curfew_last_signal_timestamp_seconds',
      'When the last one was heard, in seconds since 1970',
      'source',
    ),
    signals_unmatched: counter(
      'curfew_signals_unmatched_total',
      'Words of the identity provider that name nobody and no session known here',
      'source',
    ),
    signals_put_off: counter(
      'curfew_signals_put_off_total',
      'Words of the identity provider that could not be taken, and are to come again',
      'source',
      'reason',
    ),
    poll_failures: counter('curfew_signal_polls_failed_total', 'Polls of transmitters that brought no answer'),
    revalidations: counter('curfew_revalidations_total', 'Accounts for which the identity provider confirmed again'),
    secret_deletion: histogram(
      'curfew_secret_deletion_delay_seconds',
      "From the end of a session at a cluster to its Secret's deletion there",
      EFFECT,
      'cluster',
    ),
    secrets_overdue: gauge(
      'curfew_secrets_overdue',
      'Secrets of sessions that are over, and that are still to be deleted',
      'cluster',
    ),
    role_removal: histogram(
      'curfew_role_removal_delay_seconds',
      'From the end of a session at a database to the removal of its role there',
      EFFECT,
      'target',
    ),
    roles_overdue: gauge(
      'curfew_roles_overdue',
      'Roles of sessions that are over, and that are still to be removed',
      'target',
    ),
    roles_not_removed: counter(
      'curfew_role_removals_failed_total',
      'Tries to remove a role of a session that is over, in vain',
      'target',
    ),
    sent_away: counter(
      'curfew_requests_sent_away_total',
      'Requests that were not looked at: too many were under way, or too many from their address were no good',
      'class',
      'reason',
    ),
    webhook: histogram(
      'curfew_webhook_duration_seconds',
      'Answering kube-apiserver, from the request to the answer sent',
      QUICK,
      'webhook',
      'outcome',
    ),
    gateway: histogram(
      'curfew_gateway_duration_seconds',
      'Answering gateways, from the request to the answer sent',
      QUICK,
      'request',
      'outcome',
    ),
    streams: counter(
      'curfew_streams_total',
      'Streams through gateways that the audit log has rows of',
      'cluster',
      'kind',
      'step',
    ),
    streams_lost: counter(
      'curfew_streams_lost_total',
      'Streams through gateways that were opened, closed or cut without a row',
      'cluster',
    ),
    connections: counter(
      'curfew_connections_total',
      'Connections to targets, and what became of them',
      'target',
      'kind',
      'step',
    ),
    connections_open: gauge('curfew_connections_open', 'Connections to targets that are open', 'target'),
    gateway_feeds: gauge('curfew_gateway_feeds', 'Gateways that are told of ends by this broker', 'cluster'),
    idp_errors: counter(
      'curfew_identity_provider_errors_total',
      'Metadata or keys of the identity provider that could not be read',
      'kind',
    ),
    transactions: histogram(
      'curfew_store_transaction_duration_seconds',
      'Transactions of the store, from the call to the commit',
      QUICK,
      'outcome',
    ),
    groups: histogram('curfew_store_group_transactions', 'Transactions that shared one commit', GROUP),
    renewals: counter(
      'curfew_store_renewals_total',
      'Renewals with a store in PostgreSQL: committed in one call, or decided by a transaction',
      'way',
    ),
    key_age: gauge('curfew_signing_key_age_seconds', 'Age of the key that signs tokens'),
    store_usable: gauge(
      'curfew_store_usable',
      '1 unless the store fails, is too slow, or is not the one that was opened',
    ),
    feed_age: gauge('curfew_feed_age_seconds', 'Since the feed of changes was last read to its end'),
    feed_behind: gauge('curfew_feed_behind', 'Changes in the feed that have not taken effect here'),
    changes: counter('curfew_feed_changes_total', 'Changes in the feed that have taken effect here', 'kind'),
    turn: gauge('curfew_background_turn', '1 while this broker does what one replica does at a time'),
    clock_believed: gauge('curfew_clock_believed', '1 unless the clock of the broker is wrong: then nothing is issued'),
    clock_ahead: gauge(
      'curfew_clock_ahead_of_database_seconds',
      'By how much the clock of the broker is at least ahead of that of the database; negative where it is behind',
    ),
    reloads: counter('curfew_config_reloads_total', 'Changed configurations, taken or refused', 'outcome'),
    last_reload_successful: gauge(
      'curfew_config_last_reload_successful',
      '1 unless the configuration in the file was refused',
    ),
    last_good: gauge(
      'curfew_config_last_good_timestamp_seconds',
      'When the configuration in force was taken, in seconds since 1970',
    ),
    in_step: gauge('curfew_config_in_step', '1 unless this replica has another configuration than all are to have'),
    build: gauge('curfew_build_info', 'Always 1; what runs', 'version'),
  };
}
