// One HTTP request to broker or IdP: own roots, proxy of the environment, deadlines, no redirects, small answers only.
// node:https does all of it, and is loaded in a tenth of the time of a client library.

import http from 'node:http';
import https from 'node:https';
import type { Socket } from 'node:net';
import { countdown } from '../host/countdown.ts';
import { codeOf } from '../host/error_code.ts';
import type { Host } from '../host/host.ts';
import { userAgent } from '../warm/version.ts';
import { type Agents, createAgents, proxyTo } from './agents.ts';
import { certificateFault, UNKNOWN_ISSUER } from './certificate_fault.ts';
import { readCertificates } from './certificates.ts';
import type { ProxyServer } from './proxy.ts';

/** Deadlines: for a connection, and for the whole answer. */
const CONNECT_MS = 3_000;
export const ANSWER_MS = 8_000;
const LARGEST_BYTES = 1024 * 1024;

export interface HttpRequest {
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly body?: string | undefined;
  /** Milliseconds for the whole answer, when other than usual. */
  readonly deadline?: number | undefined;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: string;
}

/** @throws HttpFault */
export type Send = (url: string, request: HttpRequest) => Promise<HttpAnswer>;

/**
 * Why no answer came. `broken`: the connection was there and broke, so the same request may be sent again. `stopped`: this
 * program stood still meanwhile (SIGSTOP, a debugger), so that says nothing about the other side.
 */
export class HttpFault extends Error {
  readonly broken: boolean;
  readonly stopped: boolean;
  /** What helps, where it is not the network. */
  readonly hint: string | undefined;
  constructor(message: string, broken = false, stopped = false, hint?: string) {
    super(message);
    this.broken = broken;
    this.stopped = stopped;
    this.hint = hint;
  }
}

/** For the error that it becomes. */
export function hintOf({ hint }: HttpFault): { readonly hint?: string } {
  return hint === undefined ? {} : { hint };
}

/** So late no timer comes in a program that runs, even on a busy machine. */
const LATE_MS = 1_000;
/** After that for an answer that had come meanwhile. */
const GRACE_MS = 1_000;

/** @param ca_file adds to the system's roots */
export function createSend(host: Pick<Host, 'env' | 'platform' | 'stopwatch'>, ca_file?: string): Send {
  const { env, platform } = host;
  const own = ca_file === undefined ? undefined : readCertificates(ca_file);
  const agent = { 'user-agent': userAgent(platform) };
  const known = new Map<string, Agents>();
  return async (url, { headers, ...rest }) => {
    const request = { ...rest, headers: { ...headers, ...agent } };
    const target = new URL(url);
    const proxy = proxyTo(env, target);
    const key = proxy?.url ?? '';
    const agents = known.get(key) ?? createAgents(proxy, own);
    known.set(key, agents);
    if (target.protocol === 'http:')
      return await send(url, request, { request: http.request, agent: agents.plain, host });
    try {
      return await send(url, request, { request: https.request, agent: agents.few, host });
    } catch (error) {
      if (!(error instanceof Untrusted)) throw throughProxy(error, proxy);
    }
    try {
      return await send(url, request, { request: https.request, agent: agents.all(), host });
    } catch (error) {
      throw throughProxy(error, proxy);
    }
  };
}

/** Whatever fails on the way through a proxy says so: a person who sees `connection refused` would look at the wrong host. */
export function throughProxy(error: unknown, proxy: ProxyServer | undefined): unknown {
  if (!(error instanceof HttpFault) || proxy === undefined) return error;
  return new HttpFault(
    `${error.message} (through the proxy ${proxy.host} of ${proxy.variable})`,
    error.broken,
    error.stopped,
    error.hint,
  );
}

/** Nothing was sent: other roots may help. */
export class Untrusted extends HttpFault {}

/** By what a request goes. */
interface Transport {
  readonly request: typeof http.request;
  readonly agent: http.Agent;
  readonly host: Pick<Host, 'stopwatch'>;
}

function send(
  url: string,
  { method, headers, body, deadline = ANSWER_MS }: HttpRequest,
  { request, agent, host }: Transport,
): Promise<HttpAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<HttpAnswer>();
  let connected = false;
  const left = countdown(deadline, host);
  const stopped = () => left() < -LATE_MS;
  const fail = (fault: HttpFault) => {
    connecting.stop();
    answering.stop();
    outgoing.destroy();
    reject(fault);
  };
  const whole = { ...headers, 'content-length': Buffer.byteLength(body ?? '') };
  const outgoing = request(url, { method, agent, headers: whole });
  const late = (what: string) => (stood_still: boolean) => fail(lateFault(what, stood_still));
  const connecting = startDeadline(Math.min(CONNECT_MS, deadline), host, late('no connection in time'));
  const answering = startDeadline(deadline, host, late('no answer in time'));
  const ready = () => {
    connected = true;
    connecting.stop();
  };
  outgoing.on('socket', (socket) => whenConnected(socket, url, ready));
  outgoing.on('error', (error) => fail(faultOf(error, connected, stopped())));
  outgoing.on('response', (incoming) => {
    ready();
    const done = (answer: HttpAnswer) => {
      answering.stop();
      resolve(answer);
    };
    readAnswer(incoming, stopped).then(done, fail);
  });
  outgoing.end(body);
  return promise;
}

/** Connected means with TLS, where the URL wants it. */
function whenConnected(socket: Socket, url: string, ready: () => void): void {
  // Through a proxy the socket may come with its handshake done.
  const secure = 'secureConnecting' in socket ? socket.secureConnecting === false : url.startsWith('http:');
  if (!socket.connecting && secure) ready();
  else socket.once(url.startsWith('https:') ? 'secureConnect' : 'connect', ready);
}

/** @throws HttpFault */
function readAnswer(incoming: http.IncomingMessage, stopped: () => boolean): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    incoming.on('data', (chunk: Buffer) => {
      length += chunk.length;
      if (length > LARGEST_BYTES) reject(new HttpFault('the answer is too large'));
      else chunks.push(chunk);
    });
    incoming.on('error', () => reject(new HttpFault('the answer broke off', true, stopped())));
    incoming.on('end', () =>
      resolve({
        status: incoming.statusCode ?? 0,
        headers: incoming.headers,
        body: Buffer.concat(chunks).toString(),
      }),
    );
  });
}

/** A timer that comes late because the program stood still lets what arrived meanwhile be read first. */
function startDeadline(
  length: number,
  host: Pick<Host, 'stopwatch'>,
  over: (stood_still: boolean) => void,
): { stop(): void } {
  const left = countdown(length, host);
  let timer = setTimeout(() => {
    if (left() > -LATE_MS) over(false);
    else timer = setTimeout(() => over(true), GRACE_MS);
  }, length);
  return { stop: () => clearTimeout(timer) };
}

function lateFault(what: string, stood_still: boolean): HttpFault {
  const why = stood_still ? `${what}: this program was stopped meanwhile` : what;
  return new HttpFault(why, false, stood_still);
}

/** @param connected whether the other side could have heard of it */
export function faultOf(error: unknown, connected: boolean, stopped: boolean): HttpFault {
  const Fault = !connected && isUntrusted(error) ? Untrusted : HttpFault;
  const certificate = certificateFault(codeOf(error));
  return new Fault(certificate?.message ?? sayFault(error), connected, stopped, certificate?.hint);
}

function isUntrusted(error: unknown): boolean {
  return UNKNOWN_ISSUER.includes(codeOf(error));
}

function sayFault(error: unknown): string {
  const code = codeOf(error);
  if (code === 'ERR_PROXY_TUNNEL') return sayProxyFault(error);
  switch (code) {
    case 'ECONNREFUSED':
      return 'connection refused';
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'its name cannot be resolved';
    case 'ECONNRESET':
    case 'EPIPE':
      return 'the connection broke';
    default:
      return code;
  }
}

/** The system's own words name the proxy with its user. */
function sayProxyFault(error: unknown): string {
  const status = error instanceof Error && 'statusCode' in error ? Number(error.statusCode) : Number.NaN;
  if (status === 407) return 'the proxy wants a user and a password, or refuses them';
  return Number.isNaN(status) ? 'the proxy opens no way there' : `the proxy answered HTTP ${status}`;
}
