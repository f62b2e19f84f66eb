// A request to the broker's own API in the name of the session that is kept here. Where an administrator's login is not good
// enough for it, and somebody is at a terminal, they log in once more, and the request goes on.

import { CurfewError } from '../shared/errors.ts';
import type { Refusal } from '../shared/wire.ts';
import type { SessionRequest } from './broker.ts';
import { asError, type Client } from './client.ts';
import { withLock } from './lock.ts';
import { LOGGING_IN } from './login/login_for.ts';
import { readRecord } from './record.ts';
import { asRemembered, NOT_LOGGED_IN } from './renew.ts';

/**
 * @param is what the answer must be
 * @throws CurfewError for a refusal; 77 when only a login helps and nobody can be asked
 */
export async function askAsSession<T>(
  client: Client,
  request: SessionRequest,
  is: (value: unknown) => value is T,
): Promise<T> {
  const first = await ask(client, request, is);
  if (first.refusal === undefined) return first.reply;
  const { refusal } = first;
  if (!wantsLogin(refusal) || !client.host.interactive) throw asError(client, asRemembered(refusal));
  const { host } = client;
  host.say(`${refusal.error_description}: logging in`);
  const { login } = await import('./login/login.ts');
  const wish = { in_person: true, acr_values: refusal.acr_values, max_age: refusal.max_age };
  const { refused } = await withLock(host, [client.url, 'login'], LOGGING_IN, () => login(client, wish));
  if (refused) throw asError(client, refused);
  const again = await ask(client, request, is);
  if (again.refusal === undefined) return again.reply;
  throw asError(client, asRemembered(again.refusal));
}

/** RFC 9470: a login that is newer or stronger would do. */
function wantsLogin({ error }: Refusal): boolean {
  return error === 'insufficient_user_authentication';
}

async function ask<T>(client: Client, request: SessionRequest, is: (value: unknown) => value is T) {
  const record = readRecord(client.host, client.url);
  if (!record?.session) throw asError(client, record?.ended ?? NOT_LOGGED_IN);
  if (record.ended) throw asError(client, record.ended);
  const secret = await client.secrets.load(client.url, record.kept_in);
  if (typeof secret === 'string') throw new CurfewError('unknown_session', secret);
  if (secret.handle === undefined) throw asError(client, NOT_LOGGED_IN);
  const { metadata } = await client.broker.metadata();
  const credential = { key: secret.dpop_private_jwk, handle: secret.handle };
  return client.broker.sessions(metadata.sessions_endpoint, credential, request, is);
}
