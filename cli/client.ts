// All that serves one broker in one person's name, put together; and the words for a refusal.

import { CurfewError, isCode, meaning } from '../shared/errors.ts';
import type { MetadataCluster } from '../shared/wire.ts';
import { type Broker, createBroker } from './broker.ts';
import { type Cache, openCache } from './cache/cache.ts';
import type { Remembered } from './cache/entry.ts';
import { readConfig } from './config.ts';
import { type Host, oneLine } from './host.ts';
import { createSend, type Send } from './http.ts';
import { brokerKey } from './paths.ts';
import { createSecrets, type Secrets } from './secrets/secrets.ts';

export interface Client {
  readonly host: Host;
  /** The broker's key, from `brokerKey`. */
  readonly url: string;
  readonly broker: Broker;
  readonly send: Send;
  readonly cache: Cache;
  readonly secrets: Secrets;
  /** Whether commands mean this broker without being told. */
  readonly is_default: boolean;
}

/** @throws CurfewError `insecure`, `configuration` */
export function createClient(host: Host, url: string, ca_file?: string): Client {
  const config = readConfig(host);
  const send = createSend(host, ca_file ?? config.brokers[url]?.ca_file);
  const broker = createBroker(url, send, host);
  const is_default = url === (host.env.CURFEW_BROKER ? brokerKey(host.env.CURFEW_BROKER) : config.default);
  return { host, url, broker, send, cache: openCache(host), secrets: createSecrets(host), is_default };
}

export function findCluster(clusters: readonly MetadataCluster[], name: string): MetadataCluster {
  const cluster = clusters.find((candidate) => candidate.name === name);
  if (cluster) return cluster;
  const names = clusters.map((candidate) => candidate.name).join(', ');
  const hint = names === '' ? 'ask who runs the broker' : `the broker has: ${oneLine(names)}`;
  throw new CurfewError('invalid_target', `the broker has no cluster ${oneLine(name)}`, { hint });
}

/** A refusal as the error that the person sees, with the shortest command that helps. */
export function asError({ url, is_default }: Client, { reason, message }: Remembered, cluster?: string): CurfewError {
  const code = isCode(reason) ? reason : 'login_failed';
  const broker = is_default ? '' : ` --broker ${url}`;
  // A plain login is judged by the session's limits; only one for the cluster brings the acr that the cluster wants.
  const target = code === 'acr_too_low' && cluster !== undefined ? ` --cluster ${cluster}` : '';
  const { hint } = meaning(code);
  const whole = hint.endsWith('kubectl curfew login') ? `${hint}${broker}${target}` : hint;
  return new CurfewError(code, message, { hint: whole });
}
