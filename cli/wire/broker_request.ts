// One request to the broker: with a DPoP proof (RFC 9449), sent again when its answer got lost, and what is wrong in words.

import { sayDuration } from '../../shared/duration.ts';
import { type Code, CurfewError } from '../../shared/errors.ts';
import { parseJson } from '../../shared/json.ts';
import { seconds } from '../../shared/time.ts';
import { isRefusal } from '../../shared/wire.ts';
import type { Clocks, Host } from '../host/host.ts';
import { oneLine } from '../warm/one_line.ts';
import { type PrivateJwk, prove } from './dpop.ts';
import { ANSWER_MS, type HttpAnswer, HttpFault, hintOf, type Send } from './http.ts';
import { retryAfter } from './patience.ts';

/** For an end of sessions: everybody's may be many, and each is on disk before it is acknowledged. */
const ENDING_MS = 60_000;

/** To one broker. */
export interface BrokerLine {
  /** The broker's host, for words. */
  readonly name: string;
  readonly send: Send;
  readonly host: Clocks & Pick<Host, 'random'>;
}

export type Form = Readonly<Record<string, string | undefined>>;

/** @param left milliseconds for this and all that was tried before it, from `countdown` */
export function postForm(
  line: BrokerLine,
  url: string,
  form: Form,
  key: PrivateJwk,
  left: () => number,
): Promise<HttpAnswer> {
  const headers = { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' };
  const body = new URLSearchParams(Object.entries(form).filter(isGiven)).toString();
  const request = (nonce: string | undefined) => (afresh: boolean) => {
    const rest = left();
    // Further over than any request takes: this program was stopped before it came to this one.
    const deadline = afresh || rest < -1_000 ? ANSWER_MS : Math.max(1, Math.min(ANSWER_MS, rest));
    const dpop = prove(key, { method: 'POST', url, nonce }, line.host);
    return line.send(url, { method: 'POST', headers: { ...headers, dpop }, body, deadline });
  };
  return withNonce(line, request, (answer) => errorOf(answer) === 'use_dpop_nonce');
}

/** A request to `/v1/sessions`. */
export interface SessionRequest {
  readonly method: 'GET' | 'DELETE';
  /** Below the endpoint, with its slash. */
  readonly path?: string | undefined;
  readonly query: Readonly<Record<string, string>>;
}

/** With the session handle as an access token bound to the key (RFC 9449 section 7.1). */
export function askWithHandle(
  line: BrokerLine,
  endpoint: string,
  { key, handle }: { readonly key: PrivateJwk; readonly handle: string },
  { method, path = '', query }: SessionRequest,
): Promise<HttpAnswer> {
  const url = endpoint + path;
  const search = new URLSearchParams(query).toString();
  const request = (nonce: string | undefined) => () => {
    const dpop = prove(key, { method, url, handle, nonce }, line.host);
    const headers = { accept: 'application/json', authorization: `DPoP ${handle}`, dpop };
    const deadline = method === 'DELETE' ? ENDING_MS : ANSWER_MS;
    return line.send(search === '' ? url : `${url}?${search}`, { method, headers, deadline });
  };
  return withNonce(line, request, ({ status }) => status === 401);
}

/** Asks once more with the nonce that the broker wants in the proof (RFC 9449 section 8). */
async function withNonce(
  line: BrokerLine,
  request: (nonce: string | undefined) => (afresh: boolean) => Promise<HttpAnswer>,
  isRefused: (answer: HttpAnswer) => boolean,
): Promise<HttpAnswer> {
  const answer = await reach(line, request(undefined));
  const nonce = answer.headers['dpop-nonce'];
  return typeof nonce === 'string' && isRefused(answer) ? await reach(line, request(nonce)) : answer;
}

function isGiven(field: [string, string | undefined]): field is [string, string] {
  return field[1] !== undefined;
}

/**
 * Sends, and once more when the answer got lost: the broker takes the same request again (it is not theft).
 *
 * @param request is told whether its time begins afresh: this program stood still, which is not the broker's fault
 * @throws CurfewError `broker_unreachable` that names the host
 */
export async function reach(
  { name }: Pick<BrokerLine, 'name'>,
  request: (afresh: boolean) => Promise<HttpAnswer>,
  again = true,
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
    if (again && (error.broken || error.stopped)) return await reach({ name }, request, false, error.stopped);
    throw new CurfewError(
      'broker_unreachable',
      `the broker at ${name} is out of reach: ${error.message}`,
      hintOf(error),
    );
  }
}

/** What may be away behind a broker that is there. */
const BEHIND: readonly Code[] = ['api_server', 'service_account', 'identity_provider'];

export function unexpected({ name }: Pick<BrokerLine, 'name'>, answer: HttpAnswer): CurfewError {
  const body = parseJson(answer.body);
  if (!isRefusal(body)) {
    return new CurfewError(
      'broker_unreachable',
      `the broker at ${name} answered HTTP ${answer.status}, not as a broker does`,
    );
  }
  const own = BEHIND.find((reason) => reason === body.reason);
  const code = own ?? (answer.status === 429 || body.reason === 'busy' ? 'busy' : 'unavailable');
  const after = retryAfter(answer);
  return new CurfewError(code, `the broker at ${name} answered: ${oneLine(body.error_description)}`, {
    ...(after !== undefined && { retry_after: after }),
    ...(after !== undefined &&
      own === undefined && { hint: `try again in ${sayDuration(seconds(Math.max(1, after)))}` }),
  });
}

export function errorOf(answer: HttpAnswer): string | undefined {
  const body = parseJson(answer.body);
  return isRefusal(body) ? body.error : undefined;
}
