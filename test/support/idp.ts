// The identity provider of tests and demo: a certified one (oidc-provider) on loopback, with knobs for what may go wrong.
import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { KoaContextWithOIDC } from 'oidc-provider';
import { deviceGrant } from './idp_device.ts';
import { createKeyRing, type Json, publicJwks, type SigningAlgorithm } from './idp_keys.ts';
import { createFetch, type LogoutAnswer, logOutEverywhere } from './idp_logout.ts';
import { type Endpoint, endpointOf, type Misbehaviour, misbehave } from './idp_misbehaviour.ts';
import { answerInteraction, type LoginCounts } from './idp_pages.ts';
import { type ClientOptions, createProvider } from './idp_provider.ts';
import { createIdpStore } from './idp_store.ts';
import { type ClaimsRewrite, createTokenDesk, type SignOptions, type TokenRewrite } from './idp_tokens.ts';
import { createUsers, type User } from './idp_users.ts';
import { hidePkce } from './idp_without_pkce.ts';
import { listenAnywhere, listenOn } from './ports.ts';

export type { Misbehaviour, SigningAlgorithm, User };

export interface IdpOptions extends Partial<ClientOptions> {
  readonly users: Readonly<Record<string, User>>;
  /** https with these files, else http. */
  readonly tls?: { readonly certFile: string; readonly keyFile: string };
  readonly host?: string;
  readonly alg?: SigningAlgorithm;
  /** Puts the SSO session's `sid` into ID tokens. */
  readonly sid?: boolean;
  /** A line on the login page. */
  readonly hint?: string;
  /** False: it knows nothing of PKCE, and ignores what belongs to it. */
  readonly pkce?: boolean;
}

export interface LoggedRequest {
  readonly method: string;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  /** Milliseconds since the epoch. */
  readonly time: number;
  /** True if it came to the origin that `redirect` points to: somebody followed. */
  readonly elsewhere: boolean;
}

export interface Idp extends LoginCounts {
  readonly issuer: string;
  readonly clientId: string;
  /** The other origin, to which the fault `redirect` sends. */
  readonly elsewhere: string;
  readonly requests: readonly LoggedRequest[];
  readonly authorizeRequests: number;
  readonly tokenRequests: number;
  readonly discoveryRequests: number;
  readonly jwksRequests: number;
  /** Forgets all requests and counts so far. */
  resetCounts(): void;
  /** Adds a person, or changes what is known of one. */
  setUser(username: string, patch: Partial<User>): void;
  removeUser(username: string): void;
  /** ID tokens of this person (null: of everybody) say an `auth_time` so much earlier, whatever really happened. */
  setAuthTimeOffset(username: string | null, seconds: number): void;
  /** SSO sessions become that much older, so that `max_age` brings the form again. */
  ageSessions(username: string | null, seconds: number): void;
  endSessions(username: string | null): void;
  /**
   * Ends the SSO sessions of a person, and has oidc-provider tell the client of each (Back-Channel Logout).
   *
   * @returns what the client answered
   */
  logOut(username: string): Promise<readonly LogoutAnswer[]>;
  rotateKeys(options?: { readonly keep_old?: boolean }): Promise<void>;
  /** Sets the faults of all endpoints; those not named behave. */
  misbehave(faults: Misbehaviour): void;
  setDiscovery(rewrite: ((document: Json) => Json) | null): void;
  /** Rewrites the claims of every ID token of the code flow before it is signed. */
  setClaims(rewrite: ClaimsRewrite | null): void;
  /** Replaces the signed ID token of the code flow, or (undefined) leaves it out. */
  replaceIdToken(rewrite: TokenRewrite | null): void;
  /** Signs any payload as an ID token, however hostile. */
  signIdToken(payload: Json | string, options?: SignOptions): string;
  /** A good ID token without any browser. */
  issueIdToken(username: string, overrides?: Json): string;
  /** Connections are refused until `resume`, on the same port. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  stop(): Promise<void>;
}

async function createListener(options: IdpOptions, handler: RequestListener): Promise<Server> {
  if (!options.tls) return createServer(handler);
  const [cert, key] = await Promise.all([readFile(options.tls.certFile), readFile(options.tls.keyFile)]);
  return createTlsServer({ cert, key }, handler);
}

async function close(server: Server): Promise<void> {
  if (!server.listening) return;
  const closed = new Promise((done) => server.close(done));
  server.closeAllConnections();
  await closed;
}

function logged(request: IncomingMessage, elsewhere: boolean): LoggedRequest {
  const url = new URL(request.url ?? '/', 'http://idp');
  const query = Object.fromEntries(url.searchParams);
  return { method: request.method ?? '', path: url.pathname, query, time: Date.now(), elsewhere };
}

/** Starts the IdP on a free port of `host` (127.0.0.1 unless told); the users' SSO cookies live for 14 days. */
export async function startIdp(options: IdpOptions): Promise<Idp> {
  const { host = '127.0.0.1', clientId = 'curfew', alg = 'RS256', sid = false, hint, pkce = true } = options;
  const requests: LoggedRequest[] = [];
  const counts: LoginCounts = { forms: 0, logins: 0, refusedLogins: 0 };
  let faults: Misbehaviour = {};
  let rewriteDiscovery: ((document: Json) => Json) | null = null;

  const server = await createListener(options, (request, response) => void answer(request, response, false));
  const otherServer = await createListener(options, (request, response) => void answer(request, response, true));
  const scheme = options.tls ? 'https' : 'http';
  const port = await listenAnywhere(server, host);
  const issuer = `${scheme}://${host}:${port}`;
  const elsewhere = `${scheme}://${host}:${await listenAnywhere(otherServer, host)}`;

  const keys = await createKeyRing(alg);
  const users = createUsers(options.users);
  const store = createIdpStore();
  const desk = createTokenDesk({ issuer, clientId, keys, users, withSid: sid });
  const logouts: LogoutAnswer[] = [];
  const reach = options.backchannel && { fetch: createFetch(options.backchannel, logouts) };
  const provider = createProvider({ issuer, client: { ...options, clientId, pkce }, keys, users, store, ...reach });
  provider.use(async (ctx, next) => {
    await next();
    finish(ctx as unknown as KoaContextWithOIDC);
  });
  if (typeof options.device_grant === 'object') {
    const peculiar = deviceGrant(options.device_grant);
    provider.use((ctx, next) => peculiar(ctx as unknown as KoaContextWithOIDC, next));
  }
  const oidc = provider.callback();

  /** The last word on what oidc-provider answers. */
  function finish(ctx: KoaContextWithOIDC): void {
    if (ctx.status !== 200 || typeof ctx.body !== 'object' || ctx.body === null) return;
    const body = ctx.body as Json;
    const endpoint = endpointOf(ctx.path);
    if (endpoint === 'discovery') {
      const { code_challenge_methods_supported: _, ...without } = body;
      const known = pkce ? body : without;
      const issued = faults.discovery === 'wrong_issuer' ? { ...known, issuer: `${issuer}/other` } : known;
      ctx.body = rewriteDiscovery ? rewriteDiscovery(issued) : issued;
    } else if (typeof body.device_code === 'string') {
      // As short as the wait may be, so that tests need not wait for the usual 5 s (RFC 8628 3.2).
      ctx.body = { ...body, interval: 1 };
    } else if (endpoint === 'token' && typeof body.id_token === 'string') {
      const { AuthorizationCode, DeviceCode, RefreshToken: refreshed } = ctx.oidc.entities;
      const code = AuthorizationCode ?? DeviceCode;
      const { acr, amr, sid: session, sessionUid, grantId } = code ?? refreshed ?? {};
      const facts = { acr, amr, sid: session ?? sessionUid, grantId, refreshed: !code };
      ctx.body = { ...body, id_token: desk.finish(body.id_token, facts, faults.token) };
    }
  }

  function sendJwks(response: ServerResponse): void {
    const shown = faults.jwks === 'other_keys' ? [keys.stranger] : keys.published;
    response.writeHead(200, { 'content-type': 'application/jwk-set+json' });
    response.end(JSON.stringify(publicJwks(shown)));
  }

  async function answer(request: IncomingMessage, response: ServerResponse, isElsewhere: boolean): Promise<void> {
    const entry = logged(request, isElsewhere);
    requests.push(entry);
    const endpoint = endpointOf(entry.path);
    const fault = endpoint && !isElsewhere ? faults[endpoint] : undefined;
    if (misbehave(fault, elsewhere, request, response)) return;
    if (endpoint === 'jwks') return sendJwks(response);
    try {
      if (await answerInteraction({ provider, users, counts, hint }, request, response)) return;
    } catch {
      if (response.headersSent) return void response.destroy();
      response.writeHead(400, { 'content-type': 'text/plain' }).end('the IdP knows nothing of this login\n');
      return;
    }
    if (!pkce) hidePkce(request);
    await oidc(request, response);
  }

  const countOf = (endpoint: Endpoint) => requests.filter(({ path }) => endpointOf(path) === endpoint).length;
  /** A name's subject; null is everybody, an unknown name nobody. */
  const subOf = (username: string | null) => (username === null ? null : (users.get(username)?.sub ?? ''));

  return {
    issuer,
    clientId,
    elsewhere,
    requests,
    get forms() {
      return counts.forms;
    },
    get logins() {
      return counts.logins;
    },
    get refusedLogins() {
      return counts.refusedLogins;
    },
    get authorizeRequests() {
      return countOf('authorize');
    },
    get tokenRequests() {
      return countOf('token');
    },
    get discoveryRequests() {
      return countOf('discovery');
    },
    get jwksRequests() {
      return countOf('jwks');
    },
    resetCounts() {
      requests.length = 0;
      Object.assign(counts, { forms: 0, logins: 0, refusedLogins: 0 });
    },
    setUser(username, patch) {
      users.set(username, patch);
      // Whoever is disabled has no single sign-on either.
      if (patch.disabled) store.endSessions(subOf(username));
    },
    removeUser: users.remove,
    setAuthTimeOffset(username, seconds) {
      if (username === null) desk.offsets.clear();
      desk.offsets.set(username, seconds);
    },
    ageSessions: (username, seconds) => store.ageSessions(subOf(username), seconds),
    endSessions: (username) => store.endSessions(subOf(username)),
    logOut: (username) => logOutEverywhere(provider, store, clientId, subOf(username) ?? '', logouts),
    rotateKeys: keys.rotate,
    misbehave(wanted) {
      faults = wanted;
    },
    setDiscovery(rewrite) {
      rewriteDiscovery = rewrite;
    },
    setClaims(rewrite) {
      desk.rewriteClaims = rewrite;
    },
    replaceIdToken(rewrite) {
      desk.rewriteToken = rewrite;
    },
    signIdToken: desk.sign,
    issueIdToken: desk.issue,
    pause: () => close(server),
    resume: () => listenOn(server, port, host),
    async stop() {
      await Promise.all([close(server), close(otherServer)]);
    },
  };
}
