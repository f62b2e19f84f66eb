// What stands in the plugin's own settings, `config.json`. Part of the warm path: loads nothing.

import { isSeconds, type Seconds } from '../shared/time.ts';
import { isObject } from '../shared/wire.ts';
import type { Reader } from './machine.ts';
import { oneLine } from './one_line.ts';
import { brokerKey, configDirectory, type Environment } from './paths.ts';

/** How a person logs in: a browser sent back to loopback (RFC 8252), a code typed elsewhere (RFC 8628), or a code brought back by hand. */
export const FLOWS = ['browser', 'device', 'paste'] as const;
export type Flow = (typeof FLOWS)[number];

/** Where secrets are kept. `memory`: beneath the login session's runtime directory, which ends with it. */
export const SECRET_STORAGES = ['keychain', 'file', 'memory'] as const;
export type SecretStorage = (typeof SECRET_STORAGES)[number];

export interface Config {
  readonly default?: string | undefined;
  /** In place of the choice by what the terminal can do. */
  readonly flow?: Flow | undefined;
  /** In place of the keychain, and a file where there is none. */
  readonly secret_storage?: SecretStorage | undefined;
  readonly brokers: Readonly<Record<string, { readonly ca_file?: string | undefined }>>;
  /** By the names of the contexts, for the prompt segment. */
  readonly contexts?: Readonly<Record<string, Context>> | undefined;
}

/** Where a context of kubeconfig leads, as `setup` wrote it. */
export interface Context {
  readonly broker: string;
  readonly cluster: string;
  readonly max_age?: Seconds | undefined;
}

/** Written by a person; the others by `setup`. */
export const OWN_SETTINGS = ['flow', 'secret_storage'] as const;
const SETTINGS: readonly string[] = ['brokers', 'contexts', 'default', ...OWN_SETTINGS];

/** @returns what is wrong with it, beginning with the setting's name */
export function parseConfig(text: string): Config | string {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return 'not JSON';
  }
  if (!isObject(value)) return 'expected an object';
  const unknown = Object.keys(value).find((key) => !SETTINGS.includes(key));
  if (unknown !== undefined) return `${oneLine(unknown)}: unknown setting`;
  const { brokers = {}, contexts = {}, default: main, flow: wantedFlow, secret_storage: wantedStorage } = value;
  if (!isObject(brokers)) return 'brokers: expected an object';
  if (main !== undefined && typeof main !== 'string') return 'default: expected a URL';
  const flow = FLOWS.find((known) => known === wantedFlow);
  if (wantedFlow !== flow) return `flow: expected one of ${FLOWS.join(', ')}`;
  const secret_storage = SECRET_STORAGES.find((known) => known === wantedStorage);
  if (wantedStorage !== secret_storage) return `secret_storage: expected one of ${SECRET_STORAGES.join(', ')}`;
  const entries: [string, { ca_file?: string }][] = [];
  for (const [url, broker] of Object.entries(brokers)) {
    if (!isObject(broker)) return `brokers.${oneLine(url)}: expected an object`;
    const { ca_file } = broker;
    if (ca_file !== undefined && typeof ca_file !== 'string') return `brokers.${oneLine(url)}.ca_file: expected a path`;
    entries.push([brokerKey(url), ca_file === undefined ? {} : { ca_file }]);
  }
  if (!isObject(contexts)) return 'contexts: expected an object';
  const strange = Object.keys(contexts).find((name) => !isContext(contexts[name]));
  if (strange !== undefined) return `contexts.${oneLine(strange)}: expected broker, cluster and no more than a max_age`;
  return {
    brokers: Object.fromEntries(entries),
    contexts: contexts as Readonly<Record<string, Context>>,
    ...(main !== undefined && { default: brokerKey(main) }),
    ...(flow && { flow }),
    ...(secret_storage && { secret_storage }),
  };
}

function isContext(value: unknown): value is Context {
  if (!isObject(value) || typeof value.broker !== 'string' || typeof value.cluster !== 'string') return false;
  return value.max_age === undefined || isSeconds(value.max_age);
}

/** @returns `undefined` where the environment names no place for it */
export function configFile(env: Environment): string | undefined {
  const directory = configDirectory(env);
  return directory && `${directory}/config.json`;
}

/**
 * @returns what stands in it, nothing where there is none, or the fault: words that follow the file's name
 */
export function readSettings({ files }: Reader, file: string): Config | string {
  const { fault, content } = files.read(file, LARGEST, true);
  if (fault === 'ENOENT') return { brokers: {} };
  if (fault !== undefined) return ` cannot be read (${fault})`;
  if (content === undefined) return ' is not a regular file, or too large';
  const config = parseConfig(content);
  return typeof config === 'string' ? `: ${config}` : config;
}

/** Bytes. */
const LARGEST = 1024 * 1024;

/** @throws Error where the settings cannot be read: the full program says what is wrong with them */
export function readOrThrow(machine: Reader & { readonly env: Environment }): Config {
  const file = configFile(machine.env);
  const config = file === undefined ? { brokers: {} } : readSettings(machine, file);
  if (typeof config === 'string') throw new Error(config);
  return config;
}

/** Whether commands mean this broker without being told. */
export function isDefault(env: Environment, config: Config, url: string): boolean {
  return url === (env.CURFEW_BROKER ? brokerKey(env.CURFEW_BROKER) : config.default);
}
