// A broker and a gateway of targets as far as the plugin asks them, over TLS: what they answer is the test's, and what they were shown is
// verified as real ones do. Real ones do not refuse, break off or fall silent at will.

import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { createServer, type Server } from 'node:https';
import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { calculateJwkThumbprint, decodeProtectedHeader, importJWK, type JWK, jwtVerify } from 'jose';
import { type WebSocket, WebSocketServer } from 'ws';
import type { Metadata } from '../../shared/metadata.ts';
import {
  CONNECT_PATH,
  CONNECT_PROTOCOL,
  connectUrl,
  type MetadataTarget,
  type TargetCredential,
} from '../../shared/targets.ts';
import { type Seconds, seconds } from '../../shared/time.ts';
import { TOKEN_TYPE, type WireSession } from '../../shared/wire.ts';
import { type CertificateAuthority, createCertificateAuthority } from './certificates.ts';
import { listenAnywhere } from './ports.ts';

const LIMITS = { max_age: seconds(3_600), inactivity_timeout: seconds(1_800), token_ttl: seconds(300) };

interface Refused {
  readonly status: number;
  readonly code: string;
  readonly message: string;
  /** Seconds. */
  readonly retry_after?: number;
}

/** A connection that is open. */
export interface OpenConnection {
  readonly target: string;
  readonly account: string | undefined;
  readonly socket: WebSocket;
  /** Ends it as a gateway does that was told of an end. */
  cut(reason: string): void;
}

export interface StandInTargets {
  readonly url: string;
  readonly authority: CertificateAuthority;
  /** Host and port of the gateway. */
  readonly gateway: string;
  /** By which it is known outside. */
  public_gateway: string;
  /** What a person has to have, to be let in. */
  readonly handle: string;
  session: WireSession;
  /** Forms of all renewals, in their order. */
  readonly asked: readonly Readonly<Record<string, string>>[];
  /** How often the metadata was asked for. */
  readonly metadata_asked: number;
  /** Proofs of connections, each once. */
  readonly proofs: readonly string[];
  readonly open: readonly OpenConnection[];
  /** What the broker answers in place of a token. */
  refuse: Omit<Refused, 'status'> | undefined;
  /** What the gateway answers in place of a WebSocket: the first is for the next connection. */
  readonly turn_away: Refused[];
  /** By the target's name. */
  readonly credentials: Map<string, (form: Readonly<Record<string, string>>) => TargetCredential | undefined>;
  readonly accounts: Map<string, readonly string[]>;
  /** Bytes go to a port of this machine. */
  readonly upstream: Map<string, number>;
  targets: readonly MetadataTarget[];
  connections(target: string): number;
  now: () => Seconds;
  stop(): Promise<void>;
}

export async function startStandInTargets(
  folder: string,
  kinds: Readonly<Record<string, string>>,
): Promise<StandInTargets> {
  const authority = await createCertificateAuthority(folder);
  const { certFile, keyFile } = await authority.issue({ name: 'standin', hosts: ['127.0.0.1', 'gateway.test'] });
  const tls = { cert: await readFile(certFile), key: await readFile(keyFile) };
  const handle = randomBytes(32).toString('base64url');
  const asked: Record<string, string>[] = [];
  const proofs: string[] = [];
  const open: OpenConnection[] = [];
  const passes = new Map<
    string,
    { readonly target: string; readonly jkt: string; readonly account?: string | undefined }
  >();
  const state = { metadata_asked: 0 };
  const now = () => seconds(Math.floor(Date.now() / 1000));
  const session: WireSession = {
    ...{ sid: 'sid-1', username: 'curfew:alice@example.com', groups: ['sre'], auth_time: now(), broker_time: now() },
    ...{ session_end: seconds(now() + 1_800), end_at_most: seconds(now() + 3_600) },
    limits: { session: LIMITS, target: LIMITS },
  };

  /** @throws Error where a proof is none for this request */
  const jktOf = async (request: IncomingMessage, url: string, token?: string): Promise<string> => {
    const proof = String(request.headers.dpop ?? '');
    const { typ, jwk } = decodeProtectedHeader(proof);
    if (typ !== 'dpop+jwt' || !jwk) throw new Error('not a proof');
    const { payload } = await jwtVerify(proof, await importJWK(jwk as JWK, 'ES256'));
    if (payload.htm !== request.method || payload.htu !== url) throw new Error(`for ${payload.htm} ${payload.htu}`);
    if (Math.abs(Number(payload.iat) - broker.now()) > 60) throw new Error('of another time');
    if (token !== undefined && payload.ath !== createHash('sha256').update(token).digest('base64url'))
      throw new Error('ath');
    if (proofs.includes(String(payload.jti))) throw new Error('used before');
    proofs.push(String(payload.jti));
    return await calculateJwkThumbprint(jwk as JWK);
  };

  const tokenFor = async (request: IncomingMessage, form: Record<string, string>) => {
    asked.push(form);
    if (form.grant_type !== 'refresh_token' || form.refresh_token !== handle)
      return refusal(400, 'unknown_session', 'no such session');
    const jkt = await jktOf(request, `${url}/token`);
    if (broker.refuse) return refusal(400, broker.refuse.code, broker.refuse.message);
    const target = broker.targets.find(({ audience }) => audience === form.audience);
    if (!target) return refusal(400, 'invalid_target', 'there is no such target');
    const accounts = broker.accounts.get(target.name) ?? [];
    const account = form.account ?? accounts[0];
    if (form.account !== undefined && !accounts.includes(form.account))
      return refusal(400, 'invalid_target', `the account ${form.account} is none of yours`);
    const token = randomBytes(24).toString('base64url');
    passes.set(token, { target: target.name, jkt, account });
    const credential = broker.credentials.get(target.name)?.(form);
    const time = broker.now();
    const body = {
      ...{ access_token: token, issued_token_type: TOKEN_TYPE.jwt, token_type: 'DPoP', expires_in: 60 },
      ...{ session: { ...broker.session, broker_time: time }, account, credential },
    };
    return { status: 200, body };
  };

  const server = createServer(tls, (request, response) => {
    const answer = async () => {
      if (request.url === '/.well-known/curfew') {
        state.metadata_asked += 1;
        return { status: 200, body: metadata() };
      }
      let text = '';
      for await (const chunk of request.setEncoding('utf8')) text += chunk;
      if (request.url === '/token') return await tokenFor(request, Object.fromEntries(new URLSearchParams(text)));
      return { status: 404, body: {} };
    };
    answer().then(
      ({ status, body }) =>
        void response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body)),
      (error: unknown) => void response.writeHead(500).end(String(error)),
    );
  });
  const url = `https://127.0.0.1:${await listenAnywhere(server)}`;
  const gate = createServer(tls);
  const gateway = `127.0.0.1:${await listenAnywhere(gate)}`;
  const web = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    handleProtocols: () => CONNECT_PROTOCOL,
  });
  gate.on('upgrade', (request: IncomingMessage, raw: Duplex, head: Buffer) => {
    const admit = async () => {
      const away = broker.turn_away.shift();
      if (away) return away;
      const name = decodeURIComponent(String(request.url).slice(CONNECT_PATH.length));
      const [scheme, token = ''] = String(request.headers.authorization).split(' ');
      const pass = passes.get(token);
      if (scheme !== 'DPoP' || pass?.target !== name)
        return { status: 401, code: 'token_id', message: 'not a pass for this' };
      passes.delete(token);
      const jkt = await jktOf(request, connectUrl(`https://${broker.public_gateway}`, name), token);
      if (jkt !== pass.jkt) return { status: 401, code: 'proof_invalid', message: 'of another key' };
      return pass;
    };
    admit().then(
      (pass) => {
        if ('status' in pass) return void turnAway(raw, pass);
        web.handleUpgrade(request, raw, head, (socket) => carry(pass, socket));
      },
      (error: unknown) => turnAway(raw, { status: 401, code: 'proof_invalid', message: String(error) }),
    );
  });

  const carry = (pass: { readonly target: string; readonly account?: string | undefined }, socket: WebSocket) => {
    const upstream = connect({ port: broker.upstream.get(pass.target) ?? 0, host: '127.0.0.1', allowHalfOpen: true });
    const one: OpenConnection = {
      ...{ target: pass.target, account: pass.account, socket },
      cut(reason) {
        upstream.resetAndDestroy();
        socket.close(4401, reason);
        setTimeout(() => socket.terminate(), 300).unref();
      },
    };
    open.push(one);
    socket.on('close', () => {
      open.splice(open.indexOf(one), 1);
      upstream.destroy();
    });
    socket.on('error', () => upstream.destroy());
    socket.on('message', (data: Buffer, binary: boolean) => {
      if (!binary) return void upstream.end();
      if (!upstream.write(data)) {
        socket.pause();
        upstream.once('drain', () => socket.resume());
      }
    });
    upstream.on('data', (chunk) => {
      socket.send(chunk, { binary: true }, () => upstream.resume());
      if (socket.bufferedAmount > 1024 * 1024) upstream.pause();
    });
    upstream.on('end', () => {
      if (kinds[pass.target] === 'tcp') socket.send('eof');
      else socket.close(1000);
    });
    upstream.on('close', () => socket.close(1000));
    upstream.on('error', () => socket.close(4502, 'the target broke off'));
  };

  const metadata = (): Metadata => ({
    issuer: url,
    ...{
      token_endpoint: `${url}/token`,
      revocation_endpoint: `${url}/revoke`,
      sessions_endpoint: `${url}/v1/sessions`,
    },
    identity_provider: {
      ...{ issuer: 'https://idp.test', client_id: 'curfew', scopes: ['openid'], redirect_host: '127.0.0.1' },
      redirect_ports: [18_000],
    },
    limits: LIMITS,
    clusters: [],
    targets: broker.targets,
  });
  const authority_data = Buffer.from(authority.caPem).toString('base64');
  const broker: StandInTargets = {
    public_gateway: gateway,
    ...{ url, authority, gateway, handle, session, asked, proofs, open, now },
    get metadata_asked() {
      return state.metadata_asked;
    },
    refuse: undefined,
    ...{ turn_away: [], credentials: new Map(), accounts: new Map(), upstream: new Map() },
    targets: Object.entries(kinds).map(([name, kind]) => ({
      ...{ name, kind, audience: `${name}-audience`, url: connectUrl(`wss://${gateway}`, name) },
      ...{ certificate_authority_data: authority_data, limits: { session: LIMITS, target: LIMITS }, strictest: LIMITS },
    })),
    connections: (target) => open.filter((one) => one.target === target).length,
    async stop() {
      for (const { socket } of open) socket.terminate();
      await Promise.all([server, gate].map(close));
    },
  };
  return broker;
}

function refusal(status: number, reason: string, error_description: string) {
  return { status, body: { error: 'invalid_grant', error_description, reason } };
}

function turnAway(raw: Duplex, { status, code, message, retry_after }: Refused): void {
  const body = JSON.stringify({ code, message });
  const more = retry_after === undefined ? '' : `retry-after: ${retry_after}\r\n`;
  raw.end(
    `HTTP/1.1 ${status} No\r\n${more}content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  );
}

async function close(server: Server): Promise<void> {
  server.closeAllConnections();
  server.close();
  await once(server, 'close');
}
