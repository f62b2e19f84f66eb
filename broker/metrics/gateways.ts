// Metrics of gateways: what they ask, how many are connected, and what they tell of streams.

import { type ConnectEvent, type DisconnectEvent, GATEWAY_LOST, STREAM_STEPS } from '../audit_log/events.ts';
import type { Config, GatewaySettings } from '../config/settings.ts';
import type { defineAll } from './definitions.ts';

/** What gateways ask; the feed is not a question that is answered. */
export const GATEWAY_REQUESTS = ['sessions', 'events', 'connections'] as const;
export type GatewayRequest = (typeof GATEWAY_REQUESTS)[number];
export const GATEWAY_OUTCOMES = ['answered', 'refused', 'failed'] as const;
export type GatewayOutcome = (typeof GATEWAY_OUTCOMES)[number];

/** As of now. @param feeds how many gateways of the cluster are told of ends */
export function beginGateway(
  { gateway_feeds, streams, streams_lost }: ReturnType<typeof defineAll>,
  cluster: string,
  { record }: GatewaySettings,
  feeds: number,
): void {
  gateway_feeds.set({ cluster }, feeds);
  streams_lost.inc({ cluster }, 0);
  for (const kind of record) {
    for (const step of STREAM_STEPS) streams.inc({ cluster, kind, step }, 0);
  }
}

type All = ReturnType<typeof defineAll>;

/** The label of the gateway of targets, where one of a cluster has the cluster's name. */
export const OF_TARGETS = '';
/** `lost`: their gateway was not heard of any more. */
const CONNECTION_STEPS = ['opened', 'closed', 'cut', 'lost'] as const;

/** As of now. @param feeds how many gateways of targets are told of ends @param open by target; absent where the store did not say */
export function beginTargets(
  { gateway_feeds, streams_lost, connections, connections_open }: All,
  { target_gateway, targets }: Pick<Config, 'target_gateway' | 'targets'>,
  feeds: number,
  open: ReadonlyMap<string, number> | undefined,
): void {
  connections_open.reset();
  if (!target_gateway) return;
  gateway_feeds.set({ cluster: OF_TARGETS }, feeds);
  streams_lost.inc({ cluster: OF_TARGETS }, 0);
  for (const { name: target, kind } of targets) {
    for (const step of CONNECTION_STEPS) connections.inc({ target, kind, step }, 0);
    if (open) connections_open.set({ target }, open.get(target) ?? 0);
  }
}

export function countConnection({ connections }: All, event: ConnectEvent | DisconnectEvent): void {
  const { target, kind } = event;
  connections.inc({ target, kind, step: event.event === 'connect' ? 'opened' : stepOf(event) });
}

function stepOf({ reason }: DisconnectEvent): (typeof CONNECTION_STEPS)[number] {
  if (reason === undefined) return 'closed';
  return reason === GATEWAY_LOST ? 'lost' : 'cut';
}
