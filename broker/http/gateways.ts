// What gateways ask: who it is is known by their token before a byte of the question is read.

import type { FastifyInstance, FastifyRequest } from 'fastify';
import { CurfewError } from '../../shared/errors.ts';
import { isEventsReport } from '../../shared/gateway_events.ts';
import { GATEWAY_PATHS, isLeaseRequest, LARGEST_REPORT_BYTES } from '../../shared/gateway_wire.ts';
import type { Broker } from '../broker.ts';
import { clusterOfGateway, type GatewayCluster } from '../gateways/caller.ts';
import { type EndsParts, tellEnds } from '../gateways/ends.ts';
import { type EventParts, StreamEvents } from '../gateways/events.ts';
import { type LeaseParts, lease } from '../gateways/leases.ts';
import { GATEWAY_REQUESTS, type GatewayRequest } from '../metrics/gateways.ts';
import { GatewayFeeds } from './gateway_feeds.ts';
import { knownCallers } from './known_callers.ts';

/** Requests of the gateways of one cluster that are answered at a time: what is more comes again. */
const MOST_AT_ONCE = 16;

/** What gateways are answered with. */
export type GatewayParts = LeaseParts & EndsParts & EventParts & Pick<Broker, 'refusals' | 'metrics' | 'log'>;

export function gatewayRoutes(app: FastifyInstance, broker: GatewayParts): void {
  const { callerOf } = knownCallers(app, broker, {
    ...{ body: 'request', largest_bytes: LARGEST_REPORT_BYTES },
    callerOf: (authorization) => clusterOfGateway(broker.config, authorization),
    what: () => 'a request of a gateway',
    stranger: {
      ...{ code: 'gateway_token', message: 'the bearer token is not that of a gateway of this broker' },
      grant: () => 'gateway',
    },
  });
  app.addHook('onResponse', (request, { statusCode, elapsedTime }, done) => {
    const asked = requestOf(request);
    const outcome = statusCode < 400 ? 'answered' : statusCode < 500 ? 'refused' : 'failed';
    if (asked !== undefined) broker.metrics.gateway(asked, outcome, elapsedTime / 1000);
    done();
  });
  const feeds = new GatewayFeeds();
  app.addHook('preClose', (done) => {
    feeds.close();
    done();
  });
  const atOnce = new Map<string, number>();
  /** @throws CurfewError `busy` */
  const inTurn = async <T>({ name }: GatewayCluster, story: () => Promise<T>): Promise<T> => {
    const under_way = atOnce.get(name) ?? 0;
    if (under_way >= MOST_AT_ONCE) throw new CurfewError('busy', 'too many requests of the gateways of this cluster');
    atOnce.set(name, under_way + 1);
    try {
      return await story();
    } finally {
      atOnce.set(name, (atOnce.get(name) ?? 1) - 1);
    }
  };

  app.post(GATEWAY_PATHS.sessions, async (request, reply) => {
    const cluster = callerOf(request);
    const { body } = request;
    if (!isLeaseRequest(body)) throw new CurfewError('request_invalid', 'expected asks and uses of sessions');
    return reply.send(await inTurn(cluster, () => lease(broker, cluster, body)));
  });

  const events = new StreamEvents();
  app.post(GATEWAY_PATHS.events, async (request, reply) => {
    const cluster = callerOf(request);
    const { body } = request;
    if (!isEventsReport(body)) throw new CurfewError('request_invalid', 'expected events of streams');
    return reply.send(await inTurn(cluster, () => events.record(broker, cluster, body)));
  });

  // Without HEAD: there is nothing to say of a feed but what is in it.
  const ofFeed = { exposeHeadRoute: false };
  app.get<{ Querystring: { readonly after?: unknown } }>(GATEWAY_PATHS.ends, ofFeed, async (request, reply) => {
    const { name } = callerOf(request);
    const telling = await tellEnds(broker, request.headers.authorization ?? '', placeIn(request.query.after));
    reply.hijack();
    reply.raw.writeHead(200, FEED_HEAD);
    feeds.serve(name, reply.raw, telling, {
      onWake: (told) => broker.replicas.feed.tail.onWake(told),
      onFailure: () => broker.log.error({ cluster: name }, 'the store failed while a gateway was told of ends'),
      onCount: (open) => broker.metrics.gatewayFeeds(name, open),
    });
  });
}

/** Nothing on the way may keep lines back: neither a cache nor a proxy that waits for more. */
const FEED_HEAD = {
  'Content-Type': 'application/x-ndjson',
  'Cache-Control': 'no-store',
  'X-Content-Type-Options': 'nosniff',
  'X-Accel-Buffering': 'no',
};
const LONGEST_PLACE = 256;

/** @throws CurfewError `request_invalid` */
function placeIn(after: unknown): string | undefined {
  if (after === undefined || (typeof after === 'string' && after !== '' && after.length <= LONGEST_PLACE)) return after;
  throw new CurfewError('request_invalid', 'after: expected a place that the feed told');
}

function requestOf({ routeOptions }: FastifyRequest): GatewayRequest | undefined {
  return GATEWAY_REQUESTS.find((asked) => routeOptions.url?.endsWith(GATEWAY_PATHS[asked]));
}
