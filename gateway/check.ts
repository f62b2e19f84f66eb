// `curfew-gateway check`: whether the configuration can be used, and broker and API server answer as a gateway needs it. A target is reached
// at an address that the broker tells at each connection alone: none is tried.

import http2 from 'node:http2';
import { tlsTo } from '../serving/net/roots.ts';
import { CurfewError, EXIT } from '../shared/errors.ts';
import { GATEWAY_PATHS, isLeaseReply } from '../shared/gateway_wire.ts';
import { isMetadata } from '../shared/metadata.ts';
import { connectUrl } from '../shared/targets.ts';
import { type Broker, createBroker } from './authority/ask.ts';
import { Keys } from './authority/keys.ts';
import type { ClusterSettings, Settings, TargetSettings } from './config/settings.ts';

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
  const found = settings.targets
    ? await askBrokerOfTargets(settings, elapsed)
    : [...(await askBroker(settings, elapsed)), await askApiServer(settings)];
  const worst = found.map(({ exit }) => exit).sort((one, other) => other - one)[0] ?? EXIT.done;
  return { lines: found.map(({ line }) => line), exit: worst };
}

async function askBroker(
  { broker: place, cluster, api_server }: ClusterSettings,
  elapsed: () => number,
): Promise<readonly Finding[]> {
  return withBroker(place, async (broker) => {
    const keys = new Keys({ broker, cluster, elapsed });
    await keys.read();
    const fault = await faultOfLeases(broker, 'a cluster');
    if (fault) return [fault];
    if (keys.credential === 'service-account' && !api_server.service_account_keys)
      return [
        bad(`api_server.service_account_keys_file: people have tokens of ${cluster} itself, none of which passes`),
      ];
    return [good(`the broker answers: tokens for ${cluster} are for ${keys.audience}`)];
  });
}

/** What it tells everybody of its targets leads here. */
async function askBrokerOfTargets(
  { broker: place, public_url }: TargetSettings,
  elapsed: () => number,
): Promise<readonly Finding[]> {
  return withBroker(place, async (broker) => {
    await new Keys({ broker, elapsed }).read();
    const fault = await faultOfLeases(broker, 'targets');
    if (fault) return [fault];
    const { status, body } = await broker.get('/.well-known/curfew');
    if (status !== 200 || !isMetadata(body)) return [away('the broker does not tell its targets')];
    const { targets = [] } = body;
    const own = `wss${public_url.slice('https'.length)}`;
    const elsewhere = targets.find(({ name, url }) => url !== connectUrl(own, name));
    if (elsewhere)
      return [bad(`public_url: the broker sends people to ${elsewhere.url}, and proofs for that are refused here`)];
    const names = targets.map(({ name }) => name).join(', ');
    return [targets.length === 0 ? bad('targets: the broker has none') : good(`the broker answers: targets ${names}`)];
  });
}

/** @param of whose gateways the broker should know this by its token */
async function faultOfLeases(broker: Broker, of: string): Promise<Finding | undefined> {
  const { status, body } = await broker.post(GATEWAY_PATHS.sessions, { asks: [], uses: [] });
  if (status === 401) return bad(`broker.token_file: the broker does not know it as that of the gateway of ${of}`);
  if (status === 200 && isLeaseReply(body)) return undefined;
  return away(`the broker answered ${status} to a question for leases`);
}

async function withBroker(
  place: Settings['broker'],
  ask: (broker: Broker) => Promise<readonly Finding[]>,
): Promise<readonly Finding[]> {
  const broker = createBroker(place);
  try {
    return await ask(broker);
  } catch (error) {
    if (!(error instanceof CurfewError)) throw error;
    return [error.code === 'configuration' ? bad(error.message) : away(error.message)];
  } finally {
    broker.close();
  }
}

/** Over HTTP/2, as requests go there; whoever is not let in is answered all the same. */
async function askApiServer({ api_server }: ClusterSettings): Promise<Finding> {
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
