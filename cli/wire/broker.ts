// The broker as the plugin sees it: its metadata, POST /token, POST /revoke. A refusal is a value, a failure an exception.

import { type Code, CurfewError } from '../../shared/errors.ts';
import { faultOfUrl } from '../../shared/origin.ts';
import type { Seconds } from '../../shared/time.ts';
import {
  GRANT,
  isMetadata,
  isRefusal,
  isTokenReply,
  type Metadata,
  type Refusal,
  TOKEN_TYPE,
  type TokenReply,
} from '../../shared/wire.ts';
import { countdown } from '../host/countdown.ts';
import type { Clocks, Host } from '../host/host.ts';
import { oneLine } from '../warm/one_line.ts';
import type { Endpoints } from '../warm/session_record.ts';
import { type PrivateJwk, prove } from './dpop.ts';
import { ANSWER, type HttpAnswer, HttpFault, hintOf, type Send } from './http.ts';

/** Milliseconds for one request with all its repetitions. */
const WHOLE = 9_000;
/** Milliseconds for an end of sessions: everybody's may be many, and each is on disk before it is acknowledged. */
const ENDING = 60_000;

/** The broker's answer. `asked_at` is our clock before the request: nothing in the answer is younger. */
export type Answer =
  | { readonly reply: TokenReply; readonly refusal?: undefined; readonly asked_at: Seconds }
  | { readonly reply?: undefined; readonly refusal: Refusal; readonly asked_at: Seconds };

export interface Exchange {
  readonly id_token: string;
  readonly nonce_random: string;
  readonly client_id: string;
  readonly audience?: string | undefined;
  readonly max_age?: Seconds | undefined;
}

export interface Renewal {
  readonly handle: string;
  readonly audience: string;
  readonly max_age?: Seconds | undefined;
  /** A newer one of the same login. */
  readonly id_token?: string | undefined;
}

export interface Broker {
  metadata(deadline?: number): Promise<Metadata>;
  exchange(endpoints: Endpoints, key: PrivateJwk, exchange: Exchange): Promise<Answer>;
  renew(endpoints: Endpoints, key: PrivateJwk, renewal: Renewal): Promise<Answer>;
  /** RFC 7009: whether the broker took it. */
  revoke(endpoints: Endpoints, key: PrivateJwk, handle: string): Promise<void>;
  /** Our own API. @param endpoint of the metadata @param is what the reply must be */
  sessions<T>(
    endpoint: string,
    credential: { readonly key: PrivateJwk; readonly handle: string },
    request: SessionRequest,
    is: (value: unknown) => value is T,
  ): Promise<
    { readonly reply: T; readonly refusal?: undefined } | { readonly reply?: undefined; readonly refusal: Refusal }
  >;
}

/** A request to `/v1/sessions`. */
export interface SessionRequest {
  readonly method: 'GET' | 'DELETE';
  /** Below the endpoint, with its slash. */
  readonly path?: string | undefined;
  readonly query: Readonly<Record<string, string>>;
}

/**
 * @param url from `brokerKey`
 * @throws CurfewError `insecure` when the URL may not carry secrets
 */
export function createBroker(url: string, send: Send, host: Clocks & Pick<Host, 'env' | 'random'>): Broker {
  refuseInsecure(url, host);
  const name = new URL(url).host;

  /** Sends, and once more when the answer got lost: the broker takes the same request again (it is not theft). */
  const ask = async (to: string, form: Form, key: PrivateJwk, left: Left, nonce?: string): Promise<HttpAnswer> => {
    const request = (afresh: boolean) => {
      const headers = { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' };
      const body = new URLSearchParams(Object.entries(form).filter(isGiven)).toString();
      // Further over than any request takes: this program was stopped before it came to this one.
      const deadline = afresh || left() < -1_000 ? ANSWER : Math.max(1, Math.min(ANSWER, left()));
      const dpop = prove(key, { method: 'POST', url: to, nonce }, host);
      return send(to, { method: 'POST', headers: { ...headers, dpop }, body, deadline });
    };
    const answer = await reach(name, request, true);
    const wanted = answer.headers['dpop-nonce'];
    if (nonce === undefined && typeof wanted === 'string' && errorOf(answer) === 'use_dpop_nonce') {
      return await ask(to, form, key, left, wanted);
    }
    return answer;
  };

  const askWithHandle = async (
    { method, path = '', query }: SessionRequest,
    endpoint: string,
    { key, handle }: { readonly key: PrivateJwk; readonly handle: string },
    nonce?: string,
  ): Promise<HttpAnswer> => {
    const url = endpoint + path;
    const search = new URLSearchParams(query).toString();
    const request = () => {
      const dpop = prove(key, { method, url, handle, nonce }, host);
      const headers = { accept: 'application/json', authorization: `DPoP ${handle}`, dpop };
      const deadline = method === 'DELETE' ? ENDING : ANSWER;
      return send(search === '' ? url : `${url}?${search}`, { method, headers, deadline });
    };
    const answer = await reach(name, request, true);
    const wanted = answer.headers['dpop-nonce'];
    if (nonce !== undefined || typeof wanted !== 'string' || answer.status !== 401) return answer;
    return askWithHandle({ method, path, query }, endpoint, { key, handle }, wanted);
  };

  const token = async (endpoints: Endpoints, key: PrivateJwk, form: Form): Promise<Answer> => {
    const left = countdown(WHOLE, host);
    let asked_at = host.now();
    let answer = await ask(endpoints.token_endpoint, form, key, left);
    const wait = answer.status === 503 ? Number(answer.headers['retry-after'] ?? Number.NaN) : Number.NaN;
    if (wait <= 2) {
      await new Promise((resolve) => setTimeout(resolve, wait * 1000));
      asked_at = host.now();
      answer = await ask(endpoints.token_endpoint, form, key, left);
    }
    const body = parse(answer.body);
    if (answer.status === 200 && isTokenReply(body)) return { reply: body, asked_at };
    if (isRefusal(body) && answer.status < 500) return { refusal: body, asked_at };
    throw unexpected(name, answer);
  };

  return {
    async metadata(deadline) {
      const answer = await reach(name, () => send(`${url}/.well-known/curfew`, { method: 'GET', deadline }), true);
      const metadata = parse(answer.body);
      if (answer.status !== 200 || !isMetadata(metadata)) throw unexpected(name, answer);
      const { token_endpoint, revocation_endpoint, sessions_endpoint } = metadata;
      for (const endpoint of [token_endpoint, revocation_endpoint, sessions_endpoint]) sameOrigin(url, endpoint);
      return metadata;
    },
    exchange: (endpoints, key, { id_token, nonce_random, client_id, audience, max_age }) =>
      token(endpoints, key, {
        grant_type: GRANT.exchange,
        subject_token: id_token,
        subject_token_type: TOKEN_TYPE.id_token,
        client_id,
        nonce_random,
        audience,
        max_age: max_age?.toString(),
      }),
    renew: (endpoints, key, { handle, audience, max_age, id_token }) =>
      token(endpoints, key, {
        grant_type: GRANT.renewal,
        refresh_token: handle,
        audience,
        max_age: max_age?.toString(),
        id_token,
      }),
    async sessions(endpoint, credential, request, is) {
      const answer = await askWithHandle(request, endpoint, credential);
      const body = parse(answer.body);
      if (answer.status === 200 && is(body)) return { reply: body };
      if (isRefusal(body) && answer.status < 500 && answer.status !== 429) return { refusal: body };
      throw unexpected(name, answer);
    },
    async revoke(endpoints, key, handle) {
      const form = { token: handle, token_type_hint: 'refresh_token' };
      const answer = await ask(endpoints.revocation_endpoint, form, key, countdown(WHOLE, host));
      // A handle that the broker does not know, or no longer, is as revoked as can be (RFC 7009 2.2).
      if (answer.status !== 200 && errorOf(answer) !== 'invalid_grant') throw unexpected(name, answer);
    },
  };
}

/** From `countdown`. */
type Left = () => number;

type Form = Readonly<Record<string, string | undefined>>;

function isGiven(field: [string, string | undefined]): field is [string, string] {
  return field[1] !== undefined;
}

/** @throws CurfewError `insecure` */
export function refuseInsecure(url: string, { env }: Pick<Host, 'env'>): void {
  if (env.NODE_TLS_REJECT_UNAUTHORIZED === '0') {
    const hint = 'unset NODE_TLS_REJECT_UNAUTHORIZED; --ca-file adds a root that you trust';
    throw new CurfewError('insecure', 'NODE_TLS_REJECT_UNAUTHORIZED=0 turns certificate checks off', { hint });
  }
  const fault = faultOfUrl(url);
  if (fault !== undefined) throw new CurfewError('insecure', `the broker's URL ${oneLine(url)} ${sayFault(fault)}`);
}

function sayFault(fault: ReturnType<typeof faultOfUrl>): string {
  return fault === 'not a URL' ? 'is not a URL' : fault === 'not https' ? 'is not https' : `${fault}`;
}

/** The handle goes to the origin that the person named, whatever the metadata says. */
function sameOrigin(url: string, endpoint: string): void {
  if (URL.canParse(endpoint) && new URL(endpoint).origin === new URL(url).origin) return;
  const there = URL.canParse(endpoint) ? new URL(endpoint).origin : 'no URL';
  // Shown, never recommended: it may be anybody's.
  const hint = 'ask who runs the broker for its right address';
  throw new CurfewError('insecure', `the broker at ${url} names an endpoint at ${oneLine(there)}`, { hint });
}

/**
 * @param request is told whether its time begins afresh: this program stood still, which is no fault of the broker
 * @throws CurfewError `broker_unreachable` that names the host
 */
async function reach(
  name: string,
  request: (afresh: boolean) => Promise<HttpAnswer>,
  again: boolean,
  afresh = false,
): Promise<HttpAnswer> {
  try {
    const answer = await request(afresh);
    if (answer.status >= 300 && answer.status < 400) {
      throw new CurfewError('insecure', `the broker at ${name} redirects elsewhere`, {
        hint: "correct the broker's URL",
      });
    }
    return answer;
  } catch (error) {
    if (!(error instanceof HttpFault)) throw error;
    if (again && (error.broken || error.stopped)) return await reach(name, request, false, error.stopped);
    throw new CurfewError(
      'broker_unreachable',
      `the broker at ${name} is out of reach: ${error.message}`,
      hintOf(error),
    );
  }
}

/** What may be away behind a broker that is there. */
const BEHIND: readonly Code[] = ['api_server', 'service_account', 'identity_provider'];

function unexpected(name: string, answer: HttpAnswer): CurfewError {
  const body = parse(answer.body);
  if (!isRefusal(body)) {
    return new CurfewError(
      'broker_unreachable',
      `the broker at ${name} answered HTTP ${answer.status}, not as a broker does`,
    );
  }
  const own = BEHIND.find((reason) => reason === body.reason);
  const code = own ?? (answer.status === 429 ? 'busy' : 'unavailable');
  return new CurfewError(code, `the broker at ${name} answered: ${oneLine(body.error_description)}`);
}

function errorOf(answer: HttpAnswer): string | undefined {
  const body = parse(answer.body);
  return isRefusal(body) ? body.error : undefined;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
