// Before a request is looked at: whether there is room for it, by what it is for and where it comes from. After it: whether it was good.

import { randomInt } from 'node:crypto';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import { networkOf, plainSpelling } from '../../serving/net/address.ts';
import { watchLoopDelay } from '../../serving/net/loop_delay.ts';
import { type Code, CurfewError } from '../../shared/errors.ts';
import type { Broker } from '../broker.ts';
import { Rarely } from '../refusals/rarely.ts';
import { classOfRoute, type RequestClass } from '../traffic/classes.ts';
import { Episode } from '../traffic/episode.ts';
import { FailingNetworks } from '../traffic/failing.ts';
import { Shedding } from '../traffic/shedding.ts';
import { type Form, isRenewal } from './form.ts';

/** Codes of requests that nobody makes who has a session, or had one: whoever makes many of them is up to something else. */
const NO_GOOD: ReadonlySet<Code> = new Set<Code>([
  ...(['request_invalid', 'grant_type', 'proof_invalid', 'unknown_session', 'id_token_invalid'] as const),
  ...(['id_token_signature', 'id_token_issuer', 'id_token_audience', 'id_token_azp', 'id_token_nonce'] as const),
  ...(['webhook_token', 'gateway_token'] as const),
]);

/** Seconds after which those who were sent away may come again, in which they are spread. */
const [SOONEST_S, LATEST_S] = [1, 5];

export interface Traffic {
  /** Whether it is too late to take more: whoever routes requests is to send them elsewhere. */
  readonly overloaded: () => boolean;
  readonly stop: () => void;
}

/** What it works with. */
export type TrafficParts = Pick<Broker, 'metrics' | 'stopwatch' | 'now'>;

/** @param prefix the path of the issuer, which routes begin with */
export function watchTraffic(
  app: FastifyInstance,
  broker: TrafficParts,
  { log, prefix }: { readonly log: Logger; readonly prefix: string },
): Traffic {
  const delay = watchLoopDelay(broker.stopwatch);
  const shedding = new Shedding(delay.ms, broker.stopwatch);
  const failing = new FailingNetworks();
  const said = new Rarely();
  const episode = new Episode(log, delay.ms, broker.stopwatch);
  /** Sockets of which the last answer was good: whatever others behind the same address do. */
  const good = new WeakSet<object>();
  const waiting = new WeakMap<FastifyRequest, { readonly network: string; readonly much: boolean }>();

  const classOf = ({ method, routeOptions, headers }: FastifyRequest) => {
    const { url } = routeOptions;
    const route = url?.startsWith(`${prefix}/`) ? url.slice(prefix.length) : url;
    return classOfRoute(method, route, headers.authorization !== undefined);
  };
  /** @throws CurfewError `busy` */
  const enter = (reply: FastifyReply, name: RequestClass, network: string, much: boolean) => {
    const leave = shedding.take(name, network, much);
    if (leave) reply.raw.once('close', leave);
    else {
      broker.metrics.sentAway(name, 'busy');
      episode.sentAway();
      throw new CurfewError('busy', 'the broker has more to do than it can', {
        retry_after: randomInt(SOONEST_S, LATEST_S),
      });
    }
  };

  app.decorateReply('code_said', undefined);
  app.addHook('onRequest', async (request, reply) => {
    const name = classOf(request);
    if (name === 'free') return;
    const network = networkOf(request.address);
    const much = shedding.asks(network);
    const waits =
      name === 'end' || good.has(request.raw.socket) ? undefined : failing.waits(network, broker.stopwatch());
    if (waits !== undefined) {
      broker.metrics.sentAway(name === 'token' ? 'login' : name, 'too_many_requests');
      const unsaid = said.note('no good', broker.now());
      if (unsaid !== undefined)
        log.warn({ address: network, unsaid }, 'too many requests from there are no good: it waits');
      const fault = 'too many requests from this address were no good';
      throw new CurfewError('too_many_requests', fault, { retry_after: waits });
    }
    // Which of the two it is its body says, which is small.
    if (name === 'token') waiting.set(request, { network, much });
    else enter(reply, name, network, much);
  });
  app.addHook('preHandler', async (request, reply) => {
    const known = waiting.get(request);
    if (!known) return;
    waiting.delete(request);
    enter(reply, isRenewal(request.body as Form | undefined) ? 'renewal' : 'login', known.network, known.much);
  });
  app.addHook('onResponse', async (request, reply) => {
    const { code_said, statusCode } = reply;
    const { socket } = request.raw;
    // A peer that is trusted to say for whom it asks has many behind one socket.
    if (statusCode < 400 && request.address === plainSpelling(socket.remoteAddress ?? '')) good.add(socket);
    const isNoGood = code_said === undefined ? statusCode === 404 || statusCode === 405 : NO_GOOD.has(code_said);
    if (!isNoGood || statusCode < 400) return;
    good.delete(socket);
    failing.note(networkOf(request.address), broker.stopwatch());
  });
  return {
    overloaded: () => shedding.overloaded(),
    stop() {
      delay.stop();
      episode.stop();
    },
  };
}
