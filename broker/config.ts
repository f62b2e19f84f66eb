// The broker's configuration: one YAML file becomes one frozen value, or an error that lists every fault with its path.

import { createHash, type KeyObject } from 'node:crypto';
import path from 'node:path';
import { CurfewError } from '../shared/errors.ts';
import type { Limits } from '../shared/limits.ts';
import { EVERY, type Policy, type ResolvedLimits, resolveLimits, type Segment, type Target } from '../shared/policy.ts';
import { plus, type Seconds, seconds } from '../shared/time.ts';
import type { Credential } from '../shared/wire.ts';
import { refused } from './config/faults.ts';
import { readAll } from './config/files.ts';
import type { Preset } from './config/presets.ts';
import { faultsOf } from './config/rules.ts';
import { parseSections, type Sections } from './config/schema.ts';
import { parseYaml } from './config/yaml.ts';
import { type FileReader, readRegularFile } from './regular_file.ts';
import type { Rule } from './rules.ts';
import type { Actions } from './signals/events.ts';
import type { StorePlaces } from './store/guard.ts';

export interface Config {
  /** The file it was read from, absolute. */
  readonly file: string;
  readonly issuer: string;
  /** PEM; goes into the printed authn-config. Absent where the system's roots know the issuer. */
  readonly issuer_ca?: string | undefined;
  readonly listen: Listen;
  /** Addresses and CIDR blocks whose `X-Forwarded-For` is believed. */
  readonly trusted_proxies: readonly string[];
  /** 256 bits, for what the store holds encrypted. Prints as nothing. */
  readonly encryption_key: KeyObject;
  readonly identity_provider: IdentityProviderSettings;
  readonly clusters: readonly Cluster[];
  /** Without them nobody is an administrator. */
  readonly admins?: Admins | undefined;
  readonly metrics?: { readonly address: string; readonly port: number } | undefined;
  readonly hooks: readonly Hook[];
  /** Shared Signals transmitters that are heard. */
  readonly ssf: readonly Transmitter[];
  readonly store: StorePlaces;
  readonly policy: BrokerPolicy;
  /** SHA-256 of the file, hex. */
  readonly digest: string;
  /** SHA-256 over all that was read to make this, the secrets among it, hex: two that are alike are one configuration. Never shown. */
  readonly contents: string;
}

/** The policy with what only the broker needs of it. */
export interface BrokerPolicy extends Policy {
  readonly preset?: Preset | undefined;
  readonly segments: readonly (Segment & {
    readonly preset?: Preset | undefined;
    /** Whether a session may act as ServiceAccounts in what matches (`--as`). */
    readonly impersonate_service_accounts?: boolean | undefined;
  })[];
  readonly rules: readonly Rule[];
  /** Living sessions of one person. */
  readonly max_sessions?: { readonly count: number; readonly when_exceeded: 'refuse' | 'end_oldest' } | undefined;
  /** What each signal of the identity provider does. */
  readonly signals: Actions;
  /** How many failed logins within how many seconds are noticed. */
  readonly failed_logins: { readonly count: number; readonly window: Seconds };
}

export interface Admins {
  /** Names as the IdP gives them. */
  readonly groups: readonly string[];
  /** An administrator's session must satisfy these as well. */
  readonly limits: Limits;
}

/** Where reports of failed logins go. */
export interface Hook {
  readonly url: string;
  /** Signs what is sent. */
  readonly secret: KeyObject;
  readonly ca?: string | undefined;
}

/** A Shared Signals transmitter (SSF 1.0), by what it is known and of whom it may speak. */
export interface Transmitter {
  /** The `iss` of its SETs. */
  readonly issuer: string;
  /** Their `aud`. */
  readonly audience: string;
  /** Of whose persons it may speak: the `iss` of a subject. */
  readonly issuers: readonly string[];
  /** Where its keys are; found through its metadata when it is absent. */
  readonly jwks_uri?: string | undefined;
  readonly ca?: string | undefined;
  /** RFC 8935: what it presents. */
  readonly push?: { readonly token: KeyObject } | undefined;
  /** RFC 8936: where it is asked, and what we present. */
  readonly poll?: Poll | undefined;
}

/** With the token of a file, or with one that is got by client credentials (RFC 6749 4.4). Files absolute, read at each use. */
export type Poll = { readonly url: string } & (
  | { readonly token_file: string; readonly client?: undefined }
  | { readonly token_file?: undefined; readonly client: PollClient }
);

export interface PollClient {
  readonly id: string;
  readonly secret_file: string;
  /** Found through the transmitter's metadata when it is absent. */
  readonly token_endpoint?: string | undefined;
  readonly scopes: readonly string[];
}

export interface Listen {
  readonly address: string;
  readonly port: number;
  /** Paths, absolute: they are read again when they change. Absent only on a loopback address. */
  readonly tls?: TlsFiles | undefined;
}

export interface TlsFiles {
  readonly cert_file: string;
  readonly key_file: string;
}

export interface IdentityProviderSettings {
  readonly issuer: string;
  readonly client_id: string;
  /** Not secret: some IdPs give one to native apps, and the metadata serves it. */
  readonly client_secret?: string | undefined;
  readonly scopes: readonly string[];
  /** PEM, added to the system's roots. */
  readonly ca?: string | undefined;
  readonly username_claim: string;
  readonly groups_claim: string;
  readonly username_prefix: string;
  readonly groups_prefix: string;
  /** Names as the IdP gives them; `*` is everyone. */
  readonly allowed_groups: readonly string[];
  readonly clock_skew: Seconds;
  readonly device_grant: boolean;
  readonly redirect_host: RedirectHost;
  readonly redirect_ports: readonly number[];
  readonly id_token_signing_algs: readonly string[];
}

export type RedirectHost = '127.0.0.1' | '[::1]' | 'localhost';

export interface Cluster {
  readonly name: string;
  readonly server: string;
  /** PEM. Absent where the system's roots know the API server. */
  readonly ca?: string | undefined;
  readonly audience: string;
  /** Names as the IdP gives them; `*` is everyone. */
  readonly allowed_groups: readonly string[];
  /** For rules to look at. */
  readonly labels: Readonly<Record<string, string>>;
  /** What the API server enforces by itself, also a limit of this cluster. */
  readonly ceiling?: Ceiling | undefined;
  readonly webhook?: Webhook | undefined;
  readonly credential: Credential;
  /** With `service-account`: who acts as whom, the first that fits. */
  readonly service_accounts?: readonly ServiceAccountMapping[] | undefined;
  /** With `service-account`: the file of the bearer token with which the broker asks that API server. Absolute; read at each use. */
  readonly broker_token_file?: string | undefined;
}

export interface ServiceAccountMapping {
  /** A name as the IdP gives it; `*` is everyone. */
  readonly group: string;
  readonly namespace: string;
  readonly name: string;
}

export interface Webhook {
  /** Names the cluster; kube-apiserver presents it. */
  readonly token: KeyObject;
  /** What kube-apiserver does when the broker cannot be asked. */
  readonly on_failure: 'deny' | 'no_opinion';
  /** Whether it asks about tokens too (TokenReview). */
  readonly authentication: boolean;
}

export interface Ceiling {
  readonly max_age?: Seconds | undefined;
  readonly token_ttl?: Seconds | undefined;
}

export interface ConfigSources {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly readFile?: FileReader;
}

/**
 * Reads, parses and checks a configuration. Relative paths in it are relative to its own folder.
 *
 * @throws CurfewError `configuration`, naming the file and all faults, one a line.
 */
export async function loadConfig(file: string, { env, readFile = readRegularFile }: ConfigSources): Promise<Config> {
  const absolute = path.resolve(file);
  // Whatever is read passes here, so that nothing that can be changed is forgotten when two configurations are compared.
  const seen = new Map<string, string | undefined>();
  const readSeen: FileReader = async (name) => {
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
  const { sections, faults: shape } = parseSections(yaml.value);
  const read = await readAll(sections, { folder: path.dirname(absolute), variable, readFile: readSeen });
  const faults = [...shape, ...faultsOf(sections), ...read.faults];
  const digest = createHash('sha256').update(text.text).digest('hex');
  const config = assemble(absolute, { digest, contents: contentsOf(seen) }, sections, read);
  if (!config || faults.length > 0) throw refused(file, faults);
  return config;
}

type Read = Awaited<ReturnType<typeof readAll>>;

function contentsOf(seen: ReadonlyMap<string, string | undefined>): string {
  const sorted = [...seen].sort(([a], [b]) => (a < b ? -1 : 1));
  return createHash('sha256').update(JSON.stringify(sorted)).digest('hex');
}

/** `undefined` when a section did not parse: its fault is listed then. */
function assemble(
  file: string,
  digests: Pick<Config, 'digest' | 'contents'>,
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
    identity_provider: { ...idp, ca: read.identity_provider_ca },
    clusters: clusters.map(({ ca_file: _, webhook, ...cluster }, i) => {
      const token = read.webhook_tokens[i];
      const hook = webhook && token && { ...webhook, token };
      return { ...cluster, ca: read.cluster_cas[i], webhook: hook, broker_token_file: read.broker_token_files[i] };
    }),
    admins: sections.admins,
    metrics: sections.metrics,
    hooks: read.hooks,
    ssf: read.transmitters,
    store: read.store,
    policy,
    ...digests,
  });
}

/** @throws CurfewError `usage` when there is no cluster of this name */
export function clusterNamed({ clusters, file }: Config, wanted: string): Cluster {
  const cluster = clusters.find(({ name }) => name === wanted);
  if (cluster) return cluster;
  const names = clusters.map(({ name }) => name).join(', ');
  throw new CurfewError('usage', `there is no cluster ${JSON.stringify(wanted)} in ${file}, only ${names}`);
}

/**
 * The limits of one cluster: the policy, the cluster's ceiling, and what the caller asks for. The latter tighten only.
 *
 * @param max_age the plugin's `--max-age`, in seconds
 */
export function clusterLimits(config: Pick<Config, 'policy'>, cluster: Cluster, max_age?: Seconds): ResolvedLimits {
  return targetLimits(config, cluster, {}, max_age);
}

/** The same for one namespace or resource of the cluster. */
export function targetLimits(
  config: Pick<Config, 'policy'>,
  cluster: Cluster,
  within: Omit<Target, 'cluster'>,
  max_age?: Seconds,
): ResolvedLimits {
  return resolveLimits(config.policy, { cluster: cluster.name, ...within }, ceilingLimits(cluster), { max_age });
}

/** The smallest limits that any request to the cluster can meet, apart from what rules yield. */
export function strictestLimits(config: Pick<Config, 'policy'>, cluster: Cluster): ResolvedLimits {
  return targetLimits(config, cluster, { namespace: EVERY, resource: EVERY });
}

/** Whether any part of a policy wants the identity provider to vouch for accounts again. */
export function revalidates({ limits, segments, rules }: BrokerPolicy): boolean {
  return [{ limits }, ...segments, ...rules].some((part) => part.limits.revalidate !== undefined);
}

/**
 * Whether anything is tighter for who is in some group: a rule that looks at groups, or a ServiceAccount that comes before the one
 * for everyone. Then somebody whose groups got lost on the way would have more, not less.
 */
export function groupsTighten({ policy, clusters }: Pick<Config, 'policy' | 'clusters'>): boolean {
  return (
    policy.rules.some(({ when }) => when.uses_groups) ||
    clusters.some(({ service_accounts = [] }) => service_accounts.findIndex(({ group }) => group === '*') > 0)
  );
}

/** kube-apiserver goes on taking a token that it took, for as long as this: the cache of its authenticators. */
const AUTHENTICATOR_CACHE = seconds(10);
/** By default; `--authentication-token-webhook-cache-ttl` of kube-apiserver may say less. */
const TOKEN_REVIEW_CACHE = seconds(120);
/** For the deletion of a session's Secret. */
const DELETION = seconds(1);

/** For how many seconds after its `exp` an API server of this cluster may still take a token. */
export function takenAfterExp({ webhook }: Pick<Cluster, 'webhook'>): Seconds {
  return webhook?.authentication ? plus(TOKEN_REVIEW_CACHE, AUTHENTICATOR_CACHE) : AUTHENTICATOR_CACHE;
}

/** For how many seconds any token can be taken that is minted under this configuration. */
export function longestTaken({ policy, clusters }: Pick<Config, 'policy' | 'clusters'>): Seconds {
  const after = clusters.map((cluster) => takenAfterExp(cluster));
  return plus(policy.limits.token_ttl, seconds(Math.max(...after)));
}

/** Seconds until the end of a session takes effect at a cluster, at most, with broker and API server up. */
export function endWithin(config: Pick<Config, 'policy'>, cluster: Cluster): Seconds {
  if (cluster.webhook) return seconds(0);
  if (cluster.credential === 'service-account') return plus(AUTHENTICATOR_CACHE, DELETION);
  return plus(clusterLimits(config, cluster).target.token_ttl, AUTHENTICATOR_CACHE);
}

/** What the API server enforces by itself, as limits. */
export function ceilingLimits(cluster: Pick<Cluster, 'ceiling'>): Limits {
  return { max_age: cluster.ceiling?.max_age, token_ttl: cluster.ceiling?.token_ttl };
}

/** Freezes plain objects and lists all the way down; a key object stays as it is. */
function freeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value;
  const proto: unknown = Object.getPrototypeOf(value);
  if (proto !== Object.prototype && proto !== Array.prototype) return value;
  for (const inner of Object.values(value)) freeze(inner);
  return Object.freeze(value);
}
