// The plugin's own settings, written by `setup`: the brokers by URL, and which one is meant without a word.

import { CurfewError } from '../shared/errors.ts';
import { codeOf, makePrivateDirectory, writeWhole } from './files.ts';
import { configDirectoryOf, type Host } from './host.ts';
import { brokerKey } from './paths.ts';
import { type Config, readSettings } from './settings.ts';

/** @throws CurfewError `configuration` that names the file and what is wrong in it */
export function readConfig(host: Host): Config {
  const file = fileOf(host);
  const config = readSettings(host, file);
  if (typeof config !== 'string') return config;
  throw new CurfewError('configuration', `${file}${config}`, { hint: 'correct it, or run: kubectl curfew setup' });
}

function fileOf(host: Host): string {
  return `${configDirectoryOf(host)}/config.json`;
}

/** @throws CurfewError `configuration` */
export function writeConfig(host: Host, config: Config): void {
  const directory = configDirectoryOf(host);
  const fault = makePrivateDirectory(directory, host);
  try {
    writeWhole(fileOf(host), `${JSON.stringify(config, null, 2)}\n`, host);
  } catch (cause) {
    throw new CurfewError('configuration', `${directory} ${fault ?? `cannot be written (${codeOf(cause)})`}`, {
      cause,
    });
  }
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
