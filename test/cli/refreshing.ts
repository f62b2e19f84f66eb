// The token endpoint of an IdP that gives refresh tokens, before the test IdP's own: each is good once (RFC 9700 4.14.2), and
// it misbehaves as IdPs do.

import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { claimsOf } from '../support/holder.ts';
import type { Idp } from '../support/idp.ts';

type Answer = { readonly status: number; readonly body: object };

export interface Refreshing {
  /** All refresh tokens that it ever gave. */
  readonly given: readonly string[];
  /** Of each refresh, in order, whether it brought tokens. */
  readonly refreshes: readonly boolean[];
  /** What the refresh token's account may not do any more: `error_description`, or `null` when all is well. */
  disabled: string | null;
  /** Logins bring no refresh token. */
  gives_none: boolean;
  /** Instead of the answer: the connection breaks, after the refresh token was used up. */
  loses_answer: boolean;
  /** Never answers a refresh. */
  hangs: boolean;
  /** What was revoked (RFC 7009), in order. */
  readonly revoked: readonly string[];
  /** Never answers a revocation. */
  revocation_hangs: boolean;
  /** Changes the ID token of a refresh; `null` leaves it out. */
  claims: Readonly<Record<string, unknown>> | null;
  stop(): void;
}

export async function startRefreshing(idp: Idp, username: string): Promise<Refreshing> {
  const [given, refreshes, revoked]: [string[], boolean[], string[]] = [[], [], []];
  let living: { readonly refresh_token: string; readonly auth_time: number } | undefined;
  const give = (auth_time: number) => {
    const refresh_token = randomBytes(24).toString('base64url');
    given.push(refresh_token);
    living = { refresh_token, auth_time };
    return refresh_token;
  };

  const logIn = async (form: URLSearchParams): Promise<Answer> => {
    const { status, body } = await forward(idp, form);
    if (state.gives_none || typeof body.id_token !== 'string') return { status, body };
    return { status, body: { ...body, refresh_token: give(Number(claimsOf(body.id_token).auth_time)) } };
  };
  const refresh = (form: URLSearchParams): Answer => {
    const used = living;
    living = undefined;
    const fits = used !== undefined && used.refresh_token === form.get('refresh_token');
    refreshes.push(fits && state.disabled === null);
    if (!fits || state.disabled !== null) {
      const error_description = state.disabled ?? 'unknown refresh token';
      return { status: 400, body: { error: 'invalid_grant', error_description } };
    }
    const refresh_token = give(used.auth_time);
    const common = { access_token: 'not used', token_type: 'Bearer', expires_in: 60, refresh_token };
    if (state.claims === null) return { status: 200, body: common };
    const claims = { auth_time: used.auth_time, ...state.claims };
    return { status: 200, body: { ...common, id_token: idp.issueIdToken(username, claims) } };
  };
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    const form = new URLSearchParams(body);
    if (request.url === '/revoke') {
      revoked.push(`${form.get('token_type_hint')} ${form.get('client_id')} ${form.get('token')}`);
      if (!state.revocation_hangs) response.end();
      return;
    }
    if (form.get('grant_type') !== 'refresh_token') return send(response, await logIn(form));
    if (state.hangs) return;
    const refreshed = refresh(form);
    if (state.loses_answer) return void response.destroy();
    send(response, refreshed);
  };

  const server = createServer((request, response) => void answer(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const own = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const endpoints = { token_endpoint: `${own}/token`, revocation_endpoint: `${own}/revoke` };
  idp.setDiscovery((document) => ({ ...document, ...endpoints }));
  const state: Refreshing = {
    ...{ given, refreshes, disabled: null, gives_none: false, loses_answer: false, hangs: false, claims: {} },
    ...{ revoked, revocation_hangs: false },
    stop() {
      server.close();
      server.closeAllConnections();
    },
  };
  return state;
}

function send(response: ServerResponse, { status, body }: Answer): void {
  response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' });
  response.end(JSON.stringify(body));
}

async function forward(idp: Idp, body: URLSearchParams): Promise<{ status: number; body: Record<string, unknown> }> {
  const response = await fetch(`${idp.issuer}/token`, { method: 'POST', body });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}
