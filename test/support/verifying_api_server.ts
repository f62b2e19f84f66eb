// An API server as far as it meets the broker, over real HTTPS: it reads discovery and keys once and keeps them, verifies tokens, and asks
// the webhooks, each by what it was told. Another implementation than the broker's: signatures are jose's to verify.

import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from 'jose';
import { Agent, fetch } from 'undici';

/** What it was started with. */
export interface Told {
  issuer: string;
  audience: string;
  /** PEM of the authority of issuer and webhooks. */
  ca: string;
  /** Before RBAC. */
  authorize?: { readonly url: string; readonly token: string } | undefined;
  /** About each token, in place of verifying it. */
  authenticate?: { readonly url: string; readonly token: string } | undefined;
}

export interface VerifyingApiServer {
  readonly url: string;
  readonly told: Told;
  /** Seconds by which its clock is ahead: in its answers, and for tokens. */
  ahead: number;
  /** Reads the keys again. */
  forget(): void;
  stop(): Promise<void>;
}

export async function startVerifyingApiServer(
  tls: { readonly cert: string; readonly key: string },
  told: Told,
): Promise<VerifyingApiServer> {
  let keys: ReturnType<typeof createLocalJWKSet> | undefined;
  const ask = async (url: string, body?: object, token = ''): Promise<Readonly<Record<string, unknown>>> => {
    const dispatcher = new Agent({ connect: { ca: told.ca } });
    try {
      const headers = { 'content-type': 'application/json', ...(token !== '' && { authorization: `Bearer ${token}` }) };
      const sent = body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) };
      const response = await fetch(url, { dispatcher, headers, ...sent });
      if (response.status !== 200) throw new Error(`HTTP ${response.status}`);
      return (await response.json()) as Readonly<Record<string, unknown>>;
    } finally {
      await dispatcher.destroy();
    }
  };

  async function readKeys() {
    const { issuer, jwks_uri } = await ask(`${told.issuer}/.well-known/openid-configuration`);
    if (issuer !== told.issuer) throw new Error('another issuer');
    return createLocalJWKSet((await ask(String(jwks_uri))) as unknown as JSONWebKeySet);
  }

  /** @returns whose session it is, where the token is one */
  async function sessionOf(token: string): Promise<string | undefined> {
    try {
      if (told.authenticate) {
        const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec: { token } };
        const { status } = await ask(told.authenticate.url, body, told.authenticate.token);
        return (status as { authenticated?: boolean }).authenticated ? 'reviewed' : undefined;
      }
      keys ??= await readKeys();
      const currentDate = new Date(Date.now() + server.ahead * 1000);
      const { issuer, audience } = told;
      const { payload } = await jwtVerify(token, keys, {
        ...{ issuer, audience, currentDate, clockTolerance: 0 },
      });
      return typeof payload.sid === 'string' ? payload.sid : undefined;
    } catch {
      return undefined;
    }
  }

  async function answer(path: string, token: string, response: ServerResponse): Promise<void> {
    const send = (status: number, message: string) => {
      response.setHeader('date', new Date(Date.now() + server.ahead * 1000).toUTCString());
      response
        .writeHead(status, { 'content-type': 'application/json' })
        .end(JSON.stringify({ kind: 'Status', message }));
    };
    if (token === '') return send(path === '/version' ? 200 : 401, '');
    const sid = await sessionOf(token);
    if (sid === undefined) return send(401, 'Unauthorized');
    if (path === '/version') return send(200, '');
    if (!told.authorize) return send(403, 'forbidden');
    const resourceAttributes = { verb: 'list', resource: 'pods', version: 'v1', namespace: 'default' };
    const extra = { 'curfew.internal/session-id': [sid] };
    const spec = { user: 'curfew-key-probe', extra, resourceAttributes };
    const body = { apiVersion: 'authorization.k8s.io/v1', kind: 'SubjectAccessReview', spec };
    const review = await ask(told.authorize.url, body, told.authorize.token).catch(() => ({ status: {} }));
    const { reason = '' } = review.status as { reason?: string };
    return send(403, `pods is forbidden: ${reason}`);
  }

  const listener = createServer(tls, (request, response) => {
    const [, token = ''] = (request.headers.authorization ?? '').split('Bearer ');
    const { pathname } = new URL(request.url ?? '', 'https://api');
    void answer(pathname, token, response).catch(() => response.destroy());
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const address = listener.address();
  const server: VerifyingApiServer = {
    url: `https://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`,
    told,
    ahead: 0,
    forget() {
      keys = undefined;
    },
    async stop() {
      listener.closeAllConnections();
      await new Promise((resolve) => listener.close(resolve));
    },
  };
  return server;
}
