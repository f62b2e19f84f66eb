// POST /token and POST /revoke: parse, verify the proof, and tell the story of the grant.

import type { FastifyInstance, FastifyRequest } from 'fastify';
import { requireClock, requireTime } from '../clock/clock.ts';
import { type ExchangeParts, exchange } from '../grants/exchange.ts';
import { type RenewalParts, renew } from '../grants/renewal.ts';
import { revoke } from '../grants/revocation.ts';
import { type SwapParts, swap } from '../grants/swap.ts';
import type { Caller } from '../policy/caller.ts';
import type { Origin } from '../policy/target.ts';
import { requireQuickStore } from '../store/watch.ts';
import type { ProofVerifier } from '../tokens/dpop.ts';
import { sendError } from './answer.ts';
import { type Form, LARGEST_BODY_BYTES, parseForm, parseSwap, parseTokenRequest, required } from './form.ts';
import { type Edge, respond } from './respond.ts';

/** What the grants work with. */
export type TokenParts = ExchangeParts & RenewalParts & SwapParts & Parameters<typeof revoke>[0];

export function tokenRoutes(app: FastifyInstance, broker: TokenParts, proofs: ProofVerifier): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser(
    'application/x-www-form-urlencoded',
    { parseAs: 'buffer', bodyLimit: LARGEST_BODY_BYTES },
    async (_request: FastifyRequest, body: Buffer) => parseForm(body),
  );
  const { issuer } = broker.config;

  /** @throws CurfewError `proof_invalid` or `proof_nonce` */
  const callerOf = (request: FastifyRequest, url: string): Caller => {
    const { dpop } = request.headers;
    const header = typeof dpop === 'string' ? dpop : undefined;
    return { proof: proofs.verify(header, { method: 'POST', url }), ...originOf(request) };
  };

  const byGateway: Edge = {
    grant: 'gateway',
    sendError: (failed, error) =>
      sendError(error.code === 'gateway_token' ? failed.header('WWW-Authenticate', 'Bearer') : failed, error),
  };

  app.post<{ Body: Form | undefined }>('/token', async (request, reply) => {
    const { authorization } = request.headers;
    // A person proves who they are with the request itself; only a gateway has a token to ask with.
    if (authorization !== undefined) {
      return respond(broker, byGateway, request, reply, async () => {
        requireQuickStore(broker);
        return swap(broker, authorization, parseSwap(request.body ?? new Map()), request.address);
      });
    }
    const parsed = parseTokenRequest(request.body ?? new Map());
    return respond(broker, { grant: parsed.grant, proofs }, request, reply, async () => {
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
    return respond(broker, { grant: 'revocation', proofs }, request, reply, async () => {
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
