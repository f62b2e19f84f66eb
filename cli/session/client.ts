// All that serves one broker in one person's name, put together.

import { CurfewError } from '../../shared/errors.ts';
import type { MetadataCluster } from '../../shared/metadata.ts';
import { readConfig } from '../host/config.ts';
import type { Clocks, Host, Parent, Terminal } from '../host/host.ts';
import { createSecrets, type Secrets } from '../secrets/secrets.ts';
import type { OwnFiles } from '../warm/machine.ts';
import { oneLine } from '../warm/one_line.ts';
import type { AskedBroker } from '../warm/refusal.ts';
import { isDefault } from '../warm/settings.ts';
import { type Broker, createBroker, refuseInsecure } from '../wire/broker.ts';
import { createSend, type Send } from '../wire/http.ts';
import type { Patience } from '../wire/patience.ts';
import { type Cache, openCache } from './cache.ts';
import { stateDirectoryOf } from './record.ts';
import { type Trusted, trust } from './trust.ts';

/** What a login or a renewal may touch of the machine: neither what runs here, nor what administrators say. */
export type ClientHost = OwnFiles &
  Clocks &
  Parent &
  Terminal &
  Pick<Host, 'platform' | 'print' | 'random' | 'strange_home'>;

export interface Client extends AskedBroker {
  readonly host: ClientHost;
  readonly broker: Broker;
  readonly send: Send;
  readonly cache: Cache;
  readonly secrets: Secrets;
  readonly trusted: Trusted;
}

/**
 * @param before is called before each request, and may throw: then nothing is sent
 * @param patience with a broker that says when to ask again, where another than that of a call
 * @throws CurfewError `insecure`, `configuration`, `unknown_broker`
 */
export function createClient(
  host: Host,
  url: string,
  ca_file?: string,
  before: () => void = () => undefined,
  patience?: Patience,
): Client {
  const config = readConfig(host);
  // What cannot be kept as it was asked for is said before anybody logs in.
  stateDirectoryOf(host);
  refuseInsecure(url, host);
  const trusted = trust(host, config, url, ca_file);
  const sendNow = createSend(host, trusted.ca_file);
  const send: Send = async (to, request) => {
    before();
    return await sendNow(to, request);
  };
  const broker = createBroker(url, send, host, patience);
  const is_default = isDefault(host.env, config, url);
  return {
    host,
    url,
    broker,
    send,
    cache: openCache(host),
    secrets: createSecrets(host, config.secret_storage),
    is_default,
    trusted,
  };
}

export function findCluster(clusters: readonly MetadataCluster[], name: string): MetadataCluster {
  const cluster = clusters.find((candidate) => candidate.name === name);
  if (cluster) return cluster;
  const names = clusters.map((candidate) => candidate.name).join(', ');
  const hint = names === '' ? 'ask who runs the broker' : `the broker has: ${oneLine(names)}`;
  throw new CurfewError('invalid_target', `the broker has no cluster ${oneLine(name)}`, { hint });
}
