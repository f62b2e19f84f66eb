// What gateways ask: who it is is known by their token before a byte of the question is read.

import type { FastifyInstance, FastifyRequest } from 'fastify';
import { isConnectionRequest } from '../../shared/connection_wire.ts';
import { CurfewError } from '../../shared/errors.ts';
import { isEventsReport } from '../../shared/gateway_events.ts';
import { GATEWAY_PATHS, isLeaseRequest, LARGEST_REPORT_BYTES } from '../../shared/gateway_wire.ts';
import type { Broker } from '../broker.ts';
import { type GatewayCaller, gatewayOf } from '../gateways/caller.ts';
import { Connections, type ConnectParts } from '../gateways/connect.ts';
import { type EndsParts, tellEnds } from '../gateways/ends.ts';
import { type EventParts, StreamEvents } from '../gateways/events.ts';
import { type LeaseParts, lease } from '../gateways/leases.ts';
import { GATEWAY_REQUESTS, type GatewayRequest } from '../metrics/gateways.ts';
import { recordStranger } from '../outcome/refused.ts';
import { Allowance } from '../refusals/allowance.ts';
import { Rarely } from '../refusals/rarely.ts';
import { GatewayFeeds } from './gateway_feeds.ts';
import { knownCallers } from './known_callers.ts';

/** Requests of the gateways of one cluster, or of targets, that are answered at a time: what is more comes again. */
const MOST_AT_ONCE = 16;
/** Connections to targets that are decided at a time. */
const MOST_CONNECTIONS_AT_ONCE = 64;
/** Each leaves rows in the audit log: a gateway that was taken over must not fill the disk. */
const CONNECTIONS = { at_once: 2_000, a_minute: 6_000 };

/** What gateways are answered with. */
export type GatewayParts = LeaseParts &
  EndsParts &
  EventParts &
  ConnectParts &
  Pick<Broker, 'refusals' | 'metrics' | 'log'>;

export function gatewayRoutes(app: FastifyInstance, broker: GatewayParts): void {
  const { callerOf } = knownCallers(app, broker, {
    ...{ body: 'request', largest_bytes: LARGEST_REPORT_BYTES },
    callerOf: (authorization) => gatewayOf(broker.config, authorization),
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
  const inTurn = takeTurns(MOST_AT_ONCE);
  app.post(GATEWAY_PATHS.sessions, async (request, reply) => {
    const gateway = callerOf(request);
    const { body } = request;
    if (!isLeaseRequest(body)) throw new CurfewError('request_invalid', 'expected asks and uses of sessions');
    return reply.send(await inTurn(gateway, () => lease(broker, gateway, body)));
  });

  const events = new StreamEvents();
  const said = new Rarely();
  const sayUnmatched = (unmatched: number) => {
    const unsaid = said.note('unmatched', broker.now());
    if (unsaid === undefined) return;
    const facts = { unmatched, ...(unsaid > 0 && { repeated: unsaid }) };
    broker.log.warn(facts, 'a gateway told of the end of connections that are not open');
  };
  app.post(GATEWAY_PATHS.events, async (request, reply) => {
    const gateway = callerOf(request);
    const { body } = request;
    if (!isEventsReport(body)) throw new CurfewError('request_invalid', 'expected events of streams');
    const { acknowledged, unmatched } = await inTurn(gateway, () => events.record(broker, gateway, body));
    if (unmatched > 0) sayUnmatched(unmatched);
    return reply.send({ acknowledged });
  });

  // By themselves: however many people connect, what is open is asked about and told of all the same.
  const connectInTurn = takeTurns(MOST_CONNECTIONS_AT_ONCE);
  const allowed = new Allowance(CONNECTIONS);
  const connections = new Connections();
  app.post(GATEWAY_PATHS.connections, async (request, reply) => {
    const gateway = callerOf(request);
    if (gateway.kind !== 'targets') {
      await recordStranger(broker, 'connection', 'gateway_token', request.address);
      throw new CurfewError('gateway_token', 'the bearer token is not that of the gateway of targets');
    }
    const { body } = request;
    if (!isConnectionRequest(body)) throw new CurfewError('request_invalid', 'expected a token, a target and a proof');
    if (!allowed.take(broker.now())) throw new CurfewError('busy', 'too many connections to targets a minute');
    const outcome = await connectInTurn(gateway, () => connections.connect(broker, body));
    if (!('refused' in outcome)) return reply.send(outcome);
    reply.code_said = outcome.refused;
    return reply.code(403).send({ code: outcome.refused, message: outcome.message });
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

type Turn = <T>(gateway: GatewayCaller, story: () => Promise<T>) => Promise<T>;

/** @returns runs stories, so many of one gateway at a time @throws CurfewError `busy` beyond that */
function takeTurns(most: number): Turn {
  const atOnce = new Map<string, number>();
  return async ({ name }, story) => {
    const under_way = atOnce.get(name) ?? 0;
    if (under_way >= most) throw new CurfewError('busy', 'too many requests of this gateway at once');
    atOnce.set(name, under_way + 1);
    try {
      return await story();
    } finally {
      atOnce.set(name, (atOnce.get(name) ?? 1) - 1);
    }
  };
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
