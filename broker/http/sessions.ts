// GET and DELETE /v1/sessions: our own API, with `Authorization: DPoP <handle>` and a proof made for it (RFC 9449 7.1).

import { hash } from 'node:crypto';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { type Code, CurfewError, meaning, type OAuthError } from '../../shared/errors.ts';
import { seconds } from '../../shared/time.ts';
import { type Asker, type AskingParts, STEP_UP } from '../api/asker.ts';
import { type EndWish, endSessions, type ListWish, listSessions, showSession } from '../api/session_api.ts';
import type { Broker } from '../broker.ts';
import { requireClock } from '../clock/clock.ts';
import type { Refused } from '../outcome/refused.ts';
import type { ProofVerifier } from '../tokens/dpop.ts';
import { sendError, sendRefused } from './answer.ts';
import { parseForm } from './form.ts';
import { type Edge, respond } from './respond.ts';
import { originOf } from './token.ts';

const MOST = 1000;
const USUAL = 500;

export function sessionRoutes(
  app: FastifyInstance,
  broker: AskingParts & Pick<Broker, 'clock'>,
  proofs: ProofVerifier,
): void {
  const url = `${broker.config.issuer}/v1/sessions`;

  /** @throws CurfewError `unknown_session`, `proof_invalid`, `proof_nonce` */
  const askerOf = (request: FastifyRequest, path = ''): Asker => {
    const [, handle] = /^DPoP ([A-Za-z0-9_-]{1,512})$/i.exec(request.headers.authorization ?? '') ?? [];
    if (handle === undefined)
      throw new CurfewError('unknown_session', 'expected Authorization: DPoP with a session handle');
    const { dpop } = request.headers;
    const header = typeof dpop === 'string' ? dpop : undefined;
    const proof = proofs.verify(header, { method: request.method, url: url + path });
    if (proof.ath !== hash('sha256', handle, 'base64url')) {
      throw new CurfewError('proof_invalid', 'the DPoP proof was not made for this session handle');
    }
    return { proof, handle, ...originOf(request) };
  };

  const edge: Edge = {
    grant: 'sessions',
    proofs,
    unrecorded: ['request_invalid'],
    sendRefused: sendRefusal,
    sendError: (reply, error) =>
      error.code === 'request_invalid'
        ? sendError(reply, error)
        : sendError(challenge(reply, error.code), error, 401, errorOf(error.code)),
  };
  const answer = (request: FastifyRequest, reply: FastifyReply, story: () => Promise<object>) =>
    respond(broker, edge, request, reply, () => {
      requireClock(broker);
      return story();
    });

  app.get('/v1/sessions', (request, reply) =>
    answer(request, reply, async () => listSessions(broker, askerOf(request), parseList(request))),
  );
  app.get<{ Params: { sid: string } }>('/v1/sessions/:sid', (request, reply) =>
    answer(request, reply, async () => {
      parseQuery(request, []);
      const { sid } = request.params;
      return showSession(broker, askerOf(request, `/${encodeURIComponent(sid)}`), sid);
    }),
  );
  app.delete('/v1/sessions', (request, reply) =>
    answer(request, reply, async () => {
      const wish = parseEndMany(request);
      return endSessions(broker, askerOf(request), wish);
    }),
  );
  app.delete<{ Params: { sid: string } }>('/v1/sessions/:sid', (request, reply) =>
    answer(request, reply, async () => {
      const { reason } = parseQuery(request, ['reason']);
      const { sid } = request.params;
      return endSessions(broker, askerOf(request, `/${encodeURIComponent(sid)}`), { sid, note: noteOf(reason) });
    }),
  );
}

/** The session that asks is not good enough: 401 with a challenge; for what an administrator may do: 403, and what is missing. */
function sendRefusal(reply: FastifyReply, refused: Refused): FastifyReply {
  const { status } = meaning(refused.refused);
  if (status === 403 || status === 404) return sendRefused(reply, refused);
  if (refused.session && STEP_UP.includes(refused.refused)) {
    return sendRefused(reply, refused, 403, 'insufficient_user_authentication');
  }
  return sendRefused(challenge(reply, refused.refused), refused, 401, errorOf(refused.refused));
}

/** RFC 9449 7.1 */
function challenge(reply: FastifyReply, code: Code): FastifyReply {
  const error = code === 'proof_nonce' ? 'use_dpop_nonce' : 'invalid_token';
  return reply.header('WWW-Authenticate', `DPoP error="${error}", algs="ES256"`);
}

/** Whatever is wrong with a session, here it is a token that is not good (RFC 6750 3.1). What is wrong with a proof stays that. */
function errorOf(code: Code): OAuthError {
  const { error } = meaning(code);
  return error === 'invalid_dpop_proof' || error === 'use_dpop_nonce' ? error : 'invalid_token';
}

type Query = Readonly<Record<string, string | undefined>>;

/** @throws CurfewError `request_invalid` for a parameter that is unknown, repeated or malformed */
function parseQuery({ url }: FastifyRequest, names: readonly string[]): Query {
  const begin = url.indexOf('?');
  const query = begin === -1 ? new Map<string, string>() : parseForm(url.slice(begin + 1));
  for (const name of query.keys()) {
    if (!names.includes(name)) throw invalid(`${JSON.stringify(name).slice(0, 60)}: unknown parameter`);
  }
  return Object.fromEntries(query);
}

function parseList(request: FastifyRequest): ListWish {
  const { all, limit, after } = parseQuery(request, ['all', 'limit', 'after']);
  if (all !== undefined && all !== 'true') throw invalid('all: expected true');
  if (limit !== undefined && !(/^[1-9][0-9]{0,3}$/.test(limit) && Number(limit) <= MOST)) {
    throw invalid(`limit: expected 1 to ${MOST}`);
  }
  return { all: all === 'true', limit: limit === undefined ? USUAL : Number(limit), after: placeOf(after) };
}

/** `next` of the page before. */
function placeOf(after: string | undefined): ListWish['after'] {
  if (after === undefined) return undefined;
  const [, opened_at, sid] = /^([0-9]{1,15})\.([A-Za-z0-9_-]{1,64})$/.exec(after) ?? [];
  if (opened_at === undefined || sid === undefined) throw invalid('after: expected next of a reply');
  return { opened_at: seconds(Number(opened_at)), sid };
}

function parseEndMany(request: FastifyRequest): EndWish {
  const { user, all, reason } = parseQuery(request, ['user', 'all', 'reason']);
  const note = noteOf(reason);
  if (user !== undefined && user !== '' && all === undefined) return { user, note };
  if (all === 'true' && user === undefined) return { all: true, note };
  throw invalid('expected either user or all=true');
}

/** What goes into the audit log as it is: one line that can be shown. */
function noteOf(reason: string | undefined): string | undefined {
  if (reason === undefined) return undefined;
  if (reason === '' || reason.length > 200 || /[\p{C}\p{Zl}\p{Zp}]/u.test(reason)) {
    throw invalid('reason: expected one line of at most 200 characters');
  }
  return reason;
}

function invalid(message: string): CurfewError {
  return new CurfewError('request_invalid', message);
}
