// The broker's configuration: one YAML file becomes one frozen value, or an error that lists every fault with its path.

import { createHash, type KeyObject } from 'node:crypto';
import path from 'node:path';
import { refused } from '../../serving/config/faults.ts';
import { parseYaml } from '../../serving/config/yaml.ts';
import { type FileReader, readRegularFile } from '../../serving/files/regular_file.ts';
import { CurfewError } from '../../shared/errors.ts';
import { type Seconds, seconds } from '../../shared/time.ts';
import { isObject } from '../../shared/wire.ts';
import { faultsOf } from './consistency.ts';
import { readAll } from './files.ts';
import { parseSections, type Sections } from './schema.ts';
import type { Cluster, Config, GatewaySettings } from './settings.ts';

export interface ConfigSources {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly readFile?: FileReader;
  /** Which of two that are configured, for the one command that takes both. */
  readonly store?: 'sqlite' | 'postgres' | undefined;
}

/**
 * Reads, parses and checks a configuration. Relative paths in it are relative to its own folder.
 *
 * @throws CurfewError `configuration`, naming the file and all faults, one a line.
 */
export async function loadConfig(
  file: string,
  { env, readFile = readRegularFile, store }: ConfigSources,
): Promise<Config> {
  const absolute = path.resolve(file);
  // Whatever is read passes here, so that nothing that can be changed is forgotten when two configurations are compared.
  const seen = new Map<string, string | undefined>();
  const names = new Set<string>();
  const readSeen: FileReader = async (name) => {
    names.add(name);
    const found = await readFile(name);
    seen.set(`file ${name}`, found.text);
    return found;
  };
  const variable = (name: string) => {
    seen.set(`variable ${name}`, env[name]);
    return env[name];
  };
  const text = await readSeen(absolute).catch((cause: unknown) => {
    throw new CurfewError('configuration', `${file}: ${cause instanceof Error ? cause.message : 'cannot be read'}`);
  });
  const yaml = parseYaml(text.text);
  if ('faults' in yaml) throw refused(file, yaml.faults);
  const { sections, faults: shape } = parseSections(
    store === undefined ? yaml.value : withStore(file, yaml.value, store),
  );
  const read = await readAll(sections, { folder: path.dirname(absolute), variable, readFile: readSeen });
  const faults = [...shape, ...faultsOf(sections), ...read.faults];
  const digest = createHash('sha256').update(text.text).digest('hex');
  const apart = [absolute, ...[read.tls, read.metrics_tls].flatMap((tls) => Object.values(tls ?? {}))];
  const files = [...names].filter((name) => !apart.includes(name)).sort();
  const config = assemble(absolute, { files, digest, contents: contentsOf(seen) }, sections, read);
  if (!config || faults.length > 0) throw refused(file, faults);
  return config;
}

/** As if the other one were not there. @throws CurfewError `configuration` where this one is not */
function withStore(file: string, value: unknown, one: 'sqlite' | 'postgres'): unknown {
  if (!isObject(value) || !isObject(value.store)) return value;
  if (!(one in value.store)) throw refused(file, [`store.${one}: required for this command, beside the other one`]);
  const { [one === 'sqlite' ? 'postgres' : 'sqlite']: _, ...store } = value.store;
  return { ...value, store };
}

type Read = Awaited<ReturnType<typeof readAll>>;

function contentsOf(seen: ReadonlyMap<string, string | undefined>): string {
  const sorted = [...seen].sort(([a], [b]) => (a < b ? -1 : 1));
  return createHash('sha256').update(JSON.stringify(sorted)).digest('hex');
}

/** `undefined` when a section did not parse: its fault is listed then. */
function assemble(
  file: string,
  sources: Pick<Config, 'files' | 'digest' | 'contents'>,
  sections: Partial<Sections>,
  read: Read,
): Config | undefined {
  const { issuer, listen, identity_provider, clusters, policy } = sections;
  if (!issuer || !listen || !identity_provider || !clusters || !policy) return undefined;
  if (!read.encryption_key || !read.store) return undefined;
  const { ca_file: _, ...idp } = identity_provider;
  return freeze({
    file,
    issuer,
    issuer_ca: read.issuer_ca,
    listen: { address: listen.address, port: listen.port, tls: read.tls },
    trusted_proxies: sections.trusted_proxies ?? [],
    encryption_key: read.encryption_key,
    other_encryption_key: read.other_encryption_key,
    rotate_keys_every: rotateEvery(sections.keys?.rotate_every),
    identity_provider: { ...idp, ca: read.identity_provider_ca },
    clusters: clusters.map((cluster, i) => assembleCluster(cluster, i, read)),
    target_gateway: read.target_gateway,
    targets: read.targets,
    admins: sections.admins,
    metrics: sections.metrics && { ...sections.metrics, ...(read.metrics_tls && { tls: read.metrics_tls }) },
    hooks: read.hooks,
    ssf: read.transmitters,
    store: read.store,
    policy,
    ...sources,
  });
}

/** A quarter of a year where nothing is said. */
function rotateEvery(given: Seconds | 'off' | undefined): Seconds | undefined {
  return given === 'off' ? undefined : (given ?? seconds(90 * 86_400));
}

function assembleCluster({ ca_file: _, ...cluster }: Sections['clusters'][number], i: number, read: Read): Cluster {
  const [webhook_token, gateway_token] = [read.webhook_tokens[i], read.gateway_tokens[i]];
  return {
    ...cluster,
    ca: read.cluster_cas[i],
    webhook: cluster.webhook && webhook_token && { ...cluster.webhook, token: webhook_token },
    gateway: cluster.gateway && gateway_token && gatewayOf(cluster.gateway, gateway_token, read.gateway_cas[i]),
    broker_token_file: read.broker_token_files[i],
  };
}

function gatewayOf(
  { url, required, record }: NonNullable<Sections['clusters'][number]['gateway']>,
  token: KeyObject,
  ca: string | undefined,
): GatewaySettings {
  return { url, ca, token, required, record };
}

/** Freezes plain objects and lists all the way down; a key object stays as it is. */
function freeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value;
  const proto: unknown = Object.getPrototypeOf(value);
  if (proto !== Object.prototype && proto !== Array.prototype) return value;
  for (const inner of Object.values(value)) freeze(inner);
  return Object.freeze(value);
}
