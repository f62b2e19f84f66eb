// The one-shot listener on loopback that the IdP sends the browser back to (RFC 8252 section 7.3). What does not carry the
// expected state is not ours and changes nothing.

import { randomBytes, timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { CurfewError } from '../../shared/errors.ts';
import { codeOf } from '../host/error_code.ts';

export const PATH = '/callback';
/** For a stray connection to say something, and for the last page to get out. */
const REQUEST_MS = 5_000;
const LAST_PAGE_MS = 2_000;

const HEADERS = {
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy':
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; form-action 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cache-control': 'no-store',
  connection: 'close',
} as const;

/** The browser, back from the IdP and waiting for an answer. */
export interface Visit {
  /** As it came, with `code` and `state`, or with `error`. */
  readonly query: string;
  /** Shows a page. */
  answer(status: number, html: string): Promise<void>;
  /** Sends the same tab on. */
  redirect(url: string): Promise<void>;
}

export interface Listener extends AsyncDisposable {
  readonly redirect_uri: string;
  /** @returns a short address of this listener that leads to a long one: once, and nobody can guess it */
  shorten(url: string): string;
  /**
   * Waits for the visit that carries this state; each state is taken once.
   *
   * @param deadline milliseconds
   * @throws CurfewError `login_failed` when nobody came in time
   */
  wait(state: string, deadline: number): Promise<Visit>;
}

/**
 * A loopback interface redirection (RFC 8252 section 7.3).
 *
 * @param redirect_host as the IdP has it registered: `127.0.0.1`, `[::1]` or `localhost`
 * @param redirect_ports tried in their order; empty for any free port
 */
export async function openListener(redirect_host: string, redirect_ports: readonly number[]): Promise<Listener> {
  const expected: Expected = {};
  const handle: RequestListener = (request, response) => answer(expected, request, response);
  const { port, servers } = await listen(handle, redirect_host, redirect_ports);
  const origin = `http://${redirect_host}:${port}`;
  const redirect_uri = `${origin}${PATH}`;
  return {
    redirect_uri,
    shorten(url) {
      expected.short = { path: `/${randomBytes(16).toString('base64url')}`, url };
      return `${origin}${expected.short.path}`;
    },
    wait: (state, deadline) => waitFor(expected, state, deadline, redirect_uri),
    async [Symbol.asyncDispose]() {
      for (const server of servers) close(server);
    },
  };
}

/** What is answered, each once: whatever else comes is not for us. */
interface Expected {
  waiting?: { readonly state: string; readonly take: (visit: Visit) => void } | undefined;
  short?: { readonly path: string; readonly url: string } | undefined;
}

function answer(expected: Expected, request: IncomingMessage, response: ServerResponse): void {
  const { short, waiting } = expected;
  if (short && request.method === 'GET' && same(request.url ?? '', short.path)) {
    expected.short = undefined;
    return void end(response, 303, '', { location: short.url });
  }
  const query = queryOf(request);
  const state = query === undefined ? undefined : new URLSearchParams(query).get('state');
  if (query === undefined || !waiting || !state || !same(state, waiting.state))
    return void end(response, 404, 'not found');
  expected.waiting = undefined;
  waiting.take({
    query,
    answer: (status, html) => end(response, status, html),
    redirect: (url) => end(response, 303, '', { location: url }),
  });
}

function waitFor(expected: Expected, state: string, deadline: number, redirect_uri: string): Promise<Visit> {
  return new Promise((resolve, reject) => {
    // A provider that does not know the redirect URI says so in the browser alone (RFC 6749 section 4.1.2.1).
    const hint = `run: kubectl curfew login; if the browser showed an error, ask who runs the identity provider to register ${redirect_uri}`;
    const late = () =>
      reject(new CurfewError('login_failed', `nobody logged in within ${deadline / 60_000}m`, { hint }));
    const timer = setTimeout(late, deadline);
    expected.waiting = {
      state,
      take: (visit) => {
        clearTimeout(timer);
        resolve(visit);
      },
    };
  });
}

function queryOf({ method, url = '' }: IncomingMessage): string | undefined {
  const [path, query] = url.split('?', 2);
  return method === 'GET' && path === PATH ? query : undefined;
}

function end(response: ServerResponse, status: number, body: string, more: { location?: string } = {}): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, LAST_PAGE_MS).unref();
    response.on('close', resolve);
    response.writeHead(status, { ...HEADERS, ...more }).end(body);
  });
}

function same(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}

/** Which a browser takes for `localhost` is its own, so both are heard where there are both, at one port. */
const ADDRESSES: Readonly<Record<string, readonly string[]>> = { '[::1]': ['::1'], localhost: ['127.0.0.1', '::1'] };
/** A family that this machine does not have. */
const ABSENT: readonly string[] = ['EADDRNOTAVAIL', 'EAFNOSUPPORT', 'EINVAL', 'EPROTONOSUPPORT'];
/** How many ports of the system's choice are tried: the other family may have one of them taken. */
const TRIES = 8;

async function listen(
  handle: RequestListener,
  redirect_host: string,
  ports: readonly number[],
): Promise<{ readonly port: number; readonly servers: readonly Server[] }> {
  const addresses = ADDRESSES[redirect_host] ?? ['127.0.0.1'];
  const faults: string[] = [];
  for (const wanted of ports.length > 0 ? ports : Array.from({ length: TRIES }, () => 0)) {
    const servers: Server[] = [];
    let [port, fault]: [number, string | undefined] = [wanted, undefined];
    for (const address of addresses) {
      const opened = await open(handle, address, port);
      if (typeof opened !== 'string') {
        servers.push(opened);
        port = (opened.address() as AddressInfo).port;
      } else if (addresses.length === 1 || !ABSENT.includes(opened)) fault ??= opened;
    }
    if (fault === undefined && servers.length > 0) return { port, servers };
    // Whoever else has the other family there would be sent the browser.
    for (const server of servers) close(server);
    faults.push(`${port} (${fault ?? 'no address'})`);
  }
  const hint = 'end the program that uses the port, then try again';
  const tried = [...new Set(faults)].join(', ');
  throw new CurfewError('busy', `no redirect port of ${addresses.join(' and ')} can be used: ${tried}`, { hint });
}

/** @returns the server, or the code of what went wrong */
async function open(handle: RequestListener, address: string, port: number): Promise<Server | string> {
  const server = createServer({ connectionsCheckingInterval: 1_000 }, handle);
  server.headersTimeout = REQUEST_MS;
  server.requestTimeout = REQUEST_MS;
  server.maxConnections = 64;
  return await new Promise((resolve) => {
    const failed = (error: Error) => resolve(codeOf(error));
    server.once('error', failed);
    server.listen(port, address, () => {
      server.off('error', failed);
      resolve(server);
    });
  });
}

function close(server: Server): void {
  server.close();
  server.closeAllConnections();
}
