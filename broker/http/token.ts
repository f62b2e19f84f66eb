// POST /token and POST /revoke: parse, verify the proof, and tell the story of the grant.

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { answerOf, CurfewError } from '../../shared/errors.ts';
import type { Broker } from '../broker.ts';
import { requireClock, requireTime } from '../clock/clock.ts';
import { exchange } from '../grants/exchange.ts';
import { renew } from '../grants/renewal.ts';
import { revoke } from '../grants/revocation.ts';
import type { Granted } from '../outcome/granted.ts';
import { type Refused, recordStranger } from '../outcome/refused.ts';
import type { Caller } from '../policy/caller.ts';
import type { Origin } from '../policy/target.ts';
import { requireQuickStore } from '../store/watch.ts';
import type { ProofVerifier } from '../tokens/dpop.ts';
import { sendError, sendRefused } from './answer.ts';
import { type Form, LARGEST_BODY, parseForm, parseTokenRequest, required } from './form.ts';

export function tokenRoutes(app: FastifyInstance, broker: Broker, proofs: ProofVerifier): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser(
    'application/x-www-form-urlencoded',
    { parseAs: 'buffer', bodyLimit: LARGEST_BODY },
    async (_request: FastifyRequest, body: Buffer) => parseForm(body),
  );
  const { issuer } = broker.config;

  /** @throws CurfewError `proof_invalid` or `proof_nonce` */
  const callerOf = (request: FastifyRequest, url: string): Caller => {
    const { dpop } = request.headers;
    const header = typeof dpop === 'string' ? dpop : undefined;
    return { proof: proofs.verify(header, { method: 'POST', url }), ...originOf(request) };
  };

  const answer = async (
    request: FastifyRequest,
    reply: FastifyReply,
    grant: 'exchange' | 'renewal' | 'revocation',
    story: () => Promise<Granted | Refused | undefined>,
  ) => {
    try {
      const outcome = await story();
      if (outcome === undefined) return reply.code(200).send();
      return 'reply' in outcome ? reply.send(outcome.reply) : sendRefused(reply, outcome);
    } catch (error) {
      if (!(error instanceof CurfewError)) throw error;
      if (error.code === 'proof_nonce') reply.header('DPoP-Nonce', proofs.nonce());
      else if (answerOf(error).status < 500) await recordStranger(broker, grant, error.code, request.address);
      return sendError(reply, error);
    }
  };

  app.post<{ Body: Form | undefined }>('/token', async (request, reply) => {
    const parsed = parseTokenRequest(request.body ?? new Map());
    return answer(request, reply, parsed.grant, async () => {
      requireClock(broker);
      requireQuickStore(broker);
      const caller = callerOf(request, `${issuer}/token`);
      return parsed.grant === 'exchange'
        ? exchange(broker, caller, parsed.request)
        : renew(broker, caller, parsed.request);
    });
  });

  app.post<{ Body: Form | undefined }>('/revoke', async (request, reply) => {
    const handle = required(request.body ?? new Map(), 'token');
    return answer(request, reply, 'revocation', async () => {
      requireTime(broker);
      return revoke(broker, callerOf(request, `${issuer}/revoke`), handle);
    });
  });
}

/** The client's own word for itself, short enough and safe to be shown. */
export function originOf({ address, headers }: FastifyRequest): Origin {
  const user_agent = headers['user-agent']?.replace(/[^\x20-\x7e]+/g, ' ').slice(0, 200);
  return { address, ...(user_agent && { user_agent }) };
}
