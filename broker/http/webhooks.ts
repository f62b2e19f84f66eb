// The webhooks of kube-apiserver: who asks is known by its token before a byte of the question is read.

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { CurfewError } from '../../shared/errors.ts';
import { authenticate } from '../authentication.ts';
import { authorize } from '../authorization.ts';
import { type Broker, recordStranger } from '../broker.ts';
import type { Cluster } from '../config.ts';
import type { Webhook, WebhookOutcome } from '../metrics.ts';
import { clusterOfToken } from '../webhook_caller.ts';
import { parseAccessReview, parseTokenReview } from '../webhook_review.ts';
import { sendError } from './answer.ts';

/** Larger than a review about a person with as many groups, and as long ones, as are taken. */
const LARGEST_REVIEW = 512 * 1024;

export function webhookRoutes(app: FastifyInstance, broker: Broker): void {
  const callers = new WeakMap<FastifyRequest, Cluster>();
  const outcomes = new WeakMap<FastifyRequest, WebhookOutcome>();
  app.removeAllContentTypeParsers();
  app.addContentTypeParser(
    'application/json',
    { parseAs: 'string', bodyLimit: LARGEST_REVIEW },
    async (_request: FastifyRequest, body: string) => parseJson(body),
  );

  app.addHook('onRequest', async (request, reply) => {
    const cluster = clusterOfToken(broker.config, request.headers.authorization);
    if (cluster) callers.set(request, cluster);
    else return refuseCaller(broker, request, reply);
  });
  app.addHook('onResponse', (request, { statusCode, elapsedTime }, done) => {
    const outcome = outcomes.get(request) ?? (statusCode < 500 ? 'refused' : 'failed');
    broker.metrics.webhook(webhookOf(request), outcome, elapsedTime / 1000);
    done();
  });
  const callerOf = (request: FastifyRequest): Cluster => {
    const cluster = callers.get(request);
    if (!cluster) throw new TypeError('a webhook without its caller');
    return cluster;
  };

  app.post('/webhooks/authorize', async (request, reply) => {
    const review = parseAccessReview(request.body);
    if (!review) throw new CurfewError('request_invalid', 'expected a SubjectAccessReview of authorization.k8s.io/v1');
    const opinion = await authorize(broker, callerOf(request), review);
    outcomes.set(request, opinion.denied ? 'denied' : 'no_opinion');
    const status = opinion.denied ? { allowed: false, ...opinion } : { allowed: false };
    return reply.send({ apiVersion: 'authorization.k8s.io/v1', kind: 'SubjectAccessReview', status });
  });

  app.post('/webhooks/authenticate', async (request, reply) => {
    const token = parseTokenReview(request.body);
    if (token === undefined)
      throw new CurfewError('request_invalid', 'expected a TokenReview of authentication.k8s.io/v1');
    const status = await authenticate(broker, callerOf(request), token);
    outcomes.set(request, status.authenticated ? 'authenticated' : 'not_authenticated');
    return reply.send({ apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', status });
  });
}

function webhookOf({ routeOptions }: FastifyRequest): Webhook {
  return routeOptions.url?.endsWith('/authenticate') ? 'authenticate' : 'authorize';
}

async function refuseCaller(broker: Broker, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const grant = webhookOf(request) === 'authenticate' ? 'authentication' : 'authorization';
  const message = 'the bearer token is no webhook token of this broker';
  await recordStranger(broker, grant, 'webhook_token', request.address);
  return sendError(reply.header('WWW-Authenticate', 'Bearer'), new CurfewError('webhook_token', message));
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new CurfewError('request_invalid', 'the body is not JSON', { cause });
  }
}
