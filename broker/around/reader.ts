// Asks an API server with an administrator's credential, and reads only. Lists come in pages; what is refused is said to be that.

import { Agent, request } from 'undici';
import { readBounded } from '../../serving/net/bounded_body.ts';
import { CurfewError } from '../../shared/errors.ts';
import { parseJson } from '../../shared/json.ts';
import { STRONG_TLS } from '../../shared/tls.ts';
import { isObject } from '../../shared/wire.ts';
import { sayFailure } from '../api_servers/failure.ts';
import type { Access } from './access.ts';

/** What is refused, or is not there, is no failure: it is said. */
export type Listed = { readonly items: readonly unknown[] } | { readonly refused: string };
export type Text = { readonly text: string } | { readonly refused: string };

export interface ClusterReader {
  /** @param metadata whether only names and labels are wanted */
  list(path: string, query?: Readonly<Record<string, string>>, metadata?: boolean): Promise<Listed>;
  text(path: string): Promise<Text>;
  /** HTTP status of a request without a credential. */
  statusWithout(path: string): Promise<number>;
  close(): Promise<void>;
}

const TOTAL_MS = 10_000;
const CONNECT_MS = 3_000;
const LARGEST_BYTES = 32 * 1024 * 1024;
const ITEMS_AT_ONCE = 500;
/** A list that is out of date while it is read is begun again, so often. */
const MOST_TRIES = 3;
const METADATA = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1';

/** @throws CurfewError `api_server` of each, when it is away or answers otherwise than an API server does */
export function createReader({ server, ca, server_name, token, certificate }: Access): ClusterReader {
  const secure = { ...STRONG_TLS, rejectUnauthorized: true, timeout: CONNECT_MS };
  const roots = { ...(ca !== undefined && { ca }), ...(server_name !== undefined && { servername: server_name }) };
  const known = new Agent({ connect: { ...secure, ...roots, ...certificate } });
  const unknown = new Agent({ connect: { ...secure, ...roots } });
  const away = (why: string) => new CurfewError('api_server', `the API server at ${new URL(server).host} ${why}`);

  const get = async (path: string, accept: string, agent = known): Promise<{ status: number; body: string }> => {
    const headers = { accept, ...(agent === known && token !== undefined && { authorization: `Bearer ${token}` }) };
    let answer: { status: number; body: string | undefined };
    try {
      const signal = AbortSignal.timeout(TOTAL_MS);
      const response = await request(`${server}${path}`, { headers, dispatcher: agent, signal });
      answer = { status: response.statusCode, body: await readBounded(response.body, LARGEST_BYTES) };
    } catch (error) {
      throw away(sayFailure(error));
    }
    const { status, body } = answer;
    if (body === undefined) throw away('answered with more than 32 MiB');
    if (agent === known && status === 401) throw away('does not take the credential of this kubeconfig (HTTP 401)');
    if (status === 429 || status >= 500) throw away(`answered HTTP ${status}`);
    return { status, body };
  };

  const listOnce = async (
    path: string,
    query: Readonly<Record<string, string>>,
    accept: string,
  ): Promise<Listed | 'gone'> => {
    const items: unknown[] = [];
    for (let token = ''; ; ) {
      const words = { ...query, limit: String(ITEMS_AT_ONCE), ...(token !== '' && { continue: token }) };
      const { status, body } = await get(`${path}?${new URLSearchParams(words)}`, accept);
      if (status === 410) return 'gone';
      if (status === 403 || status === 404) return { refused: `HTTP ${status}` };
      const value = parseJson(body);
      if (status !== 200 || !isObject(value)) throw away(`answered HTTP ${status} to a list`);
      // kube-apiserver's empty lists are null, now and then.
      const page = value.items ?? [];
      if (!Array.isArray(page)) throw away('answered something other than a list');
      items.push(...page);
      const more = isObject(value.metadata) ? value.metadata.continue : undefined;
      token = typeof more === 'string' ? more : '';
      if (token === '') return { items };
    }
  };

  return {
    async list(path, query = {}, metadata = false) {
      for (let tries = 0; tries < MOST_TRIES; tries++) {
        const listed = await listOnce(path, query, metadata ? METADATA : 'application/json');
        if (listed !== 'gone') return listed;
      }
      return { refused: 'it changed while it was read, several times' };
    },
    async text(path) {
      const { status, body } = await get(path, 'text/plain');
      return status === 200 ? { text: body } : { refused: `HTTP ${status}` };
    },
    async statusWithout(path) {
      return (await get(path, 'application/json', unknown)).status;
    },
    async close() {
      await Promise.all([known.destroy(), unknown.destroy()]);
    },
  };
}
