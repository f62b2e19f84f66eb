// POST /introspect (RFC 7662): by the holder of a key with a proof, or by a cluster with its webhook token.

import type { FastifyInstance, FastifyReply } from 'fastify';
import type { ClientCertificates } from '../../serving/net/client_certificates.ts';
import { CurfewError } from '../../shared/errors.ts';
import type { Broker } from '../broker.ts';
import { requireClock } from '../clock/clock.ts';
import { type IntrospectionParts, introspectAsCluster, introspectAsHolder } from '../grants/introspection.ts';
import type { ProofVerifier } from '../tokens/dpop.ts';
import { clusterOfToken } from '../webhooks/caller.ts';
import { sendError, sendRefused } from './answer.ts';
import { type Form, required } from './form.ts';
import { type Edge, respond } from './respond.ts';
import { originOf } from './token.ts';

/** In the scope of `tokenRoutes`, whose parser of forms it uses. */
export function introspectionRoutes(
  app: FastifyInstance,
  broker: IntrospectionParts & Pick<Broker, 'clock'>,
  proofs: ProofVerifier,
  certificates: Pick<ClientCertificates, 'faultOf'>,
): void {
  const url = `${broker.config.issuer}/introspect`;
  const edge: Edge = {
    grant: 'introspection',
    proofs,
    sendRefused: (reply, refused) => sendRefused(challenge(reply), refused, 401),
    sendError: (reply, error) => sendError(challenge(reply), error, 401),
  };
  app.post<{ Body: Form | undefined }>('/introspect', async (request, reply) => {
    const token = required(request.body ?? new Map(), 'token');
    return respond(broker, edge, request, reply, async () => {
      requireClock(broker);
      const { authorization, dpop } = request.headers;
      if (authorization !== undefined) {
        const cluster = clusterOfToken(broker.config, authorization);
        if (!cluster) throw new CurfewError('webhook_token', 'the bearer token is not a webhook token of this broker');
        const fault = cluster.webhook?.client_certificate ? certificates.faultOf(request.raw.socket) : undefined;
        if (fault !== undefined) {
          reply.header('Connection', 'close');
          throw new CurfewError('client_certificate', fault);
        }
        return introspectAsCluster(broker, cluster, token);
      }
      const proof = proofs.verify(typeof dpop === 'string' ? dpop : undefined, { method: 'POST', url });
      return introspectAsHolder(broker, { proof, ...originOf(request) }, token);
    });
  });
}

/** RFC 7662 2.3: who asks must say who they are. */
function challenge(reply: FastifyReply): FastifyReply {
  return reply.header('WWW-Authenticate', 'DPoP algs="ES256", Bearer');
}
