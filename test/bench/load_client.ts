// The load client, a process of its own: holds keys and handles, and renews, or asks the webhook, over kept-alive
// connections, each sending its next request when it has the answer. Proofs are real and single use; they are made just before the measured window.

import { createSecretKey } from 'node:crypto';
import { Client, type Dispatcher, Pool } from 'undici';
import { hashOfHandle } from '../../broker/sessions/find.ts';
import { randomHandle, randomId } from '../../broker/tokens/random.ts';
import { createTokenIds } from '../../broker/tokens/token_id.ts';
import { fromMilliseconds, plus, seconds } from '../../shared/time.ts';
import { GRANT, isTokenReply } from '../../shared/wire.ts';
import { Holder } from '../support/holder.ts';
import { reviewOf } from '../support/review.ts';
import { measure } from './load_measure.ts';

export interface KeysOrder {
  readonly order: 'keys';
  readonly set: string;
  readonly count: number;
  /** The broker's issuer: what proofs must speak of. */
  readonly issuer: string;
}

export interface LoadOrder {
  readonly order: 'load';
  readonly set: string;
  readonly url: string;
  readonly ca?: string | undefined;
  readonly audience: string;
  readonly connections: number;
  readonly seconds: number;
  /** How many proofs to make beforehand; further ones are made as they are needed. */
  readonly proofs: number;
}

/** Renewals that arrive at a fixed rate. */
export interface OpenOrder {
  readonly order: 'open';
  readonly set: string;
  readonly url: string;
  readonly ca?: string | undefined;
  readonly audience: string;
  /** A second. */
  readonly rate: number;
  /** Over which they are sent; more than are needed wait in the client, and that counts. */
  readonly connections: number;
  readonly seconds: number;
}

export type Order = KeysOrder | LoadOrder | OpenOrder | ReviewOrder | FetchOrder | IntrospectOrder;

/** As a kube-apiserver asks: one SubjectAccessReview after the other, about each session in turn. */
export interface ReviewOrder {
  readonly order: 'review';
  readonly set: string;
  readonly url: string;
  readonly ca?: string | undefined;
  /** Of the webhook. */
  readonly token: string;
  /** The broker's encryption key, hex: its tokens' ids are made with it. */
  readonly key: string;
  readonly audience: string;
  readonly connections: number;
  readonly seconds: number;
}

/** What is public, by GET. */
export interface FetchOrder {
  readonly order: 'fetch';
  readonly url: string;
  readonly path: string;
  readonly ca?: string | undefined;
  readonly connections: number;
  readonly seconds: number;
}

/** As an API server asks about tokens (RFC 7662), about one of each session in turn. */
export interface IntrospectOrder extends Omit<ReviewOrder, 'order' | 'key'> {
  readonly order: 'introspect';
}

/** The public part of a session that the client will use: for the store. */
export interface HeldSession {
  readonly sid: string;
  readonly username: string;
  readonly jkt: string;
  readonly handle_hash: Uint8Array;
}

export interface Load {
  readonly per_second: number;
  /** Milliseconds of each request that was answered within the window. */
  readonly latencies: Float64Array;
  /** Proofs that had to be made within the window. */
  readonly late_proofs: number;
  /** Of one core, that this process used within the window. */
  readonly client_cpu: number;
}

export interface OpenLoad {
  /** Tokens that came within the window. */
  readonly per_second: number;
  /** Milliseconds from when each request was to be sent to its token. */
  readonly latencies: Float64Array;
  /** The same from when it was written to a connection: without what it waited in this process for one that was free. */
  readonly served: Float64Array;
  /** Answers that are no token, and requests without one. */
  readonly errors: number;
  readonly client_cpu: number;
}

interface Held {
  readonly session: HeldSession;
  readonly holder: Holder;
  readonly body: string;
}

const FORM = { 'content-type': 'application/x-www-form-urlencoded' };
const sets = new Map<string, readonly Held[]>();

function makeKeys({ set, count, issuer }: KeysOrder): HeldSession[] {
  const made = Array.from({ length: count }, (_, i): Held => {
    const [holder, handle] = [new Holder({ url: '', issuer }), randomHandle()];
    const names = { sid: randomId(), username: `curfew:held-${i}@example.com` };
    const session = { ...names, jkt: holder.jkt, handle_hash: hashOfHandle(handle) };
    return { session, holder, body: `grant_type=${GRANT.renewal}&refresh_token=${handle}` };
  });
  sets.set(set, made);
  return made.map(({ session }) => session);
}

async function review({ set, token, key, audience, ...where }: ReviewOrder): Promise<Load> {
  const ids = createTokenIds(createSecretKey(key, 'hex'));
  const exp = plus(fromMilliseconds(Date.now()), seconds(3600));
  const bodies = heldOf(set).map(({ session: { sid, username } }) =>
    JSON.stringify(reviewOf({ user: username, sid, jti: ids.make({ sid, audience }, exp) })),
  );
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${token}` };
  let sent = 0;
  const send = (client: Client) => {
    const body = bodies[sent++ % bodies.length] ?? missing();
    return textOf(client, { path: '/webhooks/authorize', method: 'POST', headers, body });
  };
  const look = (text: string) => {
    if (!/"status":\{"allowed":false\}/.test(text)) throw new Error(`the webhook denied a living session: ${text}`);
  };
  return { ...(await measure({ ...where, send, look })), late_proofs: 0 };
}

function heldOf(set: string): readonly Held[] {
  const held = sets.get(set);
  if (!held || held.length === 0) throw new TypeError(`there are no keys of the set ${set}`);
  return held;
}

async function load({ set, audience, proofs, ...where }: LoadOrder): Promise<Load> {
  const held = heldOf(set);
  const begin = Math.floor(Math.random() * held.length);
  let [made, used] = [0, 0];
  // Sessions take turns, so that each key rests as long as it can.
  const make = () => {
    const { holder, body } = held[(begin + made++) % held.length] ?? missing();
    return { proof: holder.proof(), body: `${body}&audience=${audience}` };
  };
  const ready = Array.from({ length: proofs }, make);
  const send = (client: Client) => {
    const { proof, body } = ready[used++] ?? make();
    const headers = { ...FORM, dpop: proof };
    return textOf(client, { path: '/token', method: 'POST', headers, body });
  };
  const look = (text: string) => {
    if (!isTokenReply(JSON.parse(text))) throw new Error('the broker granted something else than a token');
  };
  return { ...(await measure({ ...where, send, look })), late_proofs: Math.max(0, used - proofs) };
}

async function fetchPublic({ path, ...where }: FetchOrder): Promise<Load> {
  const send = (client: Client) => textOf(client, { path, method: 'GET' });
  const look = (text: string) => {
    if (!/"keys":\[\{/.test(text)) throw new Error(`no keys at ${path}: ${text.slice(0, 300)}`);
  };
  return { ...(await measure({ ...where, send, look })), late_proofs: 0 };
}

/** Bodies that ask about a token of each session. */
const asked = new Map<string, readonly string[]>();

async function introspect({ set, token, audience, ...where }: IntrospectOrder): Promise<Load> {
  const bodies = asked.get(set) ?? (await tokensOf(set, audience, where));
  asked.set(set, bodies);
  const headers = { ...FORM, authorization: `Bearer ${token}` };
  let sent = 0;
  const send = (client: Client) =>
    textOf(client, { path: '/introspect', method: 'POST', headers, body: bodies[sent++ % bodies.length] ?? missing() });
  const look = (text: string) => {
    if (!/"active":true/.test(text)) throw new Error(`a living token is not active: ${text.slice(0, 300)}`);
  };
  return { ...(await measure({ ...where, send, look })), late_proofs: 0 };
}

async function tokensOf(set: string, audience: string, { url, ca }: Pick<IntrospectOrder, 'url' | 'ca'>) {
  const client = new Client(url, { connect: { ...(ca && { ca }) } });
  const bodies: string[] = [];
  try {
    for (const { holder, body } of heldOf(set)) {
      const headers = { ...FORM, dpop: holder.proof() };
      const renewal = { path: '/token', method: 'POST', headers, body: `${body}&audience=${audience}` } as const;
      const granted: unknown = JSON.parse(await textOf(client, renewal));
      if (!isTokenReply(granted)) throw new Error('the broker granted something else than a token');
      bodies.push(`token=${granted.access_token}`);
    }
    return bodies;
  } finally {
    await client.destroy();
  }
}

/** @throws Error where it is not 200 */
async function textOf(client: Client, request: Parameters<Client['request']>[0]): Promise<string> {
  const answer = await client.request(request);
  const text = await answer.body.text();
  if (answer.statusCode !== 200) throw new Error(`the broker answered ${answer.statusCode}: ${text.slice(0, 300)}`);
  return text;
}

/** Longer than any deadline of the broker. */
const LAST_ANSWER_MS = 15_000;

/** All proofs are made before the first request: making them would cost more than sending. */
async function open({ set, audience, url, ca, rate, connections, seconds }: OpenOrder): Promise<OpenLoad> {
  const held = heldOf(set);
  const begin = Math.floor(Math.random() * held.length);
  const requests = Array.from({ length: Math.floor(rate * seconds) }, (_, n) => {
    const { holder, body } = held[(begin + n) % held.length] ?? missing();
    return { proof: holder.proof(), body: `${body}&audience=${audience}` };
  });
  const pool = new Pool(url, { connections, connect: { ...(ca && { ca }) }, bodyTimeout: LAST_ANSWER_MS });
  const timed = pool.compose(noteWritten);
  const [latencies, served]: [number[], number[]] = [[], []];
  let [errors, answered] = [0, 0];
  try {
    const [cpu, start] = [process.cpuUsage(), performance.now()];
    const end = start + seconds * 1000;
    const send = async ({ proof, body }: { readonly proof: string; readonly body: string }, due: number) => {
      const headers = { ...FORM, dpop: proof };
      const opaque: Written = { at: due };
      try {
        const answer = await timed.request({ path: '/token', method: 'POST', headers, body, opaque });
        const text = await answer.body.text();
        if (answer.statusCode !== 200 || !isTokenReply(JSON.parse(text))) throw new Error(`${answer.statusCode}`);
        const now = performance.now();
        latencies.push(now - due);
        served.push(now - opaque.at);
        if (now < end) answered += 1;
      } catch {
        errors += 1;
      }
    };
    const sent: Promise<void>[] = [];
    while (sent.length < requests.length) {
      const due = start + (sent.length / rate) * 1000;
      const wait = due - performance.now();
      if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
      const request = requests[sent.length];
      if (request) sent.push(send(request, due));
    }
    const { user, system } = process.cpuUsage(cpu);
    await Promise.all(sent);
    const client_cpu = (user + system) / 1e6 / seconds;
    const all = { latencies: Float64Array.from(latencies), served: Float64Array.from(served) };
    return { per_second: answered / seconds, ...all, errors, client_cpu };
  } finally {
    await pool.destroy();
  }
}

/** When a request was written, by this process's clock. */
interface Written {
  at: number;
}

const noteWritten: Dispatcher.DispatcherComposeInterceptor = (dispatch) => (options, handler) => {
  const { opaque } = options as { readonly opaque?: Written };
  const begin = handler.onRequestStart?.bind(handler);
  const note: Dispatcher.DispatchHandler['onRequestStart'] = (...started) => {
    if (opaque) opaque.at = performance.now();
    begin?.(...started);
  };
  return dispatch(options, Object.assign(handler, { onRequestStart: note }));
};

function missing(): never {
  throw new TypeError('no such key');
}

function obey(order: Order): HeldSession[] | Promise<Load | OpenLoad> {
  switch (order.order) {
    case 'keys':
      return makeKeys(order);
    case 'load':
      return load(order);
    case 'open':
      return open(order);
    case 'review':
      return review(order);
    case 'fetch':
      return fetchPublic(order);
    case 'introspect':
      return introspect(order);
  }
}

process.on('message', async (message) => {
  const order = message as Order;
  try {
    const done = await obey(order);
    process.send?.({ done });
  } catch (error) {
    process.send?.({ failed: error instanceof Error ? error.message : String(error) });
  }
});
process.once('disconnect', () => process.exit());
