// One question over HTTP or HTTPS, of which the certificate and the clock of whoever answers are wanted as well. Short waits, no
// redirects, bounded answers.

import type { X509Certificate } from 'node:crypto';
import http from 'node:http';
import https from 'node:https';
import type { TLSSocket } from 'node:tls';
import { readBounded } from '../../serving/net/bounded_body.ts';
import { parseJson } from '../../shared/json.ts';
import { type Clock, fromMilliseconds, type Seconds } from '../../shared/time.ts';
import { STRONG_TLS } from '../../shared/tls.ts';
import { isObject } from '../../shared/wire.ts';

export interface Question {
  readonly url: string;
  /** PEM; the system's where it is absent. */
  readonly ca?: string | readonly string[] | undefined;
  /** The very certificate that is to be presented, whoever has signed it and whatever host it is for: nothing else is believed. */
  readonly pinned?: X509Certificate | undefined;
  readonly method?: 'GET' | 'POST';
  readonly bearer?: string | undefined;
  readonly body?: object | undefined;
}

export interface Answer {
  readonly status: number;
  readonly text: string;
  /** An empty object where it is none. */
  readonly json: Readonly<Record<string, unknown>>;
  /** When it was asked and heard by our clock, and what time it was over there (RFC 9110 6.6.1). */
  readonly asked: Seconds;
  readonly heard: Seconds;
  readonly date?: Seconds | undefined;
  readonly certificate?: Certificate | undefined;
}

export interface Certificate {
  readonly from: Seconds;
  readonly end: Seconds;
}

/** Why there is no answer, in words that follow a name. */
export interface Silence {
  readonly silent: string;
  /** Whether somebody is there whose certificate is not believed. */
  readonly certificate: boolean;
}

export type Ask = (question: Question) => Promise<Answer | Silence>;

const TOTAL_MS = 5_000;
const LARGEST_BYTES = 1024 * 1024;

export function createAsk(now: Clock): Ask {
  return ({ url, ca, pinned, method = 'GET', bearer, body }) =>
    new Promise((resolve) => {
      const asked = now();
      const sent = body === undefined ? undefined : JSON.stringify(body);
      const headers = {
        accept: 'application/json',
        ...(bearer !== undefined && { authorization: `Bearer ${bearer}` }),
        ...(sent !== undefined && { 'content-type': 'application/json', 'content-length': Buffer.byteLength(sent) }),
      };
      const options = { method, headers, agent: false, signal: AbortSignal.timeout(TOTAL_MS) } as const;
      const roots = ca === undefined ? {} : { ca: typeof ca === 'string' ? ca : [...ca] };
      const request = url.startsWith('http:')
        ? http.request(url, options)
        : https.request(url, { ...options, ...STRONG_TLS, ...roots, rejectUnauthorized: pinned === undefined });
      request.on('error', (error) => resolve(silenceOf(error)));
      request.on('response', (response) => {
        if (pinned !== undefined && !isPresented(pinned, response.socket as TLSSocket)) {
          resolve({ silent: 'presents another certificate than that of its file', certificate: true });
          return void request.destroy();
        }
        const certificate = certificateOf(response.socket as TLSSocket);
        readBounded(response, LARGEST_BYTES).then(
          (text = '') => {
            const value = parseJson(text);
            const ms = Date.parse(response.headers.date ?? '');
            resolve({
              ...{ status: response.statusCode ?? 0, text, json: isObject(value) ? value : {}, asked, heard: now() },
              ...(ms >= 0 && response.headers.age === undefined && { date: fromMilliseconds(ms) }),
              ...(certificate && { certificate }),
            });
            request.destroy();
          },
          (error: unknown) => resolve(silenceOf(error)),
        );
      });
      request.end(sent);
    });
}

function isPresented(pinned: X509Certificate, socket: TLSSocket): boolean {
  const presented = socket.getPeerX509Certificate();
  return presented !== undefined && pinned.raw.equals(presented.raw);
}

function certificateOf(socket: TLSSocket): Certificate | undefined {
  if (typeof socket.getPeerCertificate !== 'function') return undefined;
  const { valid_from, valid_to } = socket.getPeerCertificate();
  const [from, end] = [Date.parse(valid_from), Date.parse(valid_to)];
  return from >= 0 && end >= 0 ? { from: fromMilliseconds(from), end: fromMilliseconds(end) } : undefined;
}

/** Only the code is taken: texts of others may carry more. */
function silenceOf(error: unknown): Silence {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'no code';
  if (code === 'CERT_HAS_EXPIRED') return { silent: 'presents a certificate that is over', certificate: true };
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID')
    return { silent: 'presents a certificate that is for another host', certificate: true };
  if (/CERT|SELF_SIGNED|ISSUER|SIGNATURE/.test(code))
    return { silent: `presents a certificate that is not trusted (${code})`, certificate: true };
  if (error instanceof Error && ['TimeoutError', 'AbortError'].includes(error.name))
    return { silent: 'does not answer in time', certificate: false };
  const said: Readonly<Record<string, string>> = {
    ECONNREFUSED: 'refuses the connection',
    ENOTFOUND: 'has no address that is known here',
    EAI_AGAIN: 'has no address that is known here',
  };
  return { silent: said[code] ?? `cannot be reached (${code})`, certificate: false };
}

export function isSilent(answer: Answer | Silence): answer is Silence {
  return 'silent' in answer;
}
