// What the configuration names on disk or in the environment: certificates, the encryption key, the store's place.

import type { KeyObject } from 'node:crypto';
import path from 'node:path';
import { formatPath } from '../../serving/config/faults.ts';
import {
  parseKey,
  readBearer,
  readCa,
  readSecret,
  readSecretText,
  type Surroundings,
  sayOpen,
} from '../../serving/config/named_files.ts';
import type { TlsFiles } from '../../serving/config/tls.ts';
import { readTlsFiles } from '../../serving/config/tls_files.ts';
import { CurfewError } from '../../shared/errors.ts';
import { isName } from '../text/names.ts';
import { parseDatabaseAddress } from './database_address.ts';
import type { Sections } from './schema.ts';
import type { Hook, Poll, PostgresSettings, StorePlaces, Transmitter } from './settings.ts';
import { readTargetGateway, readTargets } from './target_files.ts';
import type { TargetGateway, TargetSettings } from './target_settings.ts';

export interface ReadFiles {
  readonly faults: string[];
  readonly issuer_ca?: string | undefined;
  readonly identity_provider_ca?: string | undefined;
  /** By the cluster's index. */
  readonly cluster_cas: readonly (string | undefined)[];
  readonly tls?: TlsFiles | undefined;
  readonly metrics_tls?: TlsFiles | undefined;
  readonly store?: StorePlaces | undefined;
  readonly encryption_key?: KeyObject | undefined;
  readonly other_encryption_key?: KeyObject | undefined;
  /** By the cluster's index. */
  readonly webhook_tokens: readonly (KeyObject | undefined)[];
  /** By the cluster's index. */
  readonly gateway_tokens: readonly (KeyObject | undefined)[];
  /** By the cluster's index. */
  readonly gateway_cas: readonly (string | undefined)[];
  readonly hooks: readonly Hook[];
  /** Absolute, by the cluster's index. */
  readonly broker_token_files: readonly (string | undefined)[];
  readonly transmitters: readonly Transmitter[];
  readonly target_gateway?: TargetGateway | undefined;
  readonly targets: readonly TargetSettings[];
}

/** Reads all that the sections name, and lists what cannot be used. */
export async function readAll(sections: Partial<Sections>, around: Surroundings): Promise<ReadFiles> {
  const faults: string[] = [];
  const { clusters = [], listen, store, keys } = sections;
  const ca = (steps: readonly PropertyKey[], file: string | undefined) =>
    readCa(formatPath(steps), file, around, faults);
  const tls = listen?.tls && (await readTlsFiles('listen.tls', listen.tls, around, faults));
  const { metrics } = sections;
  const metrics_tls = metrics?.tls && (await readTlsFiles('metrics.tls', metrics.tls, around, faults));
  const target_gateway = await readTargetGateway(sections.target_gateway, around, faults);
  const tokens = await readClusterTokens(clusters, target_gateway, around, faults);
  return {
    faults,
    issuer_ca: await ca(['issuer_ca_file'], sections.issuer_ca_file),
    identity_provider_ca: await ca(['identity_provider', 'ca_file'], sections.identity_provider?.ca_file),
    cluster_cas: await Promise.all(clusters.map(({ ca_file }, i) => ca(['clusters', i, 'ca_file'], ca_file))),
    tls,
    metrics_tls,
    store: store && (await readStore(store, around, faults)),
    encryption_key: keys && (await readKey(keys, '', around, faults)),
    other_encryption_key: keys && (await readKey(keys, 'other_', around, faults)),
    ...tokens,
    gateway_cas: await Promise.all(
      clusters.map(({ gateway }, i) => ca(['clusters', i, 'gateway', 'ca_file'], gateway?.ca_file)),
    ),
    hooks: await readHooks(sections.hooks ?? [], around, faults),
    broker_token_files: await Promise.all(
      clusters.map(({ broker_token_file }, i) =>
        readBearer(formatPath(['clusters', i, 'broker_token_file']), broker_token_file, around, faults),
      ),
    ),
    transmitters: await readTransmitters(sections.ssf ?? [], around, faults),
    target_gateway,
    targets: await readTargets(sections.targets ?? [], around, faults),
  };
}

type StoreSection = Sections['store'];

/** @returns `undefined` where a fault keeps it from being known */
async function readStore(
  store: StoreSection,
  around: Surroundings,
  faults: string[],
): Promise<StorePlaces | undefined> {
  const at = (file: string) => path.resolve(around.folder, file);
  const { sqlite, postgres, witness_file } = store;
  if (sqlite) return besideFile(at(sqlite.file), witness_file, at, faults);
  const settings = postgres && (await readPostgres(postgres, around, faults));
  // The store is on another machine: no folder is known where the witness would be kept when this process is replaced.
  return (
    settings && {
      postgres: settings,
      ...(typeof witness_file === 'string' && { witness_file: at(witness_file) }),
    }
  );
}

/** The witness is in a folder below the store's unless it is said where, or that there is none. */
function besideFile(
  file: string,
  witness_file: StoreSection['witness_file'],
  at: (file: string) => string,
  faults: string[],
): StorePlaces {
  if (witness_file === false) return { sqlite: { file } };
  const folder = path.dirname(file);
  const witness = witness_file === undefined ? path.join(folder, 'witness', path.basename(file)) : at(witness_file);
  // What puts the store back would put it back as well.
  if (path.dirname(witness) === folder) faults.push("store.witness_file: must be in another folder than the store's");
  return { sqlite: { file }, witness_file: witness };
}

async function readPostgres(
  { url_env, url_file, ca_file, connections }: NonNullable<StoreSection['postgres']>,
  around: Surroundings,
  faults: string[],
): Promise<PostgresSettings | undefined> {
  const ca = await readCa('store.postgres.ca_file', ca_file, around, faults);
  const text = url_env === undefined ? await readUrl(url_file, around, faults) : around.variable(url_env);
  if (text === undefined || text === '') {
    if (url_env !== undefined) faults.push(`store.postgres.url_env: the environment variable ${url_env} is not set`);
    return undefined;
  }
  const setting = url_env === undefined ? 'store.postgres.url_file' : `store.postgres.url_env: ${url_env}`;
  try {
    return { address: parseDatabaseAddress(text, setting), ca, connections };
  } catch (error) {
    faults.push(error instanceof CurfewError ? error.message : `${setting}: cannot be used`);
    return undefined;
  }
}

async function readUrl(file: string | undefined, around: Surroundings, faults: string[]): Promise<string | undefined> {
  if (file === undefined) return undefined;
  const setting = 'store.postgres.url_file';
  // The URL itself may have been written where its file belongs: it must not come back in the error.
  if (file.includes('://')) {
    faults.push(`${setting}: expected the path of a file, not the URL itself`);
    return undefined;
  }
  const found = await readSecretText(setting, file, around, faults);
  if (found) sayOpen(setting, file, found, faults);
  return found?.text;
}

/** A token names its cluster and what asks there, so no two may be the same. */
async function readClusterTokens(
  clusters: Sections['clusters'],
  target_gateway: TargetGateway | undefined,
  around: Surroundings,
  faults: string[],
) {
  const read = async (of: 'webhook' | 'gateway') =>
    Promise.all(
      clusters.map(async (cluster, i) => {
        const file = cluster[of]?.token_file;
        const setting = formatPath(['clusters', i, of, 'token_file']);
        return { setting, token: file === undefined ? undefined : await readSecret(setting, file, around, faults) };
      }),
    );
  const [webhooks, gateways] = [await read('webhook'), await read('gateway')];
  const all = [...webhooks, ...gateways];
  for (const [i, { setting, token }] of all.entries()) {
    const first = all.findIndex((other) => token && other.token?.equals(token));
    if (first >= 0 && first < i) {
      const whose = first < webhooks.length && i >= webhooks.length ? 'a webhook' : 'another cluster';
      faults.push(`${setting}: holds the token of ${whose}`);
    }
  }
  if (all.some(({ token }) => token && target_gateway?.token.equals(token)))
    faults.push('target_gateway.token_file: holds the token of a cluster');
  return { webhook_tokens: webhooks.map(({ token }) => token), gateway_tokens: gateways.map(({ token }) => token) };
}

async function readHooks(hooks: NonNullable<Sections['hooks']>, around: Surroundings, faults: string[]) {
  const read = hooks.map(async ({ url, secret_file, ca_file }, i): Promise<Hook[]> => {
    const secret = await readSecret(formatPath(['hooks', i, 'secret_file']), secret_file, around, faults);
    const ca = await readCa(formatPath(['hooks', i, 'ca_file']), ca_file, around, faults);
    return secret ? [{ url, secret, ca }] : [];
  });
  return (await Promise.all(read)).flat();
}

async function readTransmitters(ssf: NonNullable<Sections['ssf']>, around: Surroundings, faults: string[]) {
  const read = ssf.map(async ({ push, poll, ca_file, ...transmitter }, i): Promise<Transmitter> => {
    const path = (...steps: readonly PropertyKey[]) => formatPath(['ssf', i, ...steps]);
    const ca = await readCa(path('ca_file'), ca_file, around, faults);
    const token = push && (await readSecret(path('push', 'token_file'), push.token_file, around, faults));
    const asked = poll && (await readPoll(poll, (...steps) => path('poll', ...steps), around, faults));
    return {
      ...{ ...transmitter, ca },
      ...(token && { push: { token } }),
      ...(asked && { poll: asked }),
    };
  });
  const transmitters = await Promise.all(read);
  for (const [i, { push }] of transmitters.entries()) {
    const first = transmitters.findIndex((other) => push && other.push?.token.equals(push.token));
    if (first >= 0 && first < i)
      faults.push(`${formatPath(['ssf', i, 'push', 'token_file'])}: holds the token of another`);
  }
  return transmitters;
}

type PollSection = NonNullable<NonNullable<Sections['ssf']>[number]['poll']>;

/** @returns `undefined` where its form is wrong: that is said elsewhere */
async function readPoll(
  { url, token_file: token, client_id: id, client_secret_file: secret, token_endpoint, scopes = [] }: PollSection,
  at: (...steps: readonly PropertyKey[]) => string,
  around: Surroundings,
  faults: string[],
): Promise<Poll | undefined> {
  const token_file = await readBearer(at('token_file'), token, around, faults);
  if (token_file !== undefined) return { url, token_file };
  if (id === undefined || secret === undefined) return undefined;
  const setting = at('client_secret_file');
  const found = await readSecretText(setting, secret, around, faults);
  if (found && !isName(found.text.trim(), 1024)) faults.push(`${setting}: ${secret}: expected one secret`);
  return { url, client: { id, secret_file: path.resolve(around.folder, secret), token_endpoint, scopes } };
}

async function readKey(
  keys: Sections['keys'],
  which: '' | 'other_',
  around: Surroundings,
  faults: string[],
): Promise<KeyObject | undefined> {
  const { [`${which}encryption_key_file` as const]: file, [`${which}encryption_key_env` as const]: variable } = keys;
  if (file !== undefined && variable === undefined)
    return readSecret(`keys.${which}encryption_key_file`, file, around, faults);
  if (variable === undefined || file !== undefined) return undefined;
  const setting = `keys.${which}encryption_key_env`;
  const text = around.variable(variable);
  if (text === undefined || text === '') {
    faults.push(`${setting}: the environment variable ${variable} is not set`);
    return undefined;
  }
  return parseKey(setting, text, faults);
}
