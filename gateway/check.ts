// `curfew-gateway check`: whether the configuration can be used, and broker and API server answer as a gateway needs it.

import http2 from 'node:http2';
import { tlsTo } from '../serving/net/roots.ts';
import { CurfewError, EXIT } from '../shared/errors.ts';
import { GATEWAY_PATHS, isLeaseReply } from '../shared/gateway_wire.ts';
import { createBroker } from './authority/ask.ts';
import { Keys } from './authority/keys.ts';
import type { Settings } from './config/settings.ts';

const ANSWER_MS = 5_000;

export interface Checked {
  readonly lines: readonly string[];
  readonly exit: number;
}

interface Finding {
  readonly line: string;
  readonly exit: number;
}

/** @param elapsed milliseconds, by a clock that is never set */
export async function check(settings: Settings, elapsed: () => number): Promise<Checked> {
  const found = [...(await askBroker(settings, elapsed)), await askApiServer(settings)];
  const worst = found.map(({ exit }) => exit).sort((one, other) => other - one)[0] ?? EXIT.done;
  return { lines: found.map(({ line }) => line), exit: worst };
}

async function askBroker(
  { broker: place, cluster, api_server }: Settings,
  elapsed: () => number,
): Promise<readonly Finding[]> {
  const broker = createBroker(place);
  try {
    const keys = new Keys({ broker, cluster, elapsed });
    await keys.read();
    const { status, body } = await broker.post(GATEWAY_PATHS.sessions, { asks: [], uses: [] });
    if (status === 401)
      return [bad(`broker.token_file: the broker does not know it as that of the gateway of a cluster`)];
    if (status !== 200 || !isLeaseReply(body)) return [away(`the broker answered ${status} to a question for leases`)];
    if (keys.credential === 'service-account' && !api_server.service_account_keys)
      return [
        bad(`api_server.service_account_keys_file: people have tokens of ${cluster} itself, none of which passes`),
      ];
    return [good(`the broker answers: tokens for ${cluster} are for ${keys.audience}`)];
  } catch (error) {
    if (!(error instanceof CurfewError)) throw error;
    return [error.code === 'configuration' ? bad(error.message) : away(error.message)];
  } finally {
    broker.close();
  }
}

/** Over HTTP/2, as requests go there; whoever is not let in is answered all the same. */
async function askApiServer({ api_server }: Settings): Promise<Finding> {
  const session = http2.connect(api_server.url, { ...tlsTo(api_server.ca), ALPNProtocols: ['h2'] });
  const timer = setTimeout(() => session.destroy(new Error('no answer in time')), ANSWER_MS);
  try {
    const status = await new Promise<number>((resolve, reject) => {
      session.once('error', reject);
      const stream = session.request({ ':path': '/version' });
      stream.once('error', reject);
      stream.once('response', (headers) => resolve(Number(headers[':status'])));
      stream.end();
    });
    return status < 500 ? good('the API server answers') : away(`the API server answered ${status}`);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? ` (${String(error.code)})` : '';
    const setting = /CERT|SIGNED|ISSUER|TLS/.test(code) ? ': see api_server.ca_file' : '';
    return away(`the API server ${new URL(api_server.url).host} cannot be reached${code}${setting}`);
  } finally {
    clearTimeout(timer);
    session.destroy();
  }
}

const good = (line: string): Finding => ({ line: `ok     ${line}`, exit: EXIT.done });
const away = (line: string): Finding => ({ line: `error  ${line}`, exit: EXIT.unavailable });
const bad = (line: string): Finding => ({ line: `error  ${line}`, exit: EXIT.configuration });
