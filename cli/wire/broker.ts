// The broker as the plugin sees it: its metadata, POST /token, POST /revoke. A refusal is a value, a failure an exception.

import { CurfewError } from '../../shared/errors.ts';
import type { ExchangeParameters } from '../../shared/exchange.ts';
import { parseJson } from '../../shared/json.ts';
import { isMetadata, type Metadata } from '../../shared/metadata.ts';
import { faultOfUrl } from '../../shared/origin.ts';
import { isTargetTokenReply, type TargetTokenReply } from '../../shared/targets.ts';
import type { Seconds } from '../../shared/time.ts';
import { GRANT, isRefusal, isTokenReply, type Refusal, TOKEN_TYPE, type TokenReply } from '../../shared/wire.ts';
import { countdown } from '../host/countdown.ts';
import type { Clocks, Host } from '../host/host.ts';
import { oneLine } from '../warm/one_line.ts';
import type { Endpoints } from '../warm/session_record.ts';
import {
  askWithHandle,
  type BrokerLine,
  errorOf,
  type Form,
  postForm,
  reach,
  type SessionRequest,
  unexpected,
} from './broker_request.ts';
import type { PrivateJwk } from './dpop.ts';
import type { Send } from './http.ts';
import { CALL_PATIENCE_MS, LOGIN_PATIENCE_MS, Patience, patiently } from './patience.ts';

/** For one request with all its repetitions; that of a login is as patient as it is, beside that. */
const WHOLE_MS = 9_000;
const LOGIN_WHOLE_MS = LOGIN_PATIENCE_MS + WHOLE_MS;

/** The broker's answer. `asked_at` is our clock before the request: nothing in the answer is younger. */
export type TokenAnswer<R = TokenReply> =
  | { readonly reply: R; readonly refusal?: undefined; readonly asked_at: Seconds }
  | { readonly reply?: undefined; readonly refusal: Refusal; readonly asked_at: Seconds };

export interface Exchange extends ExchangeParameters {
  readonly id_token: string;
  readonly nonce_random: string;
}

export interface Renewal {
  readonly handle: string;
  readonly audience: string;
  readonly max_age?: Seconds | undefined;
  /** A newer one of the same login. */
  readonly id_token?: string | undefined;
}

/** Of a token for a target, which is for one connection, and perhaps of a credential there. */
export interface TargetRenewal extends Omit<Renewal, 'max_age'> {
  /** Which account there; without it, the first that the person may have. */
  readonly account?: string | undefined;
  /** What a certificate is for. */
  readonly ssh_public_key?: string | undefined;
  /** Where only the way to the target is wanted. */
  readonly credential?: 'none' | undefined;
}

export interface Broker {
  metadata(deadline?: number): Promise<Metadata>;
  /** Token exchange (RFC 8693 section 2.1) of the ID token of a login. */
  exchange(endpoints: Endpoints, key: PrivateJwk, exchange: Exchange): Promise<TokenAnswer>;
  /** By the session handle as a refresh token (RFC 6749 section 6). */
  renew(endpoints: Endpoints, key: PrivateJwk, renewal: Renewal): Promise<TokenAnswer>;
  /** The same for a target: bound to the key (RFC 9449 section 5). */
  renewForTarget(endpoints: Endpoints, key: PrivateJwk, renewal: TargetRenewal): Promise<TokenAnswer<TargetTokenReply>>;
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

/**
 * @param url from `brokerKey`
 * @param patience how long it waits, in all, where the broker says when to ask again
 * @throws CurfewError `insecure` when the URL cannot carry secrets
 */
export function createBroker(
  url: string,
  send: Send,
  host: Clocks & Pick<Host, 'env' | 'random'>,
  patience = new Patience(CALL_PATIENCE_MS, host),
): Broker {
  refuseInsecure(url, host);
  const line = { name: new URL(url).host, send, host, patience };
  const ofLogin = { ...line, patience: new Patience(LOGIN_PATIENCE_MS, host) };
  return {
    metadata: (deadline) => readMetadata(line, url, deadline),
    exchange: (endpoints, key, { id_token, nonce_random, client_id, audience, max_age }) =>
      askForToken(ofLogin, LOGIN_WHOLE_MS, endpoints, key, isTokenReply, {
        grant_type: GRANT.exchange,
        subject_token: id_token,
        subject_token_type: TOKEN_TYPE.id_token,
        client_id,
        nonce_random,
        audience,
        max_age: max_age?.toString(),
      }),
    renew: (endpoints, key, { handle, audience, max_age, id_token }) =>
      askForToken(line, WHOLE_MS, endpoints, key, isTokenReply, {
        grant_type: GRANT.renewal,
        refresh_token: handle,
        audience,
        max_age: max_age?.toString(),
        id_token,
      }),
    renewForTarget: (endpoints, key, { handle, ...rest }) =>
      askForToken(line, WHOLE_MS, endpoints, key, isTargetTokenReply, {
        grant_type: GRANT.renewal,
        refresh_token: handle,
        ...rest,
      }),
    async sessions(endpoint, credential, request, is) {
      const left = countdown(WHOLE_MS, host);
      const answer = await patiently(patience, left, () => askWithHandle(line, endpoint, credential, request));
      const body = parseJson(answer.body);
      if (answer.status === 200 && is(body)) return { reply: body };
      if (isRefusal(body) && answer.status < 500 && answer.status !== 429) return { refusal: body };
      throw unexpected(line, answer);
    },
    async revoke(endpoints, key, handle) {
      const form = { token: handle, token_type_hint: 'refresh_token' };
      const left = countdown(WHOLE_MS, host);
      const ask = () => postForm(line, endpoints.revocation_endpoint, form, key, left);
      const answer = await patiently(patience, left, ask);
      // A handle that the broker does not know, or no longer, is as revoked as can be (RFC 7009 section 2.2).
      if (answer.status !== 200 && errorOf(answer) !== 'invalid_grant') throw unexpected(line, answer);
    },
  };
}

/** A line, and how long it is waited on it. */
interface PatientLine extends BrokerLine {
  readonly patience: Patience;
}

async function readMetadata(line: PatientLine, url: string, deadline: number | undefined): Promise<Metadata> {
  const left = countdown(deadline ?? WHOLE_MS, line.host);
  // Each time in full: of what is left a process that was stopped meanwhile would have none.
  const request = () => line.send(`${url}/.well-known/curfew`, { method: 'GET', deadline });
  const answer = await patiently(line.patience, left, () => reach(line, request));
  const metadata = parseJson(answer.body);
  if (answer.status !== 200 || !isMetadata(metadata)) throw unexpected(line, answer);
  const { token_endpoint, revocation_endpoint, sessions_endpoint } = metadata;
  for (const endpoint of [token_endpoint, revocation_endpoint, sessions_endpoint]) sameOrigin(url, endpoint);
  return metadata;
}

/** POST /token (RFC 8693 section 2.1, RFC 6749 section 6). @param whole milliseconds for all that it takes @param is what is expected */
async function askForToken<R>(
  line: PatientLine,
  whole: number,
  { token_endpoint }: Endpoints,
  key: PrivateJwk,
  is: (value: unknown) => value is R,
  form: Form,
): Promise<TokenAnswer<R>> {
  const { host, patience } = line;
  const left = countdown(whole, host);
  let asked_at = host.now();
  const answer = await patiently(patience, left, () => {
    asked_at = host.now();
    const own = countdown(WHOLE_MS, host);
    return postForm(line, token_endpoint, form, key, () => Math.min(own(), left()));
  });
  const body = parseJson(answer.body);
  if (answer.status === 200 && is(body)) return { reply: body, asked_at };
  if (isRefusal(body) && isAboutTheLogin(answer.status, body)) return { refusal: body, asked_at };
  throw unexpected(line, answer);
}

/** A broker that has no room says nothing about who asks. */
function isAboutTheLogin(status: number, { reason }: Refusal): boolean {
  return status < 500 && (status !== 429 || reason === 'too_many_failures');
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
