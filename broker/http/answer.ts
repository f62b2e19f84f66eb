// How a refusal looks on the wire: RFC 6749 5.2, with our reason, and what RFC 9470 3 adds.

import type { FastifyReply } from 'fastify';
import { answerOf, type Code, type CurfewError, meaning, type OAuthError } from '../../shared/errors.ts';
import { seconds } from '../../shared/time.ts';
import type { Refusal } from '../../shared/wire.ts';
import type { Refused } from '../outcome/refused.ts';

declare module 'fastify' {
  interface FastifyReply {
    /** Why it is a refusal, once that is said. */
    code_said: Code | undefined;
  }
}

/** Seconds after which a caller may ask again when something is away. */
const RETRY_AFTER_SECONDS = 1;

/** @param as_status, as_error where others are right than at `POST /token` */
export function sendRefused(
  reply: FastifyReply,
  { refused, message, denied, session, retry_after }: Refused,
  as_status?: number,
  as_error?: OAuthError,
): FastifyReply {
  const { status, error } = meaning(refused);
  reply.code_said = refused;
  if (retry_after !== undefined) reply.header('Retry-After', retry_after);
  // None where no login would do: an empty list would ask for any.
  const acr_values = denied?.acr_values?.join(' ') || undefined;
  const wanted = denied?.reason === 'acr_too_low' || as_error === 'insufficient_user_authentication';
  const max_age = wanted ? session?.limits.target.max_age : undefined;
  const body: Refusal = {
    error: as_error ?? error,
    error_description: message,
    reason: refused,
    ...(acr_values !== undefined && { acr_values }),
    ...(max_age !== undefined && { max_age }),
    ...(denied?.end_reason !== undefined && { end_reason: denied.end_reason }),
    ...(retry_after !== undefined && { retry_after: seconds(retry_after) }),
    ...(session !== undefined && { session }),
  };
  return reply.code(as_status ?? status).send(body);
}

/** @param as_status, as_error likewise */
export function sendError(
  reply: FastifyReply,
  failure: CurfewError,
  as_status?: number,
  as_error?: OAuthError,
): FastifyReply {
  const { code, message, retry_after } = failure;
  const { status: usual, error } = answerOf(failure);
  const status = as_status ?? usual;
  reply.code_said = code;
  if (status === 503 || retry_after !== undefined) reply.header('Retry-After', retry_after ?? RETRY_AFTER_SECONDS);
  const body: Refusal = { error: as_error ?? error, error_description: message, reason: code };
  return reply.code(status).send(body);
}
