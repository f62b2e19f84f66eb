// The plugin's own settings, written by `setup`: the brokers by URL, and which one is meant without a word.

import { existsSync } from 'node:fs';
import { CurfewError } from '../../shared/errors.ts';
import { namedFolders, usualDirectory } from '../warm/folders.ts';
import type { OwnFiles, Reader } from '../warm/machine.ts';
import { brokerKey } from '../warm/paths.ts';
import { type Config, readSettings } from '../warm/settings.ts';
import { codeOf } from './error_code.ts';
import { makePrivateDirectory, writeWhole } from './files.ts';
import { configDirectoryOf, type Host } from './host.ts';
import { faultOfPlace } from './place.ts';

/**
 * Reads the settings, which say whom kubectl's calls trust: where others could put their own in place of them, none are believed.
 *
 * @throws CurfewError `configuration` that names the file and what is wrong in it
 */
export function readConfig(host: OwnFiles): Config {
  const file = configFileOf(host);
  const config = readSettings(host, file);
  if (typeof config !== 'string' && !existsSync(file)) return config;
  // Whose it is says more than that it cannot be read.
  const place = faultOfPlace(file, host.uid);
  if (place !== undefined) throw notBelieved(host, file, place);
  if (typeof config !== 'string') return config;
  throw new CurfewError('configuration', `${file}${config}`, { hint: 'correct it, or run: kubectl curfew setup' });
}

/**
 * Before anything is written that kubectl will run or believe.
 *
 * @throws CurfewError `configuration` where HOME is another person's, or others could exchange what would be there
 */
export function requireOwnPlace(host: Pick<Host, 'strange_home' | 'uid'>, directory: string): void {
  const { strange_home, uid } = host;
  if (strange_home) {
    const message = `HOME (${strange_home.home}) belongs to another user (uid ${strange_home.owner}), and this runs as uid ${uid}`;
    const hint = 'run it without sudo; for a kubectl that always runs as this user: sudo -H kubectl curfew setup';
    throw new CurfewError('configuration', message, { hint });
  }
  const place = faultOfPlace(directory, uid);
  if (place !== undefined) throw notBelieved(host, directory, place);
}

function notBelieved({ uid }: Pick<Host, 'uid'>, path: string, fault: string): CurfewError {
  const hint = fault.includes('can be written by others')
    ? 'what others can change is not believed: take it from them with chmod go-w, see what they changed, and try again'
    : `if it is meant to be yours, have it given back: sudo chown -R ${uid} THAT_FOLDER; else set CURFEW_CONFIG_DIR to a folder of yours, and run setup`;
  return new CurfewError('configuration', `${path} is not used: ${fault}`, { hint });
}

export function configFileOf(host: OwnFiles): string {
  return `${configDirectoryOf(host)}/config.json`;
}

/** Writes the settings, and names their folder in the usual one, so that it counts for kubectl. @throws CurfewError `configuration` */
export function writeConfig(host: OwnFiles & Pick<Host, 'random' | 'strange_home'>, config: Config): void {
  const directory = configDirectoryOf(host);
  write(host, directory, 'config.json', config);
  const usual = usualDirectory(host.env);
  if (usual === undefined || usual === directory) return;
  const before = namedFolders(host, usual);
  if (!before.includes(directory)) write(host, usual, 'folders.json', { folders: [...before, directory] });
}

/** As they are written. */
export function settingsText(content: object): string {
  return `${JSON.stringify(content, null, 2)}\n`;
}

/** Takes the name of the settings' folder from the usual one: it does not count for kubectl any more. @throws CurfewError `configuration` */
export function forgetFolder(host: OwnFiles & Pick<Host, 'random' | 'strange_home'>): void {
  const directory = configDirectoryOf(host);
  const usual = usualDirectory(host.env);
  if (usual === undefined || usual === directory) return;
  const before = namedFolders(host, usual);
  if (before.includes(directory))
    write(host, usual, 'folders.json', { folders: before.filter((folder) => folder !== directory) });
}

function write(
  host: Reader & Pick<Host, 'random' | 'strange_home'>,
  directory: string,
  name: string,
  content: object,
): void {
  requireOwnPlace(host, directory);
  const fault = makePrivateDirectory(directory, host);
  try {
    writeWhole(`${directory}/${name}`, settingsText(content), host);
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
export function chooseBroker(host: OwnFiles, flag: string | undefined): string {
  const url = flag ?? host.env.CURFEW_BROKER ?? readConfig(host).default;
  if (url) return brokerKey(url);
  const hint = 'run: kubectl curfew setup --broker URL, or give --broker URL';
  throw new CurfewError('usage', 'no broker is set up', { hint });
}
