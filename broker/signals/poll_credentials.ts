// What the broker presents where it polls: a token from a file, or one that it gets by its own client credentials (RFC 6749 4.4)
// and gets again when it is over or is refused. Neither token nor secret is ever said.

import { type Dispatcher, request } from 'undici';
import { textOf } from '../../serving/files/regular_file.ts';
import { isBearer } from '../../serving/net/bearer.ts';
import { readBounded } from '../../serving/net/bounded_body.ts';
import { CurfewError } from '../../shared/errors.ts';
import { parseJson } from '../../shared/json.ts';
import { isObject } from '../../shared/wire.ts';
import type { PollClient, Transmitter } from '../config/settings.ts';
import { createFetchJson } from '../net/fetch_json.ts';
import { discoveryUrl, isAsSafe } from '../upstream/discovery.ts';
import { fetchMetadata, metadataUrls, TRANSMITTER } from '../upstream/transmitters.ts';

export interface PollCredentials {
  /** @throws CurfewError `identity_provider` when there is none to be had */
  bearer(transmitter: Transmitter, stopped: AbortSignal): Promise<string>;
  /** The transmitter refused the last one. @returns whether another can be had at once */
  refused(): boolean;
}

const LARGEST_BYTES = 64 * 1024;
/** Milliseconds. */
const WAIT_MS = 8_000;
/** Milliseconds before its end at which a token is no longer used: a long poll begins with it. */
const MARGIN_MS = 10_000;
/** Milliseconds that a token is used of which it is not said how long it lasts: until it is refused, and no longer than this. */
const UNSAID_MS = 300_000;
const LONGEST_MS = 24 * 3_600_000;

/** @param elapsed milliseconds by a clock that is never set */
export function createPollCredentials(dispatcher: Dispatcher, elapsed: () => number): PollCredentials {
  let known: { readonly token: string; readonly until: number; fresh: boolean } | undefined;
  return {
    async bearer(transmitter, stopped) {
      const { poll } = transmitter;
      if (!poll) throw new TypeError('a transmitter that is not polled');
      if (poll.token_file !== undefined) return readToken(transmitter, poll.token_file);
      if (known && elapsed() < known.until) {
        known.fresh = false;
        return known.token;
      }
      known = undefined;
      const begin = elapsed();
      const { token, lasts } = await getToken(transmitter, poll.client, dispatcher, stopped);
      known = { token, until: begin + lasts, fresh: true };
      return token;
    },
    refused() {
      const again = known !== undefined && !known.fresh;
      known = undefined;
      return again;
    },
  };
}

async function readToken(transmitter: Transmitter, file: string): Promise<string> {
  const token = (await textOf(file)).trim();
  if (isBearer(token)) return token;
  throw fault(transmitter, 'cannot be asked: ssf[].poll.token_file holds no token');
}

async function getToken(
  transmitter: Transmitter,
  client: PollClient,
  dispatcher: Dispatcher,
  stopped: AbortSignal,
): Promise<{ readonly token: string; readonly lasts: number }> {
  const signal = AbortSignal.any([stopped, AbortSignal.timeout(WAIT_MS)]);
  const url = client.token_endpoint ?? (await findTokenEndpoint(transmitter, signal));
  const secret = (await textOf(client.secret_file)).trim();
  if (secret === '') throw fault(transmitter, 'cannot be asked: ssf[].poll.client_secret_file holds no secret');
  const scope = client.scopes.join(' ');
  const form = new URLSearchParams({ grant_type: 'client_credentials', ...(scope !== '' && { scope }) });
  const headers = {
    // RFC 6749 2.3.1: each is encoded as in a form before they are joined
    authorization: `Basic ${Buffer.from(`${encoded(client.id)}:${encoded(secret)}`).toString('base64')}`,
    'content-type': 'application/x-www-form-urlencoded',
    accept: 'application/json',
  };
  let answer: unknown;
  try {
    const response = await request(url, { method: 'POST', headers, body: form.toString(), dispatcher, signal });
    const text = await readBounded(response.body, LARGEST_BYTES);
    answer = parseJson(text ?? '');
    if (response.statusCode !== 200) {
      const error = isObject(answer) && typeof answer.error === 'string' && /^[\w.-]{1,40}$/.test(answer.error);
      const said = error && isObject(answer) ? `, ${String(answer.error)}` : '';
      throw fault(
        transmitter,
        `gives the broker no token to poll with (HTTP ${response.statusCode}${said}): see ssf[].poll.client_id and client_secret_file`,
      );
    }
  } catch (error) {
    if (error instanceof CurfewError) throw error;
    throw fault(transmitter, 'could not be asked for a token to poll with: its token endpoint is out of reach');
  }
  if (!isObject(answer)) throw fault(transmitter, 'answered with no token to poll with');
  const { access_token: token, token_type, expires_in } = answer;
  if (typeof token !== 'string' || !isBearer(token) || !/^bearer$/i.test(String(token_type))) {
    throw fault(transmitter, 'answered with no bearer token to poll with');
  }
  const said = typeof expires_in === 'number' && expires_in >= 0 ? expires_in * 1000 - MARGIN_MS : UNSAID_MS;
  return { token, lasts: Math.min(said, LONGEST_MS) };
}

/** By OpenID Connect Discovery 1.0 or RFC 8414, of the transmitter's own issuer. */
async function findTokenEndpoint(transmitter: Transmitter, wait: AbortSignal): Promise<string> {
  const { issuer, ca } = transmitter;
  const fetchJson = createFetchJson(ca, undefined, TRANSMITTER);
  try {
    const urls = [discoveryUrl(issuer), ...metadataUrls(issuer, 'oauth-authorization-server')];
    const { token_endpoint } = await fetchMetadata(issuer, urls, fetchJson, wait);
    if (typeof token_endpoint === 'string' && isAsSafe(token_endpoint, issuer)) return token_endpoint;
    throw fault(transmitter, 'has no token_endpoint that is a safe URL in its metadata: see ssf[].poll.token_endpoint');
  } finally {
    await fetchJson.close();
  }
}

function encoded(text: string): string {
  return new URLSearchParams([['', text]]).toString().slice(1);
}

function fault({ issuer }: Transmitter, what: string): CurfewError {
  return new CurfewError('identity_provider', `transmitter ${new URL(issuer).host} ${what}`);
}
