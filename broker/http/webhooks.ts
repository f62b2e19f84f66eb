// The webhooks of kube-apiserver: who asks is known by its token before a byte of the question is read.

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { CurfewError } from '../../shared/errors.ts';
import { isObject } from '../../shared/wire.ts';
import type { Broker } from '../broker.ts';
import type { Cluster } from '../config/settings.ts';
import type { Webhook, WebhookOutcome } from '../metrics/metrics.ts';
import { recordStranger } from '../outcome/refused.ts';
import { Rarely } from '../refusals/rarely.ts';
import { authorize, type ReviewParts } from '../webhooks/access_review.ts';
import { clusterOfToken } from '../webhooks/caller.ts';
import { parseAccessReview, parseTokenReview } from '../webhooks/review.ts';
import { authenticate, type TokenReviewParts } from '../webhooks/token_review.ts';
import { sendError } from './answer.ts';
import { faultOfRequest } from './refused.ts';

/** Larger than a review about a person with as many groups, and as long ones, as are taken. */
const LARGEST_REVIEW_BYTES = 512 * 1024;

const NO_WEBHOOK_TOKEN = 'the bearer token is not a webhook token of this broker';
/** What of a body that is refused is said again: what Kubernetes could have meant, and nothing that anybody makes up. */
const KNOWN =
  /^(SubjectAccessReview|TokenReview) of (authorization|authentication)\.k8s\.io\/v[0-9]((alpha|beta)[0-9])?$/;
/** What each is asked with. */
const REVIEW: Readonly<Record<Webhook, string>> = { authorize: 'SubjectAccessReview', authenticate: 'TokenReview' };

/** What the webhooks work with. */
export type WebhookParts = ReviewParts & TokenReviewParts & Pick<Broker, 'refusals' | 'metrics'>;

export function webhookRoutes(app: FastifyInstance, broker: WebhookParts): void {
  const callers = new WeakMap<FastifyRequest, Cluster>();
  const outcomes = new WeakMap<FastifyRequest, WebhookOutcome>();
  app.removeAllContentTypeParsers();
  app.addContentTypeParser(
    'application/json',
    { parseAs: 'string', bodyLimit: LARGEST_REVIEW_BYTES },
    async (_request: FastifyRequest, body: string) => parseJson(body),
  );

  // An administrator who sets a webhook up sees only `Unauthorized` at the API server: here is why.
  const said = new Rarely();
  const sayRefused = (request: FastifyRequest, reason: string) => {
    const [what, cluster] = [REVIEW[webhookOf(request)], callers.get(request)?.name];
    const unsaid = said.note([what, cluster, reason].join('\n'), broker.now());
    if (unsaid === undefined) return;
    const facts = { cluster, address: request.address, reason, ...(unsaid > 0 && { repeated: unsaid }) };
    broker.log.warn(facts, `a ${what} was refused`);
  };
  app.addHook('onError', async (request, _reply, error) => {
    const reason = faultOfRequest(error, 'review', LARGEST_REVIEW_BYTES);
    if (reason !== undefined) sayRefused(request, reason);
  });
  app.addHook('onRequest', async (request, reply) => {
    const cluster = clusterOfToken(broker.config, request.headers.authorization);
    if (cluster) callers.set(request, cluster);
    else {
      sayRefused(request, NO_WEBHOOK_TOKEN);
      return refuseCaller(broker, request, reply);
    }
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
    if (!review) throw unreadable('SubjectAccessReview', 'authorization.k8s.io', request.body);
    const opinion = await authorize(broker, callerOf(request), review);
    outcomes.set(request, opinion.denied ? 'denied' : 'no_opinion');
    const status = opinion.denied ? { allowed: false, ...opinion } : { allowed: false };
    return reply.send({ apiVersion: review.apiVersion, kind: 'SubjectAccessReview', status });
  });

  app.post('/webhooks/authenticate', async (request, reply) => {
    const review = parseTokenReview(request.body);
    if (!review) throw unreadable('TokenReview', 'authentication.k8s.io', request.body);
    const cluster = callerOf(request);
    if (!cluster.webhook?.authentication)
      sayRefused(request, 'webhook.authentication: true is not set for this cluster');
    const status = await authenticate(broker, cluster, review.token);
    outcomes.set(request, status.authenticated ? 'authenticated' : 'not_authenticated');
    return reply.send({ apiVersion: review.apiVersion, kind: 'TokenReview', status });
  });
}

function webhookOf({ routeOptions }: FastifyRequest): Webhook {
  return routeOptions.url?.endsWith('/authenticate') ? 'authenticate' : 'authorize';
}

function unreadable(kind: string, group: string, body: unknown): CurfewError {
  const { kind: got, apiVersion } = isObject(body) ? body : {};
  const known = typeof got === 'string' && typeof apiVersion === 'string' && KNOWN.test(`${got} of ${apiVersion}`);
  const instead = known ? `, got a ${got} of ${apiVersion}` : '';
  return new CurfewError('request_invalid', `expected a ${kind} of ${group}/v1 or v1beta1${instead}`);
}

async function refuseCaller(
  broker: Pick<Broker, 'store' | 'refusals' | 'now'>,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const grant = webhookOf(request) === 'authenticate' ? 'authentication' : 'authorization';
  await recordStranger(broker, grant, 'webhook_token', request.address);
  return sendError(reply.header('WWW-Authenticate', 'Bearer'), new CurfewError('webhook_token', NO_WEBHOOK_TOKEN));
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new CurfewError('request_invalid', 'the body is not JSON', { cause });
  }
}
