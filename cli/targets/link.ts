// A WebSocket to a gateway, for one connection to a target: `GET /v1/connect/TARGET` with the pass and a proof for it (RFC 9449
// section 7.1). What the gateway refuses is an error in its own words.

import type { IncomingMessage } from 'node:http';
import type { Agent } from 'node:https';
import type { WebSocket } from 'ws';
import { CurfewError } from '../../shared/errors.ts';
import { parseJson } from '../../shared/json.ts';
import { CONNECT_PROTOCOL } from '../../shared/targets.ts';
import { isObject, isText } from '../../shared/wire.ts';
import type { Client } from '../session/client.ts';
import { oneLine } from '../warm/one_line.ts';
import { userAgent } from '../warm/version.ts';
import { agentWith, everyRoot, proxyTo } from '../wire/agents.ts';
import { readCertificates } from '../wire/certificates.ts';
import { prove } from '../wire/dpop.ts';
import { faultOf, HttpFault, hintOf, throughProxy, Untrusted } from '../wire/http.ts';
import { retryAfter } from '../wire/patience.ts';
import { brokerNow, type Pass } from './pass.ts';
import { errorOf } from './words.ts';

/** For the connection, its TLS and the gateway's answer, with the broker's behind it. */
const OPEN_MS = 15_000;
const KEEP_ALIVE_MS = 30_000;
/** Of what is said with a refusal. */
const LARGEST_WORDS = 16 * 1024;
/** Gateways send no more at once than they read. */
const LARGEST_FRAME = 16 * 1024 * 1024;

/**
 * Opens it. Nothing that the gateway sends is lost: it is paused until somebody listens.
 *
 * @throws CurfewError
 */
export async function openLink(client: Client, pass: Pass): Promise<WebSocket> {
  const url = new URL(pass.target.url);
  const name = oneLine(url.host);
  if (url.protocol !== 'wss:')
    throw new CurfewError('insecure', `the broker names a gateway that is not wss: ${name}`, {
      hint: 'ask who runs the broker',
    });
  const proxy = proxyTo(client.host.env, httpsOf(url));
  const { WebSocket: Library } = await import('./web_socket.ts');
  let fault: unknown;
  for (const roots of rootsOf(client, pass)) {
    try {
      return await open(client, pass, url, agentWith(proxy, roots()), Library);
    } catch (error) {
      fault = error;
      if (!(error instanceof Untrusted)) break;
    }
  }
  const told = throughProxy(fault, proxy);
  if (!(told instanceof HttpFault)) throw told;
  throw new CurfewError('unavailable', `the gateway at ${name} is out of reach: ${told.message}`, hintOf(told));
}

/** One after the other: reading all of the system's costs more than the rest. Those of the metadata are the only ones, where there are. */
function rootsOf({ trusted }: Pick<Client, 'trusted'>, { target }: Pass): (() => readonly string[] | undefined)[] {
  const { certificate_authority_data: data } = target;
  if (data !== undefined) return [() => [Buffer.from(data, 'base64').toString()]];
  const own = trusted.ca_file === undefined ? undefined : readCertificates(trusted.ca_file);
  return [() => own, () => everyRoot(own)];
}

function httpsOf(url: URL): URL {
  return new URL(url.href.replace(/^wss:/, 'https:'));
}

function open(client: Client, pass: Pass, url: URL, agent: Agent, Library: typeof WebSocket): Promise<WebSocket> {
  const { host } = client;
  const clock = { now: () => brokerNow(client, pass), random: host.random };
  const dpop = prove(pass.key, { method: 'GET', url: httpsOf(url).href, handle: pass.token }, clock);
  const headers = { authorization: `DPoP ${pass.token}`, dpop, 'user-agent': userAgent(host.platform) };
  const { promise, resolve, reject } = Promise.withResolvers<WebSocket>();
  const socket = new Library(url, CONNECT_PROTOCOL, {
    ...{ agent, headers, handshakeTimeout: OPEN_MS, perMessageDeflate: false, maxPayload: LARGEST_FRAME },
    ...{ followRedirects: false, skipUTF8Validation: false },
  });
  const fail = (error: unknown) => {
    reject(error);
    socket.terminate();
  };
  // ws tells of it as an error without a code.
  const late = setTimeout(() => fail(new HttpFault('no answer in time')), OPEN_MS);
  socket.on('error', (error) => reject(error instanceof HttpFault ? error : faultOf(error, false, false)));
  socket.on('unexpected-response', (_request, response) => {
    refusalOf(client, url.host, response).then(fail, fail);
  });
  // A network that is gone without a word is noticed, also while nothing is said.
  socket.on('upgrade', (response) => response.socket.setKeepAlive(true, KEEP_ALIVE_MS));
  socket.on('open', () => {
    socket.pause();
    resolve(socket);
  });
  return promise.finally(() => clearTimeout(late));
}

/** What the gateway answered in place of a WebSocket. */
async function refusalOf(client: Client, host: string, response: IncomingMessage): Promise<Error> {
  let text = '';
  for await (const chunk of response.setEncoding('utf8')) {
    text += chunk;
    if (text.length > LARGEST_WORDS) break;
  }
  const name = oneLine(host);
  const status = response.statusCode ?? 0;
  const value = parseJson(text);
  if (!isObject(value) || !isText(value.code) || !isText(value.message)) {
    return new CurfewError('unavailable', `the gateway at ${name} answered HTTP ${status}, not as a gateway does`);
  }
  const { code, message } = value;
  const told = { code, message: message.replace(/^curfew: /, '') };
  // About whoever asks; the rest is about the gateway, or what is behind it.
  if (status === 401 || status === 403 || status === 404) return errorOf(client, told, '');
  const after = retryAfter({ status, headers: response.headers });
  return new CurfewError(
    status === 429 ? 'busy' : 'unavailable',
    `the gateway at ${name} answered: ${oneLine(told.message)}`,
    {
      ...(after !== undefined && { retry_after: after, hint: `try again in ${Math.max(1, after)}s` }),
    },
  );
}
