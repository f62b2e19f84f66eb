// POST /introspect (RFC 7662): by the holder of a key with a proof, or by a cluster with its webhook token.

import type { FastifyInstance, FastifyReply } from 'fastify';
import { answerOf, CurfewError } from '../../shared/errors.ts';
import type { Broker } from '../broker.ts';
import { requireClock } from '../clock/clock.ts';
import { introspectAsCluster, introspectAsHolder } from '../grants/introspection.ts';
import { recordStranger } from '../outcome/refused.ts';
import type { ProofVerifier } from '../tokens/dpop.ts';
import { clusterOfToken } from '../webhooks/caller.ts';
import { sendError, sendRefused } from './answer.ts';
import { type Form, required } from './form.ts';
import { originOf } from './token.ts';

/** In the scope of `tokenRoutes`, whose parser of forms it uses. */
export function introspectionRoutes(app: FastifyInstance, broker: Broker, proofs: ProofVerifier): void {
  const url = `${broker.config.issuer}/introspect`;
  app.post<{ Body: Form | undefined }>('/introspect', async (request, reply) => {
    const token = required(request.body ?? new Map(), 'token');
    try {
      requireClock(broker);
      const { authorization, dpop } = request.headers;
      if (authorization !== undefined) {
        const cluster = clusterOfToken(broker.config, authorization);
        if (!cluster) throw new CurfewError('webhook_token', 'the bearer token is no webhook token of this broker');
        return reply.send(await introspectAsCluster(broker, cluster, token));
      }
      const proof = proofs.verify(typeof dpop === 'string' ? dpop : undefined, { method: 'POST', url });
      const outcome = await introspectAsHolder(broker, { proof, ...originOf(request) }, token);
      if (!('refused' in outcome)) return reply.send(outcome);
      return sendRefused(challenge(reply), outcome, 401);
    } catch (error) {
      if (!(error instanceof CurfewError) || answerOf(error).status >= 500) throw error;
      if (error.code === 'proof_nonce') reply.header('DPoP-Nonce', proofs.nonce());
      else await recordStranger(broker, 'introspection', error.code, request.address);
      return sendError(challenge(reply), error, 401);
    }
  });
}

/** RFC 7662 2.3: who asks must say who they are. */
function challenge(reply: FastifyReply): FastifyReply {
  return reply.header('WWW-Authenticate', 'DPoP algs="ES256", Bearer');
}
