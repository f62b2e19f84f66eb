// The plugin's own settings, written by `setup`: the brokers by URL, and which one is meant without a word.

import { readFileSync } from 'node:fs';
import { CurfewError } from '../shared/errors.ts';
import { isObject } from '../shared/wire.ts';
import { codeOf, makePrivateDirectory, writeWhole } from './files.ts';
import { configDirectoryOf, type Host, oneLine } from './host.ts';
import { brokerKey } from './paths.ts';

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
}

function configFile(host: Host): string {
  return `${configDirectoryOf(host)}/config.json`;
}

/** @throws CurfewError `configuration` that names the file and what is wrong in it */
export function readConfig(host: Host): Config {
  const file = configFile(host);
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') return { brokers: {} };
    throw new CurfewError('configuration', `${file} cannot be read (${codeOf(cause)})`, { cause });
  }
  const config = parseConfig(text);
  if (typeof config === 'string') {
    throw new CurfewError('configuration', `${file}: ${config}`, { hint: 'correct it, or run: kubectl curfew setup' });
  }
  return config;
}

/** @throws CurfewError `configuration` */
export function writeConfig(host: Host, config: Config): void {
  const directory = configDirectoryOf(host);
  const fault = makePrivateDirectory(directory, host);
  try {
    writeWhole(configFile(host), `${JSON.stringify(config, null, 2)}\n`, host);
  } catch (cause) {
    throw new CurfewError('configuration', `${directory} ${fault ?? `cannot be written (${codeOf(cause)})`}`, {
      cause,
    });
  }
}

const SETTINGS: readonly string[] = ['brokers', 'default', 'flow', 'secret_storage'];

function parseConfig(text: string): Config | string {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return 'not JSON';
  }
  if (!isObject(value)) return 'expected an object';
  const unknown = Object.keys(value).find((key) => !SETTINGS.includes(key));
  if (unknown !== undefined) return `${oneLine(unknown)}: unknown setting`;
  const { brokers = {}, default: main, flow: wantedFlow, secret_storage: wantedStorage } = value;
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
  return {
    brokers: Object.fromEntries(entries),
    ...(main !== undefined && { default: brokerKey(main) }),
    ...(flow && { flow }),
    ...(secret_storage && { secret_storage }),
  };
}

/**
 * The broker that is meant: the flag, `CURFEW_BROKER`, or the one that was set up last.
 *
 * @throws CurfewError `usage` when there is none
 */
export function chooseBroker(host: Host, flag: string | undefined): string {
  const url = flag ?? host.env.CURFEW_BROKER ?? readConfig(host).default;
  if (url) return brokerKey(url);
  const hint = 'run: kubectl curfew setup --broker URL, or give --broker URL';
  throw new CurfewError('usage', 'no broker is set up', { hint });
}
