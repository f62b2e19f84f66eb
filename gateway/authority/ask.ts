// Questions to the broker over HTTP: with the gateway's own token, bounded in time and size, and never redirected.

import type { KeyObject } from 'node:crypto';
import http from 'node:http';
import https from 'node:https';
import { readBounded } from '../../serving/net/bounded_body.ts';
import { tlsTo } from '../../serving/net/roots.ts';
import { CurfewError } from '../../shared/errors.ts';
import { parseJson } from '../../shared/json.ts';

/** Milliseconds for a whole answer. */
const ANSWER_MS = 3_000;
const LARGEST_ANSWER_BYTES = 16 * 1024 * 1024;

export interface Answer {
  readonly status: number;
  /** `undefined` where it is not JSON. */
  readonly body: unknown;
}

export interface Broker {
  /** @throws CurfewError `broker_unreachable` */
  get(path: string): Promise<Answer>;
  /** @throws CurfewError `broker_unreachable` */
  post(path: string, body: object): Promise<Answer>;
  /** A form (RFC 6749). @throws CurfewError `broker_unreachable` */
  postForm(path: string, fields: Readonly<Record<string, string>>): Promise<Answer>;
  /** An answer that goes on: its body is read as it comes. @throws CurfewError `broker_unreachable` */
  open(path: string): Promise<http.IncomingMessage>;
  /** From now on it asks by this one. */
  useToken(token: KeyObject): void;
  close(): void;
}

export interface BrokerPlace {
  readonly url: string;
  readonly ca?: string | undefined;
  readonly token: KeyObject;
}

export function createBroker({ url, ca, token: first }: BrokerPlace): Broker {
  const { protocol } = new URL(url);
  const agent =
    protocol === 'https:' ? new https.Agent({ keepAlive: true, ...tlsTo(ca) }) : new http.Agent({ keepAlive: true });
  const { request } = protocol === 'https:' ? https : http;
  let token = first;

  const send = (method: string, path: string, type?: string, text?: string): Promise<http.IncomingMessage> =>
    new Promise((resolve, reject) => {
      const headers = {
        accept: 'application/json',
        authorization: `Bearer ${token.export().toString('base64url')}`,
        ...(type !== undefined && { 'content-type': type }),
      };
      const asked = request(url + path, { method, agent, headers });
      const timer = setTimeout(() => asked.destroy(new Error('no answer in time')), ANSWER_MS);
      asked.once('error', (cause) => {
        clearTimeout(timer);
        reject(away(url, cause));
      });
      asked.once('response', (response) => {
        clearTimeout(timer);
        resolve(response);
      });
      asked.end(text);
    });

  const whole = async (response: http.IncomingMessage): Promise<Answer> => {
    const timer = setTimeout(() => response.destroy(new Error('no answer in time')), ANSWER_MS);
    try {
      const text = await readBounded(response, LARGEST_ANSWER_BYTES);
      if (text === undefined) throw new Error('too long an answer');
      return { status: response.statusCode ?? 0, body: parseJson(text) };
    } catch (cause) {
      throw away(url, cause);
    } finally {
      clearTimeout(timer);
    }
  };

  return {
    get: async (path) => whole(await send('GET', path)),
    post: async (path, body) => whole(await send('POST', path, 'application/json', JSON.stringify(body))),
    postForm: async (path, fields) =>
      whole(await send('POST', path, 'application/x-www-form-urlencoded', new URLSearchParams(fields).toString())),
    open: (path) => send('GET', path),
    useToken(next) {
      token = next;
    },
    close: () => agent.destroy(),
  };
}

/** Only its code is taken from a cause: texts of others may carry more. */
function away(url: string, cause: unknown): CurfewError {
  const code = cause instanceof Error && 'code' in cause ? ` (${String(cause.code)})` : '';
  return new CurfewError('broker_unreachable', `the broker ${new URL(url).host} cannot be reached${code}`, { cause });
}
