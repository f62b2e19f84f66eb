// The broker in this process, with a clock that the test sets: real HTTP, real SQLite, a static issuer.

import { createSecretKey, randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pino } from 'pino';
import { stringify } from 'yaml';
import type { AuditEntry, AuditEvent } from '../../broker/audit_log/events.ts';
import type { ReloadOutcome } from '../../broker/config/live.ts';
import { loadConfig } from '../../broker/config/load.ts';
import { createFetchJson } from '../../broker/net/fetch_json.ts';
import { type Service, startService } from '../../broker/serve.ts';
import { createTokenIds } from '../../broker/tokens/token_id.ts';
import { createIdentityProvider } from '../../broker/upstream/identity_provider.ts';
import { type Seconds, seconds } from '../../shared/time.ts';
import { Holder } from './holder.ts';
import { sharedPostgres } from './postgres.ts';
import { type StaticIssuer, startStaticIssuer } from './static_issuer.ts';

export const ISSUER = 'https://curfew.example.com';
/** Where test clocks begin. */
export const T0 = seconds(1_800_000_000);

export interface TestService {
  readonly url: string;
  /** Where `/metrics` is; empty when the configuration has none. */
  readonly metrics_url: string;
  readonly issuer: StaticIssuer;
  readonly audit: AuditEvent[];
  /** Everything the service logged, one JSON line each. */
  readonly log: string[];
  now: Seconds;
  /** Seconds by the clock that only measures lengths: a real one, until the test sets it; then it stands still unless the test moves it. */
  elapsed: number;
  advance(length: number): void;
  /** Sets the machine's clock, ahead or back: the clock that is never set does not follow, nor does the identity provider's. */
  setClock(length: number): void;
  /** Seconds by which the machine's clock is ahead of the database's. */
  aheadOfDatabase: number;
  /** The machine sleeps: the world's time goes on, and the clock that is never set stands still. */
  sleep(length: number): void;
  holder(): Holder;
  /** Claims of a login that just happened, for this holder. */
  claims(holder: Holder, more?: Readonly<Record<string, unknown>>): Record<string, unknown>;
  /** A login that just happened, exchanged for a session. */
  login(
    holder: Holder,
    more?: Readonly<Record<string, unknown>>,
    fields?: Readonly<Record<string, string>>,
  ): ReturnType<Holder['exchange']>;
  /** Stops the service and starts it on the same store, with changes to its configuration. */
  restart(changes?: Readonly<Record<string, unknown>>): Promise<void>;
  /** Stops the service and leaves all else as it is: a restart is to follow. */
  halt(): Promise<void>;
  /** One round of the sweeper. */
  sweep(): Promise<number>;
  /** In PostgreSQL what is idle is in doubt, as another broker may have seen a use: until that is over, and swept. */
  outlastDoubt(): Promise<void>;
  /** SQLite's file, or the URL of the database: for `openStoreDatabase`. */
  readonly storeFile: string;
  readonly configFile: string;
  /** What the API server of a cluster presents; the clusters' `webhook.token_file` is `NAME-hook`. */
  readonly webhook_tokens: Readonly<Record<string, string>>;
  /** What the gateway of a cluster presents; the clusters' `gateway.token_file` is `NAME-gateway`. */
  readonly gateway_tokens: Readonly<Record<string, string>>;
  /** The id of a token of this session, as the broker makes them. @param cluster is its own audience */
  tokenId(sid: string, cluster?: string, exp?: number): string;
  /** Reads the configuration again, with changes to it, while the service runs. */
  reload(changes?: Readonly<Record<string, unknown>>): Promise<ReloadOutcome>;
  /** Another broker with the same configuration, on the same database of PostgreSQL: where a `Holder` finds it. */
  replica(): Promise<{ readonly issuer: string; readonly url: string }>;
  stop(): Promise<void>;
}

const LIMITS = { max_age: '1h', inactivity_timeout: '30m', token_ttl: '5m' };
const SEGMENTS = [
  {
    name: 'prod',
    match: { clusters: ['prod-*'] },
    limits: { max_age: '15m', inactivity_timeout: '10m', token_ttl: '2m' },
  },
];

export const TEST_POLICY = { limits: LIMITS, segments: SEGMENTS };

/** With CURFEW_TEST_STORE=postgres whatever does not say where its store is has it in PostgreSQL. */
function onPostgres(changes: Readonly<Record<string, unknown>>): boolean {
  return process.env.CURFEW_TEST_STORE === 'postgres' && changes.store === undefined;
}

/** @param changes replace whole sections of the configuration */
export async function startTestService(
  changes: Readonly<Record<string, unknown>> = {},
  { postgres = onPostgres(changes) }: { readonly postgres?: boolean } = {},
): Promise<TestService> {
  const folder = await mkdtemp(path.join(tmpdir(), 'curfew-service-'));
  const issuer = await startStaticIssuer();
  const configFile = path.join(folder, 'config.yaml');
  const key = randomBytes(32);
  await writeFile(path.join(folder, 'key'), key.toString('base64'), { mode: 0o600 });
  const ids = createTokenIds(createSecretKey(key));
  const makeTokens = async (of: string) => {
    const tokens: Record<string, string> = {};
    for (const cluster of ['dev', 'prod-eu', 'targets']) {
      const token = randomBytes(32);
      tokens[cluster] = token.toString('base64url');
      await writeFile(path.join(folder, `${cluster}-${of}`), token.toString('base64'), { mode: 0o600 });
    }
    return tokens;
  };
  const [webhook_tokens, gateway_tokens] = [await makeTokens('hook'), await makeTokens('gateway')];
  const defaults = {
    issuer: ISSUER,
    listen: { address: '127.0.0.1', port: 0 },
    keys: { encryption_key_file: 'key' },
    identity_provider: identityProvider(issuer.issuer),
    clusters: [
      { name: 'dev', server: 'https://127.0.0.1:1', audience: 'dev', allowed_groups: ['*'] },
      { name: 'prod-eu', server: 'https://127.0.0.1:2', audience: 'prod-eu', allowed_groups: ['sre'] },
    ],
    store: { sqlite: { file: 'curfew.db' } },
    policy: TEST_POLICY,
  };
  const database = postgres ? await (await sharedPostgres()).createDatabase() : undefined;
  if (database !== undefined) {
    await writeFile(path.join(folder, 'database'), database, { mode: 0o600 });
    const witness_file = path.join(folder, 'witness', 'curfew.db');
    Object.assign(defaults, { store: { postgres: { url_file: 'database' }, witness_file } });
  }
  const audit: AuditEvent[] = [];
  const log: string[] = [];
  const state: {
    now: Seconds;
    elapsed: number | undefined;
    off: number;
    slept: number;
    ahead: number;
    service?: Service;
  } = {
    ...{ now: T0, elapsed: undefined, off: 0, slept: 0, ahead: 0 },
  };
  // The world's, which the identity provider has too; the machine's may be off.
  const now = () => seconds(state.now + state.off);
  const monotonic = () => state.now - state.slept;
  issuer.date = () => state.now * 1000;
  const stopwatch = () => state.elapsed ?? performance.now() / 1000;
  const logger = pino({ level: 'trace' }, { write: (line: string) => void log.push(line) });

  const writeConfig = (more: Readonly<Record<string, unknown>>) =>
    writeFile(configFile, stringify({ ...defaults, ...changes, ...more }));
  const replicas: Service[] = [];
  const startOne = async () => {
    const config = await loadConfig(configFile, { env: process.env });
    const settings = config.identity_provider;
    const upstream = createIdentityProvider({ settings, fetchJson: createFetchJson(settings.ca), now, log: logger });
    const onAudit = ({ event }: AuditEntry) => void audit.push(event);
    // The database's clock is this machine's, whatever time it is in the test.
    const exact = () => Date.now() / 1000 + state.ahead;
    const around = { now, exact, stopwatch, monotonic, log: logger, identityProvider: upstream, onAudit, drainMs: 0 };
    return startService(config, around);
  };
  const start = async (more: Readonly<Record<string, unknown>>) => {
    await writeConfig(more);
    state.service = await startOne();
  };
  await start({}).catch(async (error: unknown) => {
    await issuer.stop();
    await rm(folder, { recursive: true, force: true });
    throw error;
  });

  // The port changes with a restart.
  const target = {
    issuer: ISSUER,
    get url() {
      return state.service?.url ?? '';
    },
  };
  const service: TestService = {
    get url() {
      return state.service?.url ?? '';
    },
    get now() {
      return state.now;
    },
    set now(instant: Seconds) {
      state.now = instant;
    },
    get elapsed() {
      return stopwatch();
    },
    set elapsed(seconds: number) {
      state.elapsed = seconds;
    },
    get metrics_url() {
      return state.service?.metrics_url ?? '';
    },
    issuer,
    audit,
    log,
    storeFile: database ?? path.join(folder, 'curfew.db'),
    configFile,
    advance(length) {
      state.now = seconds(state.now + length);
    },
    get aheadOfDatabase() {
      return state.ahead;
    },
    set aheadOfDatabase(seconds: number) {
      state.ahead = seconds;
    },
    sleep(length) {
      state.now = seconds(state.now + length);
      state.slept += length;
    },
    setClock(length) {
      state.off += length;
    },
    holder() {
      return new Holder(target, () => state.now);
    },
    claims(holder, more = {}) {
      const at = state.now;
      const login = {
        iss: issuer.issuer,
        aud: 'curfew',
        sub: 'alice-sub',
        iat: at,
        exp: at + 300,
        auth_time: at,
        nonce: holder.nonce,
      };
      return { ...login, email: 'alice@example.com', email_verified: true, groups: ['dev', 'sre'], ...more };
    },
    login(holder, more = {}, fields = {}) {
      return holder.exchange(issuer.sign(service.claims(holder, more)), fields);
    },
    async halt() {
      const running = state.service;
      delete state.service;
      await running?.stop();
    },
    async restart(more = {}) {
      await service.halt();
      await start(more);
    },
    webhook_tokens,
    gateway_tokens,
    tokenId: (sid, audience = 'dev', exp = state.now + 300) => ids.make({ sid, audience }, seconds(exp)),
    async reload(more = {}) {
      await writeConfig(more);
      const { service } = state;
      if (!service) throw new Error('the service does not run');
      return service.reload(() => loadConfig(configFile, { env: process.env }));
    },
    async replica() {
      const one = await startOne();
      replicas.push(one);
      return { issuer: ISSUER, url: one.url };
    },
    sweep: async () => (await state.service?.sweep()) ?? 0,
    async outlastDoubt() {
      if (database === undefined) return;
      service.advance(5);
      await service.sweep();
    },
    async stop() {
      for (const one of replicas) await one.stop();
      await state.service?.stop();
      await issuer.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
  return service;
}

export function identityProvider(issuer: string, more: Readonly<Record<string, unknown>> = {}) {
  const claims = {
    username_claim: 'email',
    groups_claim: 'groups',
    username_prefix: 'curfew:',
    groups_prefix: 'curfew:',
  };
  return {
    issuer,
    client_id: 'curfew',
    scopes: ['openid', 'email', 'groups'],
    ...claims,
    allowed_groups: ['*'],
    ...more,
  };
}
