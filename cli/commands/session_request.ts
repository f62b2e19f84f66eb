// A request to the broker's own API in the name of the session that is kept here. Where an administrator's login is not good
// enough for it, and somebody is at a terminal, they log in once more, and the request is made again.

import { CurfewError } from '../../shared/errors.ts';
import type { Refusal } from '../../shared/wire.ts';
import { withPersonsTurn } from '../login/turn.ts';
import type { Client } from '../session/client.ts';
import { readRecord } from '../session/record.ts';
import { asRemembered, OVER_REASONS } from '../session/renew.ts';
import type { Remembered } from '../warm/entry.ts';
import { asError } from '../warm/refusal.ts';
import { NOT_LOGGED_IN } from '../warm/session_record.ts';
import type { SessionRequest } from '../wire/broker_request.ts';
import { forgetSession } from './logout.ts';

type Is<T> = (value: unknown) => value is T;

/**
 * @param is what the answer must be
 * @throws CurfewError for a refusal; 77 when only a login helps and nobody can be asked
 */
export async function askAsSession<T>(client: Client, request: SessionRequest, is: Is<T>): Promise<T> {
  const first = await ask(client, request, is);
  if (first.refusal === undefined) return first.reply;
  const refused = asRemembered(first.refusal);
  if (!wantsLogin(first.refusal)) throw asError(client, refused);
  if (!client.host.interactive) throw asErrorWithoutTerminal(client, refused);
  const wish = { in_person: true, acr_values: refused.acr_values, max_age: first.refusal.max_age };
  client.host.say(`${refused.message}: logging in`);
  const [{ login }, { blame }] = await Promise.all([import('../login/login.ts'), import('../login/blame.ts')]);
  const outcome = await withPersonsTurn(client, (signal) => login(client, wish, signal));
  if (outcome.refused) throw asError(client, outcome.refused);
  // Once: whoever just came and is still refused cannot help it by coming again.
  const again = await ask(client, request, is);
  if (again.refusal === undefined) return again.reply;
  const attempt = { wish, acr_values: wish.acr_values };
  throw asError(client, blame(asRemembered(again.refusal), attempt));
}

/** RFC 9470: a login that is newer or stronger would do. */
function wantsLogin({ error }: Refusal): boolean {
  return error === 'insufficient_user_authentication';
}

/** No command logs in at a level but this one itself. */
function asErrorWithoutTerminal(client: Pick<Client, 'is_default' | 'url'>, refused: Remembered): CurfewError {
  if (refused.reason !== 'acr_too_low') return asError(client, refused);
  return new CurfewError('acr_too_low', refused.message, { hint: 'run this at a terminal: it logs in at that level' });
}

async function ask<T>(client: Client, request: SessionRequest, is: Is<T>) {
  const record = readRecord(client.host, client.url);
  const { session, ended, endpoints, kept_in } = record ?? {};
  if (!session || ended || !endpoints || !kept_in) throw asError(client, ended ?? NOT_LOGGED_IN);
  const secret = await client.secrets.load(client.url, kept_in);
  if (typeof secret === 'string') throw asError(client, { reason: 'unknown_session', message: secret });
  if (secret.handle === undefined) throw asError(client, NOT_LOGGED_IN);
  // A record of an earlier version has none.
  const endpoint = endpoints.sessions_endpoint ?? (await client.broker.metadata()).sessions_endpoint;
  const credential = { key: secret.dpop_private_jwk, handle: secret.handle };
  const answer = await client.broker.sessions(endpoint, credential, request, is);
  if (answer.refusal && OVER_REASONS.includes(answer.refusal.reason)) {
    await forgetSession(client, ({ sid }) => sid === session.sid, asRemembered(answer.refusal));
  }
  return answer;
}
