// A Shared Signals transmitter of our own: security events (RFC 8417) with real signatures, pushed (RFC 8935) with retries, and
// polled (RFC 8936), in whatever order and as often as a test wants. Its metadata and keys are served over real HTTP.

import { randomBytes, randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent, fetch as undiciFetch } from 'undici';
import { createKeyRing, type Json, publicJwks, type SigningAlgorithm, signJws } from './idp_keys.ts';
import { listenAnywhere } from './ports.ts';
import { typeOf } from './signals.ts';

export interface SignedSet {
  readonly jti: string;
  readonly token: string;
}

export interface EventOptions {
  /** Members of the event. */
  readonly payload?: Json;
  /** Claims of the SET; `undefined` takes one out. */
  readonly claims?: Json;
  readonly header?: Json;
  readonly key?: 'own' | 'stranger';
}

export interface PushOptions {
  readonly bearer: string;
  /** PEM of the receiver's certificate authority. */
  readonly ca?: string;
  /** How often it tries where no answer comes, or 5xx. */
  readonly tries?: number;
}

export interface Pushed {
  readonly status: number;
  readonly body: Json;
}

export interface Transmitter {
  readonly issuer: string;
  readonly audience: string;
  readonly poll_url: string;
  /** What who polls must present. */
  readonly poll_token: string;
  /** @param event `session-revoked` and the like, or a URI @param sub_id RFC 9493 */
  set(event: string, sub_id: unknown, options?: EventOptions): SignedSet;
  /** Pushes as RFC 8935 has it, again while no answer comes or the receiver is away. */
  push(url: string, token: string, options: PushOptions): Promise<Pushed>;
  /** For who polls; what is not acknowledged is sent again. */
  queue(...sets: readonly SignedSet[]): void;
  readonly pending: readonly string[];
  readonly acknowledged: readonly string[];
  /** What the receiver refused, by `jti`. */
  readonly errors: ReadonlyMap<string, Json>;
  /** To who polls with client credentials. */
  readonly tokens_issued: number;
  /** Those that were given are refused from now on. */
  revokeTokens(): void;
  /** How often it was polled. */
  readonly polls: number;
  /** Also sends what was acknowledged. */
  redeliver: boolean;
  /** Sends the last first. */
  reversed: boolean;
  /** At most so many in one answer. */
  batch: number;
  fault: '500' | 'html' | 'hang' | 'refuse' | 'redirect' | undefined;
  /** What becomes of a question for an event that verifies the stream. */
  streams: 'verified' | 'none' | 'refused' | 'silent';
  rotateKeys(): Promise<void>;
  stop(): Promise<void>;
}

/** As real ones differ. */
export interface TransmitterOptions {
  /** Of the issuer, as Keycloak's realms have one: then metadata is beneath it and nowhere else. */
  readonly path?: string;
  /** Who polls gets a token by client credentials (RFC 6749 4.4), as at Keycloak; `poll_token` is worth nothing then. */
  readonly client?: { readonly id: string; readonly secret: string; readonly expires_in?: number | undefined };
}

/** Whom Keycloak names: a user, and one session of theirs or `ALL`, where an administrator logged them out everywhere. */
export function keycloakSubject(iss: string, sub: string, session = 'ALL'): Json {
  return {
    format: 'complex',
    user: { format: 'iss_sub', iss, sub },
    session: { format: 'opaque', id: session },
    tenant: { format: 'opaque', id: 'main' },
  };
}

const HELD_MS = 20_000;

export async function startTransmitter(
  alg: SigningAlgorithm = 'ES256',
  { path = '', client }: TransmitterOptions = {},
): Promise<Transmitter> {
  const keys = await createKeyRing(alg);
  const audience = 'https://curfew.example.com/signals';
  const poll_token = randomBytes(32).toString('base64url');
  const sets = new Map<string, string>();
  const acknowledged: string[] = [];
  const errors = new Map<string, Json>();
  const waiting = new Set<() => void>();
  const wake = () => {
    for (const go of waiting) go();
  };
  let polls = 0;

  const server = createServer((request, response) => void answer(request, response).catch(() => response.destroy()));
  const origin = `http://127.0.0.1:${await listenAnywhere(server, '127.0.0.1')}`;
  const issuer = `${origin}${path}`;
  const tokens = new Set<string>();
  let tokens_issued = 0;

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { url = '' } = request;
    const send = (status: number, body: object) =>
      void response
        .writeHead(status, { 'content-type': 'application/json' })
        .end(status === 204 ? '' : JSON.stringify(body));
    if (url === `${path}/.well-known/ssf-configuration`) {
      const streams = { configuration_endpoint: `${origin}/streams`, verification_endpoint: `${origin}/verify` };
      return send(200, { issuer, jwks_uri: `${origin}/jwks`, ...(self.streams !== 'none' && streams) });
    }
    if (url === '/streams' || url === '/verify') return manageStream(url, request, send);
    if (url === '/jwks') return send(200, publicJwks(keys.published));
    if (client && url === `${path}/.well-known/openid-configuration`) {
      return send(200, { issuer, token_endpoint: `${origin}/token`, jwks_uri: `${origin}/jwks` });
    }
    if (client && url === '/token' && request.method === 'POST') return giveToken(client, request, send);
    if (url !== '/poll' || request.method !== 'POST') return send(404, {});
    polls += 1;
    if (misbehaves(response)) return;
    if (!mayPoll(request.headers.authorization)) return send(401, {});
    take(JSON.parse(await textOf(request)));
    const { returnImmediately, maxEvents } = lastQuestion;
    if (due().length === 0 && !returnImmediately) await held(response);
    // It may have been held since before that was wanted.
    if (misbehaves(response)) return;
    const all = due();
    const some = all.slice(0, Math.min(self.batch, maxEvents ?? self.batch));
    send(200, { sets: Object.fromEntries(some), moreAvailable: some.length < all.length });
  }

  /** SSF 1.0 8.1.1.2 and 8.1.4.2: the stream there is, and an event that verifies it. */
  async function manageStream(
    url: string,
    request: IncomingMessage,
    send: (status: number, body: object) => void,
  ): Promise<void> {
    if (!mayPoll(request.headers.authorization) || self.streams === 'refused') return send(403, {});
    const stream_id = 'stream-1';
    if (url === '/streams') return send(200, [{ stream_id, iss: issuer, aud: [audience] }]);
    const question = JSON.parse(await textOf(request));
    if (question.stream_id !== stream_id) return send(404, {});
    if (self.streams !== 'silent') {
      const sub_id = { format: 'opaque', id: stream_id };
      self.queue(self.set('verification', sub_id, { payload: { state: question.state } }));
    }
    send(204, {});
  }

  function mayPoll(authorization = ''): boolean {
    return client ? tokens.has(authorization.replace(/^Bearer /, '')) : authorization === `Bearer ${poll_token}`;
  }

  async function giveToken(
    { id, secret, expires_in }: NonNullable<TransmitterOptions['client']>,
    request: IncomingMessage,
    send: (status: number, body: object) => void,
  ): Promise<void> {
    const form = new URLSearchParams(await textOf(request));
    const [, basic = ''] = (request.headers.authorization ?? '').split('Basic ');
    const [given = '', proof = ''] = Buffer.from(basic, 'base64').toString().split(':').map(decodeForm);
    if (given !== id || proof !== secret) return send(401, { error: 'invalid_client' });
    if (form.get('grant_type') !== 'client_credentials') return send(400, { error: 'unsupported_grant_type' });
    const access_token = randomBytes(32).toString('base64url');
    tokens.add(access_token);
    tokens_issued += 1;
    if (expires_in !== undefined) setTimeout(() => tokens.delete(access_token), expires_in * 1000).unref();
    send(200, { access_token, token_type: 'Bearer', ...(expires_in !== undefined && { expires_in }) });
  }

  function misbehaves(response: ServerResponse): boolean {
    const { fault } = self;
    if (fault === undefined) return false;
    if (fault === 'refuse') response.socket?.destroy();
    if (fault === '500') response.writeHead(500).end('{}');
    if (fault === 'html') response.setHeader('content-type', 'text/html').end('<h1>maintenance</h1>');
    if (fault === 'redirect') response.writeHead(307, { location: `${origin}/elsewhere` }).end();
    return true;
  }

  let lastQuestion: { returnImmediately?: boolean; maxEvents?: number } = {};
  function take(question: { ack?: string[]; setErrs?: Record<string, Json> } & typeof lastQuestion): void {
    lastQuestion = question;
    for (const jti of question.ack ?? []) {
      if (!acknowledged.includes(jti)) acknowledged.push(jti);
      if (!self.redeliver) sets.delete(jti);
    }
    for (const [jti, error] of Object.entries(question.setErrs ?? {})) {
      errors.set(jti, error);
      sets.delete(jti);
    }
  }

  const due = () => (self.reversed ? [...sets].reverse() : [...sets]);

  /** A long poll: until there is something, or the time is up. */
  async function held(response: ServerResponse): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(go, HELD_MS);
      function go() {
        clearTimeout(timer);
        waiting.delete(go);
        resolve();
      }
      waiting.add(go);
      response.once('close', go);
    });
  }

  const self: Transmitter = {
    ...{ issuer, audience, poll_url: `${origin}/poll`, poll_token, acknowledged, errors },
    ...{ redeliver: false, reversed: false, batch: 100, fault: undefined, streams: 'verified' },
    get pending() {
      return [...sets.keys()].filter((jti) => !acknowledged.includes(jti));
    },
    get tokens_issued() {
      return tokens_issued;
    },
    revokeTokens: () => tokens.clear(),
    get polls() {
      return polls;
    },
    set(event, sub_id, { payload = {}, claims = {}, header = {}, key = 'own' } = {}) {
      const iat = Math.floor(Date.now() / 1000);
      const jti = randomUUID();
      const events = { [typeOf(event)]: { event_timestamp: iat, ...payload } };
      const own = { iss: issuer, aud: audience, iat, jti, sub_id, events };
      const signing = key === 'own' ? keys.signing() : keys.stranger;
      return { jti, token: signJws(signing, { ...own, ...claims }, { typ: 'secevent+jwt', ...header }) };
    },
    async push(url, token, { bearer, ca, tries = 1 }) {
      const dispatcher = new Agent({ connect: { ...(ca !== undefined && { ca }) } });
      const headers = { 'content-type': 'application/secevent+jwt', authorization: `Bearer ${bearer}` };
      try {
        for (let tried = 1; ; tried += 1) {
          try {
            const response = await undiciFetch(url, { method: 'POST', headers, body: token, dispatcher });
            const text = await response.text();
            const { status } = response;
            if (status < 500 || tried >= tries) return { status, body: text === '' ? {} : (JSON.parse(text) as Json) };
          } catch (error) {
            if (tried >= tries) throw error;
          }
          await sleep(200);
        }
      } finally {
        await dispatcher.destroy();
      }
    },
    queue(...more) {
      for (const { jti, token } of more) sets.set(jti, token);
      wake();
    },
    rotateKeys: () => keys.rotate({ keep_old: false }),
    async stop() {
      wake();
      const closed = new Promise((done) => server.close(done));
      server.closeAllConnections();
      await closed;
    },
  };
  return self;
}

function decodeForm(text: string): string {
  return new URLSearchParams(`=${text}`).get('') ?? '';
}

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}
