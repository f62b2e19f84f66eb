// The webhooks of kube-apiserver: who asks is known by its token before a byte of the question is read.

import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { ClientCertificates } from '../../serving/net/client_certificates.ts';
import { CurfewError } from '../../shared/errors.ts';
import { isObject } from '../../shared/wire.ts';
import type { Broker } from '../broker.ts';
import type { Webhook, WebhookOutcome } from '../metrics/webhooks.ts';
import { authorize, type ReviewParts } from '../webhooks/access_review.ts';
import { clusterOfToken } from '../webhooks/caller.ts';
import { parseAccessReview, parseTokenReview } from '../webhooks/review.ts';
import { authenticate, type TokenReviewParts } from '../webhooks/token_review.ts';
import { knownCallers } from './known_callers.ts';

/** Larger than a review about a person with as many groups, and as long ones, as are taken. */
const LARGEST_REVIEW_BYTES = 512 * 1024;

/** What of a body that is refused is said again: what Kubernetes could have meant, and nothing that anybody makes up. */
const KNOWN =
  /^(SubjectAccessReview|TokenReview) of (authorization|authentication)\.k8s\.io\/v[0-9]((alpha|beta)[0-9])?$/;
/** What each is asked with. */
const REVIEW: Readonly<Record<Webhook, string>> = { authorize: 'SubjectAccessReview', authenticate: 'TokenReview' };

/** What the webhooks work with. */
export type WebhookParts = ReviewParts & TokenReviewParts & Pick<Broker, 'refusals' | 'metrics'>;

export function webhookRoutes(
  app: FastifyInstance,
  broker: WebhookParts,
  certificates: Pick<ClientCertificates, 'faultOf'>,
): void {
  const outcomes = new WeakMap<FastifyRequest, WebhookOutcome>();
  const { callerOf, sayRefused } = knownCallers(app, broker, {
    ...{ body: 'review', largest_bytes: LARGEST_REVIEW_BYTES },
    callerOf: (authorization) => clusterOfToken(broker.config, authorization),
    // An administrator who sets a webhook up sees only `Unauthorized` at the API server: here is why.
    what: (request) => `a ${REVIEW[webhookOf(request)]}`,
    unshown: ({ webhook }, { raw }) => (webhook?.client_certificate ? certificates.faultOf(raw.socket) : undefined),
    stranger: {
      ...{ code: 'webhook_token', message: 'the bearer token is not a webhook token of this broker' },
      grant: (request) => (webhookOf(request) === 'authenticate' ? 'authentication' : 'authorization'),
    },
  });
  app.addHook('onResponse', (request, { statusCode, elapsedTime }, done) => {
    const outcome = outcomes.get(request) ?? (statusCode < 500 ? 'refused' : 'failed');
    broker.metrics.webhook(webhookOf(request), outcome, elapsedTime / 1000);
    done();
  });
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
