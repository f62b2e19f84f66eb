// How an edge answers: what its story came to, a refusal, or what is wrong with the request. One way for all of them; an edge says
// only where the standards want another form.

import type { FastifyReply, FastifyRequest } from 'fastify';
import { answerOf, type Code, CurfewError } from '../../shared/errors.ts';
import type { Asking } from '../audit_log/events.ts';
import type { Broker } from '../broker.ts';
import type { Granted } from '../outcome/granted.ts';
import { type Refused, recordStranger } from '../outcome/refused.ts';
import type { ProofVerifier } from '../tokens/dpop.ts';
import { sendError, sendRefused } from './answer.ts';

/** What it takes to answer. */
export type RespondParts = Pick<Broker, 'store' | 'refusals' | 'now'>;

export interface Edge {
  /** What is asked for, as rows about refusals name it. */
  readonly grant: Asking;
  /** Where a DPoP proof is asked for: whose nonce is given when one is needed (RFC 9449 8). */
  readonly proofs?: Pick<ProofVerifier, 'nonce'> | undefined;
  /** What is not written down, as it says nothing of anybody. */
  readonly unrecorded?: readonly Code[] | undefined;
  /** Where it is not as at POST /token (RFC 6749 5.2). */
  readonly sendRefused?: ((reply: FastifyReply, refused: Refused) => FastifyReply) | undefined;
  readonly sendError?: ((reply: FastifyReply, error: CurfewError) => FastifyReply) | undefined;
}

/**
 * Tells a story and sends what it came to; nothing of what is wrong with the request is told by the story itself.
 *
 * @param story returns a reply, a refusal, or nothing where there is nothing to say
 * @throws what is not the request's fault: that is logged and answered in one place, for all routes
 */
export async function respond(
  broker: RespondParts,
  edge: Edge,
  request: FastifyRequest,
  reply: FastifyReply,
  story: () => Promise<Granted | Refused | object | undefined>,
): Promise<FastifyReply> {
  try {
    const outcome = await story();
    if (outcome === undefined) return reply.send();
    if ('refused' in outcome) return (edge.sendRefused ?? sendRefused)(reply, outcome as Refused);
    return reply.send('reply' in outcome ? outcome.reply : outcome);
  } catch (error) {
    if (!(error instanceof CurfewError) || answerOf(error).status >= 500) throw error;
    if (error.code === 'proof_nonce' && edge.proofs) reply.header('DPoP-Nonce', edge.proofs.nonce());
    else if (!edge.unrecorded?.includes(error.code)) {
      await recordStranger(broker, edge.grant, error.code, request.address);
    }
    return (edge.sendError ?? sendError)(reply, error);
  }
}
