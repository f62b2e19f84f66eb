// A broker as far as gateways ask it, over HTTP: what it answers, and when, is the test's. A real one does not fall silent, lose an answer
// or revoke a key at will.

import { createSecretKey, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { BrokerPlace } from '../../gateway/authority/ask.ts';
import type { ConnectionRequest } from '../../shared/connection_wire.ts';
import type { EventsReport, StreamKind } from '../../shared/gateway_events.ts';
import {
  type FeedLine,
  feedLine,
  GATEWAY_PATHS,
  type GatewayTarget,
  isLeaseRequest,
  type Lease,
  type LeasedLimits,
  type LeaseReply,
  type LeaseRequest,
  type NoLimits,
} from '../../shared/gateway_wire.ts';
import type { Metadata } from '../../shared/metadata.ts';
import type { SessionFacts } from '../../shared/session.ts';
import type { MetadataTarget } from '../../shared/targets.ts';
import { type Seconds, seconds } from '../../shared/time.ts';
import { GATEWAY_TOKEN_TYP, gatewayAudience, TOKEN_TYP } from '../../shared/token_typ.ts';
import { listenAnywhere } from './ports.ts';

export const STAND_IN_LIMITS = {
  ...{ max_age: seconds(36_000), inactivity_timeout: seconds(3_600), token_ttl: seconds(120) },
};
export const USER = 'ada@example.com';
const AUDIENCE = 'https://prod.example.com';

/** Answers in the order of trying: a status, or nothing at all. */
type Instead = number | 'no answer' | undefined;

export interface StandInBroker {
  readonly place: BrokerPlace;
  /** The broker's clock, in whole seconds. */
  now: () => Seconds;
  /** What of a session is otherwise than of any: logged in and used now, within limits, not over. */
  readonly facts: Map<string, Partial<SessionFacts>>;
  /** Sessions that judge in place of others. */
  readonly replaced_by: Map<string, string>;
  /** Of every target. */
  limits: LeasedLimits;
  /** Of one target, where it is otherwise there. */
  limitsOf: (target: GatewayTarget) => LeasedLimits | NoLimits | undefined;
  /** Which kinds of streams are recorded. */
  record: readonly StreamKind[];
  /** Awaited before a question for leases is answered. @returns what is answered instead */
  onAsk: (request: LeaseRequest) => Promise<Instead> | Instead;
  /** What is told of streams. @returns what is answered instead of taking it, or instead of saying that it was taken */
  onEvents: (report: EventsReport) => { readonly before?: Instead; readonly after?: Instead };
  /** That it tells everybody of. */
  targets: readonly MetadataTarget[];
  /** What is answered to the gateway of targets about a connection: its status with a refusal. */
  onConnection: (request: ConnectionRequest) => Promise<Instead | object> | Instead | object;
  /** All questions for leases, in their order. */
  readonly asked: readonly LeaseRequest[];
  /** What gateways showed with them, the newest last. */
  readonly shown: readonly string[];
  /** How many of them were under way at a time, at most. */
  readonly most_at_once: number;
  /** Events that it took, each once, by the gateway's process. */
  readonly events: readonly EventsReport['events'][number][];
  /** From where the feed was asked for; `undefined` for from the beginning. */
  readonly afters: readonly (string | undefined)[];
  /** Milliseconds between two empty lines; 0: none. */
  beat_ms: number;
  tell(...lines: readonly FeedLine[]): void;
  /** Ends all feeds, as a connection does that breaks. */
  breakFeeds(): void;
  /** A token of the session, by the key that is in use. @param for_gateway whether it is to be swapped */
  token(sid: string, for_gateway?: boolean): string;
  /** Whatever is to be signed, by that key. */
  sign(header: object, claims: object): string;
  /** Uses another key from here on. @returns the `kid` of the one before */
  rotateKey(): string;
  stop(): Promise<void>;
}

export async function startStandInBroker(): Promise<StandInBroker> {
  const state = { most_at_once: 0, under_way: 0, swaps: 0 };
  const asked: LeaseRequest[] = [];
  const shown: string[] = [];
  const events: EventsReport['events'][number][] = [];
  const places = new Map<string, number>();
  const feeds = new Set<ServerResponse>();
  const afters: (string | undefined)[] = [];
  const keys: { readonly kid: string; readonly privateKey: KeyObject; readonly jwk: object }[] = [];
  const addKey = () => {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const kid = `key-${keys.length + 1}`;
    keys.push({ kid, privateKey, jwk: { ...publicKey.export({ format: 'jwk' }), kid, alg: 'ES256', use: 'sig' } });
  };
  addKey();

  const leaseOf = (sid: string, targets: readonly GatewayTarget[]): Lease => {
    const judged_sid = broker.replaced_by.get(sid) ?? sid;
    const now = broker.now();
    return {
      ...{ sid, judged_sid, username: USER, groups: [] },
      facts: { auth_time: now, last_used: now, ...broker.facts.get(judged_sid) },
      limits: targets.map((target) => broker.limitsOf(target) ?? broker.limits),
    };
  };
  const answerLeases = async (request: unknown): Promise<Instead | LeaseReply> => {
    if (!isLeaseRequest(request)) return 400;
    asked.push(request);
    state.under_way += 1;
    state.most_at_once = Math.max(state.most_at_once, state.under_way);
    try {
      const instead = await broker.onAsk(request);
      if (instead !== undefined) return instead;
      const sessions = request.asks.map(({ sid = '', targets }) => leaseOf(sid, targets));
      return { broker_time: broker.now(), sessions, record: broker.record };
    } finally {
      state.under_way -= 1;
    }
  };
  const takeEvents = (report: EventsReport): Instead | object => {
    const { before, after } = broker.onEvents(report);
    if (before !== undefined) return before;
    const place = places.get(report.instance) ?? 0;
    const last = Math.max(place, report.first + report.events.length - 1);
    events.push(...report.events.slice(Math.max(0, place + 1 - report.first)));
    places.set(report.instance, last);
    return after ?? { acknowledged: last };
  };
  const swapped = () => {
    const access_token = `swapped-${++state.swaps}`;
    return { access_token, issued_token_type: 'jwt', token_type: 'N_A', expires_in: 120 };
  };
  const answer = async (request: IncomingMessage): Promise<Instead | object> => {
    const path = request.url ?? '';
    if (path === '/jwks') return { keys: keys.map(({ jwk }) => jwk) };
    if (path === '/.well-known/curfew') return { ...METADATA, targets: broker.targets };
    let text = '';
    for await (const chunk of request.setEncoding('utf8')) text += chunk;
    if (path === GATEWAY_PATHS.sessions) shown.push(request.headers.authorization ?? '');
    if (path === GATEWAY_PATHS.sessions) return answerLeases(JSON.parse(text));
    if (path === GATEWAY_PATHS.events) return takeEvents(JSON.parse(text));
    if (path === GATEWAY_PATHS.connections) return broker.onConnection(JSON.parse(text));
    return path === GATEWAY_PATHS.token ? swapped() : 404;
  };
  const server = createServer((request, response) => {
    const url = request.url ?? '';
    if (url.startsWith(GATEWAY_PATHS.ends)) {
      afters.push(new URL(url, 'http://broker').searchParams.get('after') ?? undefined);
      feeds.add(response);
      response.once('close', () => feeds.delete(response));
      response.writeHead(200, { 'content-type': 'application/x-ndjson' }).flushHeaders();
      if (broker.beat_ms > 0) response.write('\n');
      return;
    }
    void answer(request).then((body) => {
      if (body === 'no answer') return response.destroy();
      if (typeof body === 'number') return response.writeHead(body).end();
      const status = body && 'code' in body ? 403 : 200;
      return response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    });
  });
  const url = `http://127.0.0.1:${await listenAnywhere(server)}`;
  const write = (text: string) => {
    for (const feed of feeds) feed.write(text);
  };
  let beat_ms = 0;
  let beating: NodeJS.Timeout | undefined;
  const broker: StandInBroker = {
    place: { url, token: createSecretKey(randomBytes(32)) },
    now: () => seconds(Math.floor(Date.now() / 1000)),
    facts: new Map(),
    replaced_by: new Map(),
    limits: { session: STAND_IN_LIMITS, target: STAND_IN_LIMITS },
    limitsOf: () => undefined,
    record: ['exec', 'watch'],
    onAsk: () => undefined,
    onEvents: () => ({}),
    onConnection: () => 404,
    targets: [],
    ...{ asked, shown, events, afters },
    get most_at_once() {
      return state.most_at_once;
    },
    get beat_ms() {
      return beat_ms;
    },
    set beat_ms(ms: number) {
      beat_ms = ms;
      clearInterval(beating);
      if (ms > 0) beating = setInterval(() => write('\n'), ms).unref();
      if (ms > 0) write('\n');
    },
    tell: (...lines) => write(lines.map(feedLine).join('')),
    breakFeeds() {
      for (const feed of feeds) feed.destroy();
    },
    token(sid, for_gateway = false) {
      const now = broker.now();
      const audience = for_gateway ? gatewayAudience('prod') : AUDIENCE;
      const header = { alg: 'ES256', typ: for_gateway ? GATEWAY_TOKEN_TYP : TOKEN_TYP };
      const claims = {
        iss: url,
        aud: audience,
        sub: sid,
        sid,
        username: USER,
        nbf: now - 5,
        iat: now,
        exp: now + 3_600,
      };
      return broker.sign(header, claims);
    },
    sign(header, claims) {
      const key = keys.at(-1);
      if (!key) throw new TypeError('no key');
      const named = { ...header, kid: key.kid };
      const signed = [named, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
      const signature = sign('sha256', Buffer.from(signed), { key: key.privateKey, dsaEncoding: 'ieee-p1363' });
      return `${signed}.${signature.toString('base64url')}`;
    },
    rotateKey() {
      const before = keys.at(-1)?.kid ?? '';
      addKey();
      return before;
    },
    async stop() {
      clearInterval(beating);
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
  return broker;
}

const METADATA: Metadata = {
  issuer: 'https://curfew.example.com',
  token_endpoint: 'https://curfew.example.com/token',
  revocation_endpoint: 'https://curfew.example.com/revoke',
  sessions_endpoint: 'https://curfew.example.com/v1/sessions',
  identity_provider: {
    issuer: 'https://idp.example.com',
    client_id: 'curfew',
    scopes: ['openid'],
    redirect_host: '127.0.0.1',
    redirect_ports: [8000],
  },
  limits: STAND_IN_LIMITS,
  clusters: [
    {
      ...{ name: 'prod', audience: AUDIENCE, server: 'https://prod.example.com:6443' },
      ...{ credential: 'token', end_within: seconds(0) },
      ...{ limits: { session: STAND_IN_LIMITS, target: STAND_IN_LIMITS }, strictest: STAND_IN_LIMITS },
    },
  ],
};
