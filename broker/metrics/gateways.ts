// Metrics of gateways: what they ask, how many are connected, and what they tell of streams.

import { STREAM_STEPS } from '../audit_log/events.ts';
import type { GatewaySettings } from '../config/settings.ts';
import type { defineAll } from './definitions.ts';

/** What gateways ask; the feed is not a question that is answered. */
export const GATEWAY_REQUESTS = ['sessions', 'events'] as const;
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
