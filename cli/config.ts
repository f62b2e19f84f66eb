// The plugin's own settings, written by `setup`: the brokers by URL, and which one is meant without a word.

import { readFileSync } from 'node:fs';
import { CurfewError } from '../shared/errors.ts';
import { isObject } from '../shared/wire.ts';
import { codeOf, makePrivateDirectory, writeWhole } from './files.ts';
import { configDirectoryOf, type Host, oneLine } from './host.ts';
import { brokerKey } from './paths.ts';

export interface Config {
  readonly default?: string | undefined;
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

function parseConfig(text: string): Config | string {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return 'not JSON';
  }
  if (!isObject(value)) return 'expected an object';
  const unknown = Object.keys(value).find((key) => key !== 'brokers' && key !== 'default');
  if (unknown !== undefined) return `${oneLine(unknown)}: unknown setting`;
  const { brokers = {}, default: main } = value;
  if (!isObject(brokers)) return 'brokers: expected an object';
  if (main !== undefined && typeof main !== 'string') return 'default: expected a URL';
  const entries: [string, { ca_file?: string }][] = [];
  for (const [url, broker] of Object.entries(brokers)) {
    if (!isObject(broker)) return `brokers.${oneLine(url)}: expected an object`;
    const { ca_file } = broker;
    if (ca_file !== undefined && typeof ca_file !== 'string') return `brokers.${oneLine(url)}.ca_file: expected a path`;
    entries.push([brokerKey(url), ca_file === undefined ? {} : { ca_file }]);
  }
  return { brokers: Object.fromEntries(entries), ...(main !== undefined && { default: brokerKey(main) }) };
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
