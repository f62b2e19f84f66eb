// Callers that are known by a token of their own, the webhooks of kube-apiserver and gateways: who asks is known before a byte of the question
// is read, and whoever sets one up reads in the log why it is refused.

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { CurfewError } from '../../shared/errors.ts';
import type { Broker } from '../broker.ts';
import { recordStranger } from '../outcome/refused.ts';
import { Rarely } from '../refusals/rarely.ts';
import { sendError } from './answer.ts';
import { faultOfRequest } from './refused.ts';

type Stranger = Parameters<typeof recordStranger>;

export interface Callers<Caller> {
  /** What a body is called, and how large one may be. */
  readonly body: 'request' | 'review';
  readonly largest_bytes: number;
  /** Whose token it is. */
  readonly callerOf: (authorization: string | undefined) => Caller | undefined;
  /** What is refused, as the log has it. */
  readonly what: (request: FastifyRequest) => string;
  /** What else a caller must have shown, by what it asks with: why not. */
  readonly unshown?: (caller: Caller, request: FastifyRequest) => string | undefined;
  /** A token of nobody. */
  readonly stranger: {
    readonly code: Stranger[2] & ConstructorParameters<typeof CurfewError>[0];
    readonly message: string;
    readonly grant: (request: FastifyRequest) => Stranger[1];
  };
}

export interface KnownCallers<Caller> {
  readonly callerOf: (request: FastifyRequest) => Caller;
  readonly sayRefused: (request: FastifyRequest, reason: string) => void;
}

export function knownCallers<Caller extends { readonly name: string }>(
  app: FastifyInstance,
  broker: Pick<Broker, 'store' | 'refusals' | 'now' | 'log'>,
  { body, largest_bytes, callerOf, what, unshown, stranger }: Callers<Caller>,
): KnownCallers<Caller> {
  const callers = new WeakMap<FastifyRequest, Caller>();
  app.removeAllContentTypeParsers();
  app.addContentTypeParser(
    'application/json',
    { parseAs: 'string', bodyLimit: largest_bytes },
    async (_request: FastifyRequest, text: string) => parsed(text),
  );
  const said = new Rarely();
  const sayRefused = (request: FastifyRequest, reason: string) => {
    const [asked, cluster] = [what(request), callers.get(request)?.name];
    const unsaid = said.note([asked, cluster, reason].join('\n'), broker.now());
    if (unsaid === undefined) return;
    const facts = { cluster, address: request.address, reason, ...(unsaid > 0 && { repeated: unsaid }) };
    broker.log.warn(facts, `${asked} was refused`);
  };
  const refuse = async (
    request: FastifyRequest,
    reply: FastifyReply,
    { code, message }: Pick<Callers<Caller>['stranger'], 'code' | 'message'> = stranger,
  ): Promise<FastifyReply> => {
    await recordStranger(broker, stranger.grant(request), code, request.address);
    return sendError(reply.header('WWW-Authenticate', 'Bearer'), new CurfewError(code, message));
  };
  app.addHook('onError', async (request, _reply, error) => {
    const reason = faultOfRequest(error, body, largest_bytes);
    if (reason !== undefined) sayRefused(request, reason);
  });
  app.addHook('onRequest', async (request, reply) => {
    const caller = callerOf(request.headers.authorization);
    if (!caller) {
      sayRefused(request, stranger.message);
      return refuse(request, reply);
    }
    callers.set(request, caller);
    const message = unshown?.(caller, request);
    if (message === undefined) return;
    sayRefused(request, message);
    // The next handshake may show another one.
    return refuse(request, reply.header('Connection', 'close'), { code: 'client_certificate', message });
  });
  return {
    sayRefused,
    callerOf(request) {
      const caller = callers.get(request);
      if (!caller) throw new TypeError('a caller that is not known');
      return caller;
    },
  };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new CurfewError('request_invalid', 'the body is not JSON', { cause });
  }
}
