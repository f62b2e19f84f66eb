// The gateway's metrics. Labels are words of tables and names of the configuration, never a person, a session or an address.

import { Counter, collectDefaultMetrics, Gauge, Histogram, type OpenMetricsContentType, Registry } from 'prom-client';

export interface Metrics {
  readonly registry: Registry<OpenMetricsContentType>;
  request(outcome: 'passed' | 'refused', code?: string): void;
  opened(kind: string, segment: string): void;
  closed(kind: string, segment: string): void;
  /** @param seconds since the end was heard of, where it was told */
  cut(reason: string, seconds: number | undefined): void;
  bytes(direction: 'sent' | 'received', count: number): void;
  /** One that had to go, as there were too many. */
  connectionCut(): void;
  upstreamError(kind: 'connect' | 'retried' | 'broken' | 'redirect' | 'upgrade'): void;
}

export interface Looked {
  /** Milliseconds. */
  readonly feedAge: () => number;
  readonly leaseAge: () => number;
  readonly isLost: () => boolean;
  readonly waitingEvents: () => number;
  readonly connections: () => number;
  /** To targets, that are being made. */
  readonly pending: () => number;
}

/** @param looked what is looked up when they are read */
export function createMetrics(version: string, looked: Looked, of_process = true): Metrics {
  const registry = new Registry<OpenMetricsContentType>();
  registry.setContentType(Registry.OPENMETRICS_CONTENT_TYPE);
  if (of_process) collectDefaultMetrics({ register: registry });
  const registers = [registry];
  const of = (name: string, help: string, labelNames: readonly string[] = []) => ({
    ...{ name: `curfew_gateway_${name}`, help, labelNames: [...labelNames], registers },
  });
  const look = (name: string, help: string, value: () => number) =>
    new Gauge({
      ...of(name, help),
      collect() {
        this.set(value());
      },
    });
  new Gauge(of('build_info', 'the version', ['version'])).set({ version }, 1);
  look('feed_age_seconds', 'since the broker told something', () => looked.feedAge() / 1000);
  look('lease_age_seconds', 'since the newest leases were asked for', () => looked.leaseAge() / 1000);
  look('lost', 'whether nothing passes, as the broker is lost', () => (looked.isLost() ? 1 : 0));
  look('events_waiting', 'events of streams that the broker has not acknowledged', looked.waitingEvents);
  look('connections', 'connections of clients that are open', looked.connections);
  look('pending_connections', 'connections to targets that are being made', looked.pending);
  const connections_cut = new Counter(
    of('connections_cut_total', 'connections that had to go, as there were too many'),
  );
  const requests = new Counter(of('requests_total', 'requests, by what became of them', ['outcome', 'code']));
  const streams = new Gauge(of('streams', 'requests and streams that are open', ['kind', 'segment']));
  const cuts = new Counter(of('cuts_total', 'what was cut, by reason', ['reason']));
  const cut_seconds = new Histogram({
    ...of('cut_seconds', 'from hearing of an end to the cut'),
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1],
  });
  const bytes = new Counter(of('bytes_total', 'bytes by people sent, and received', ['direction']));
  const upstream = new Counter(
    of('upstream_errors_total', 'what went wrong at the API server, or at a target', ['kind']),
  );
  return {
    registry,
    request: (outcome, code = '') => requests.inc({ outcome, code }),
    opened: (kind, segment) => streams.inc({ kind, segment }),
    closed: (kind, segment) => streams.dec({ kind, segment }),
    cut(reason, seconds) {
      cuts.inc({ reason });
      if (seconds !== undefined) cut_seconds.observe(seconds);
    },
    bytes: (direction, count) => bytes.inc({ direction }, count),
    connectionCut: () => connections_cut.inc(),
    upstreamError: (kind) => upstream.inc({ kind }),
  };
}
