// The identity provider's word: how many logout tokens and security events a broker takes, each ending a session durably before it
// is answered, and how soon one takes effect at a real API server.

import { createSecretKey, randomBytes, randomUUID } from 'node:crypto';
import { mkdtemp, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Agent, Client, fetch, Pool } from 'undici';
import { stringify } from 'yaml';
import { LOGOUT_EVENT } from '../../broker/audit_log/signals.ts';
import { seconds } from '../../shared/time.ts';
import { freePort } from '../cluster/ports.ts';
import { startBroker } from '../support/broker_process.ts';
import { Holder } from '../support/holder.ts';
import { ISSUER, identityProvider } from '../support/service.ts';
import { typeOf } from '../support/signals.ts';
import { type StaticIssuer, startStaticIssuer } from '../support/static_issuer.ts';
import { startTransmitter, type Transmitter } from '../support/transmitter.ts';
import { startWorld, type World } from '../support/world.ts';
import type { Bench, Settings } from './figure.ts';
import { quantile } from './statistics.ts';
import { fillStore } from './store.ts';

const COUNT = 3_000;
const CONNECTIONS = 8;
const AUDIENCE = 'https://curfew.example.com/ssf';

export const signals: Bench = {
  figures: [
    {
      name: 'logout_token.per_second',
      unit: '/s',
      aim: { at_least: 500 },
      says: 'logout tokens (RS256) that each end a session, durable before the answer, over 8 connections',
    },
    {
      name: 'set.per_second',
      unit: '/s',
      aim: { at_least: 500 },
      says: 'security events (RS256) that are pushed, likewise',
    },
  ],
  async run({ folder: parent, quick, log }) {
    const count = quick ? 20 : COUNT;
    const folder = await mkdtemp(path.join(parent, 'signals-'));
    const issuer = await startStaticIssuer();
    const bearer = randomBytes(32);
    const { url, configFile, store } = await configure(folder, issuer, bearer);
    log(`${2 * count} sessions into ${store.place}`);
    const limits = { max_age: seconds(43_200), inactivity_timeout: seconds(1800), token_ttl: seconds(300) };
    await fillStore({ ...store, iss: issuer.issuer, limits, sessions: 2 * count, held: [] });
    const broker = await startBroker({ configFile, url });
    const pool = new Pool(url, { connections: CONNECTIONS });
    try {
      const logouts = Array.from({ length: count }, (_, i) => logoutToken(issuer, `subject-${i}`));
      const sets = Array.from({ length: count }, (_, i) => setOf(issuer, `subject-${count + i}`));
      const form = { 'content-type': 'application/x-www-form-urlencoded' };
      const jwt = {
        'content-type': 'application/secevent+jwt',
        authorization: `Bearer ${bearer.toString('base64url')}`,
      };
      const logout = await load(
        pool,
        '/backchannel-logout',
        form,
        200,
        logouts.map((token) => `logout_token=${token}`),
      );
      const set = await load(pool, '/ssf/events', jwt, 202, sets);
      const ended = broker.audit().filter(({ event }) => event === 'end').length;
      if (ended !== 2 * count) throw new Error(`${ended} sessions ended of ${2 * count}`);
      return { 'logout_token.per_second': logout, 'set.per_second': set };
    } finally {
      await pool.destroy();
      await broker.kill();
      await issuer.stop();
    }
  },
};

async function configure(folder: string, { issuer }: StaticIssuer, bearer: Buffer) {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const configFile = path.join(folder, 'config.yaml');
  const key = randomBytes(32);
  await writeFile(path.join(folder, 'key'), key.toString('base64'), { mode: 0o600 });
  await writeFile(path.join(folder, 'push'), bearer.toString('base64'), { mode: 0o600 });
  const config = {
    issuer: ISSUER,
    listen: { address: '127.0.0.1', port },
    keys: { encryption_key_file: 'key' },
    identity_provider: identityProvider(issuer),
    clusters: [{ name: 'dev', server: 'https://127.0.0.1:1', audience: 'dev', allowed_groups: ['*'] }],
    store: { sqlite: { file: 'curfew.db' } },
    policy: { limits: { max_age: '12h', inactivity_timeout: '30m', token_ttl: '5m' } },
    ssf: [{ issuer, audience: AUDIENCE, issuers: [issuer], jwks_uri: `${issuer}/jwks`, push: { token_file: 'push' } }],
  };
  await writeFile(configFile, stringify(config));
  return { url, configFile, store: { place: path.join(folder, 'curfew.db'), key: createSecretKey(key) } };
}

/** @returns how many a second; the first tenth only warms up */
async function load(pool: Pool, url: string, headers: Record<string, string>, good: number, bodies: readonly string[]) {
  const send = async (body: string) => {
    const response = await pool.request({ method: 'POST', path: url, headers, body });
    const text = await response.body.text();
    if (response.statusCode !== good) throw new Error(`${url} answered ${response.statusCode}: ${text}`);
  };
  const warm = Math.ceil(bodies.length / 10);
  await all(bodies.slice(0, warm), send);
  const begin = performance.now();
  await all(bodies.slice(warm), send);
  return (bodies.length - warm) / ((performance.now() - begin) / 1000);
}

/** As many at a time as there are connections. */
async function all(bodies: readonly string[], send: (body: string) => Promise<void>): Promise<void> {
  const left = [...bodies];
  const worker = async () => {
    for (let body = left.pop(); body !== undefined; body = left.pop()) await send(body);
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, worker));
}

const now = () => Math.floor(Date.now() / 1000);

function logoutToken(issuer: StaticIssuer, sub: string): string {
  const claims = { iss: issuer.issuer, aud: 'curfew', iat: now(), exp: now() + 600, jti: randomUUID(), sub };
  return issuer.sign({ ...claims, events: { [LOGOUT_EVENT]: {} } }, { typ: 'logout+jwt' });
}

function setOf(issuer: StaticIssuer, sub: string): string {
  const sub_id = { format: 'iss_sub', iss: issuer.issuer, sub };
  const claims = { iss: issuer.issuer, aud: AUDIENCE, iat: now(), jti: randomUUID(), sub_id };
  const events = { [typeOf('session-revoked')]: { event_timestamp: now() } };
  return issuer.sign({ ...claims, events }, { typ: 'secevent+jwt' });
}

const EVENTS = 100;

export const setToDenial: Bench = {
  figures: [
    {
      name: 'set_to_denial.p99_ms',
      unit: 'ms',
      aim: { at_most: 300 },
      says: 'from sending a security event to the denial of a request with the token, 99th percentile of 100',
    },
  ],
  async run(settings) {
    return { 'set_to_denial.p99_ms': quantile(await measureDenials(settings), 0.99) };
  },
};

async function measureDenials({ folder, quick, log }: Settings): Promise<number[]> {
  const dir = await mkdtemp(path.join(folder, 'world-'));
  const planes = [{ name: 'dev', webhook: { on_failure: 'deny' } }] as const;
  const policy = { limits: { max_age: '12h', inactivity_timeout: '2h', token_ttl: '1h' }, segments: [] };
  const world = await startWorld({ dir, policy, planes, log });
  const transmitter = await startTransmitter();
  const bearer = randomBytes(32);
  await writeFile(path.join(dir, 'push'), bearer.toString('base64'), { mode: 0o600 });
  const { issuer, audience } = transmitter;
  const push = { token_file: path.join(dir, 'push') };
  await world.restartBroker({ ssf: [{ issuer, audience, issuers: [world.idp.issuer], push }] });
  const dispatcher = new Agent({ connect: { ca: world.authority.caPem } });
  const api = new Client(world.plane.server, { connect: { ca: world.plane.caPem } });
  try {
    const times: number[] = [];
    for (let i = 0; i < (quick ? 3 : EVENTS); i++) {
      times.push(await revokeOne(world, transmitter, bearer.toString('base64url'), dispatcher, api, i));
    }
    return times;
  } finally {
    await Promise.all([api.destroy(), dispatcher.destroy(), transmitter.stop()]);
    await world.stop();
  }
}

async function revokeOne(
  world: World,
  transmitter: Transmitter,
  bearer: string,
  dispatcher: Agent,
  api: Client,
  i: number,
) {
  const send = (url: string, init: object) => fetch(url, { ...init, dispatcher }) as unknown as Promise<Response>;
  const holder = new Holder({ url: world.brokerUrl, issuer: world.brokerUrl, send });
  const sub = `person-${i}`;
  const who = { sub, email: `${sub}@example.com`, nonce: holder.nonce };
  const { granted } = await holder.exchange(world.idp.issueIdToken('alice', who), { audience: 'dev' });
  const use = async () => {
    const headers = { authorization: `Bearer ${granted.access_token}` };
    const { statusCode, body } = await api.request({ method: 'GET', path: '/api/v1/namespaces', headers });
    await body.dump();
    return statusCode;
  };
  const before = await use();
  if (before !== 200) throw new Error(`a living session was answered ${before}`);
  const { token } = transmitter.set('session-revoked', { format: 'iss_sub', iss: world.idp.issuer, sub });
  const begin = performance.now();
  const headers = { 'content-type': 'application/secevent+jwt', authorization: `Bearer ${bearer}` };
  const { status } = await send(`${world.brokerUrl}/ssf/events`, { method: 'POST', headers, body: token });
  if (status !== 202) throw new Error(`a security event was answered ${status}`);
  for (;;) {
    const status = await use();
    if (status === 403) return performance.now() - begin;
    if (status !== 200) throw new Error(`a revoked session was answered ${status}`);
  }
}
