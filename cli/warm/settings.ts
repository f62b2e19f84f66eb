// What is in the plugin's own settings, `config.json`. Part of the warm path: loads nothing.

import { parseJson } from '../../shared/json.ts';
import { isSeconds } from '../../shared/time.ts';
import { isObject } from '../../shared/wire.ts';
import type { Key } from './entry.ts';
import { configDirectory } from './folders.ts';
import type { Environment, OwnFiles, Reader, Stat, UserId } from './machine.ts';
import { oneLine } from './one_line.ts';
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
  /** `false`: a call of kubectl renews a token that is over, and none before that. */
  readonly background_renewal?: boolean | undefined;
  readonly brokers: Readonly<Record<string, KnownBroker>>;
  /** By the names of the contexts: what `setup` wrote, so that it knows later what is its own. */
  readonly contexts?: Readonly<Record<string, Context>> | undefined;
}

/**
 * A broker that this person or an administrator trusts. What 0.4.0 wrote has no `identity_provider`: it is noted at the next
 * login.
 */
export interface KnownBroker {
  readonly ca_file?: string | undefined;
  /** SHA-256 of each certificate that is trusted beside the system's, in hexadecimal. */
  readonly ca_sha256?: readonly string[] | undefined;
  /** The issuer that it named when it was set up. */
  readonly identity_provider?: string | undefined;
}

/** Where a context of kubeconfig leads, as `setup` wrote it. */
export interface Context extends Key {
  /** The API server's address, as `setup` wrote it. */
  readonly server?: string | undefined;
}

/** Written by a person; the others by `setup`. */
export const OWN_SETTINGS = ['background_renewal', 'flow', 'secret_storage'] as const;
const SETTINGS: readonly string[] = ['brokers', 'contexts', 'default', ...OWN_SETTINGS];

/** @returns what is wrong with it, beginning with the setting's name */
export function parseConfig(text: string): Config | string {
  const value = parseJson(text);
  if (value === undefined) return 'not JSON';
  if (!isObject(value)) return 'expected an object';
  const unknown = Object.keys(value).find((key) => !SETTINGS.includes(key));
  if (unknown !== undefined) return `${oneLine(unknown)}: unknown setting`;
  const { brokers = {}, contexts = {}, default: main, flow: wantedFlow, secret_storage: wantedStorage } = value;
  const { background_renewal } = value;
  if (main !== undefined && typeof main !== 'string') return 'default: expected a URL';
  const flow = FLOWS.find((known) => known === wantedFlow);
  if (wantedFlow !== flow) return `flow: expected one of ${FLOWS.join(', ')}`;
  const secret_storage = SECRET_STORAGES.find((known) => known === wantedStorage);
  if (wantedStorage !== secret_storage) return `secret_storage: expected one of ${SECRET_STORAGES.join(', ')}`;
  if (background_renewal !== undefined && typeof background_renewal !== 'boolean')
    return 'background_renewal: expected true or false';
  const known = parseBrokers(brokers);
  if (typeof known === 'string') return known;
  if (!isObject(contexts)) return 'contexts: expected an object';
  const strange = Object.keys(contexts).find((name) => !isContext(contexts[name]));
  if (strange !== undefined) return `contexts.${oneLine(strange)}: expected broker, cluster and no more than a max_age`;
  return {
    brokers: known,
    contexts: contexts as Readonly<Record<string, Context>>,
    ...(main !== undefined && { default: brokerKey(main) }),
    ...(flow && { flow }),
    ...(secret_storage && { secret_storage }),
    ...(background_renewal !== undefined && { background_renewal }),
  };
}

/** @returns what is wrong with them, beginning with the setting's name */
export function parseBrokers(brokers: unknown): Readonly<Record<string, KnownBroker>> | string {
  if (!isObject(brokers)) return 'brokers: expected an object';
  const known: [string, KnownBroker][] = [];
  for (const [url, broker] of Object.entries(brokers)) {
    const name = `brokers.${oneLine(url)}`;
    if (!isObject(broker)) return `${name}: expected an object`;
    const { ca_file, ca_sha256, identity_provider } = broker;
    if (ca_file !== undefined && typeof ca_file !== 'string') return `${name}.ca_file: expected a path`;
    if (ca_sha256 !== undefined && !isTexts(ca_sha256)) return `${name}.ca_sha256: expected a list of fingerprints`;
    if (identity_provider !== undefined && typeof identity_provider !== 'string')
      return `${name}.identity_provider: expected a URL`;
    known.push([
      brokerKey(url),
      {
        ...(ca_file !== undefined && { ca_file }),
        ...(ca_sha256 !== undefined && { ca_sha256 }),
        ...(identity_provider !== undefined && { identity_provider }),
      },
    ]);
  }
  return Object.fromEntries(known);
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((text) => typeof text === 'string');
}

function isContext(value: unknown): value is Context {
  if (!isObject(value) || typeof value.broker !== 'string' || typeof value.cluster !== 'string') return false;
  if (value.server !== undefined && typeof value.server !== 'string') return false;
  return value.max_age === undefined || isSeconds(value.max_age);
}

/** @returns `undefined` where the environment names no place for it */
export function configFile(env: Environment, reader: Reader): string | undefined {
  const directory = configDirectory(env, reader);
  return directory && `${directory}/config.json`;
}

/**
 * Settings say which brokers are trusted: what others own or can write, or could exchange, is not believed.
 *
 * @returns what is in it, nothing where there is none, or the fault: words that follow the file's name
 */
export function readSettings(reader: Reader, file: string): Config | string {
  const { fault, content, stat } = reader.files.read(file, LARGEST_BYTES, true);
  if (fault === 'ENOENT') return { brokers: {} };
  if (fault !== undefined) return ` cannot be read (${fault})`;
  // `/.`: of the folder itself, also where its name is a link.
  const folder = faultOfOwner(reader.files.lstat(`${file.slice(0, file.lastIndexOf('/'))}/.`), reader.uid);
  if (folder !== undefined) return ` is not believed: its folder ${folder}`;
  const own = faultOfOwner(stat, reader.uid);
  if (own !== undefined) return ` is not believed: it ${own}`;
  if (content === undefined) return ' is not a regular file, or too large';
  const config = parseConfig(content);
  return typeof config === 'string' ? `: ${config}` : config;
}

/** Why what is ours, or root's, is not ours alone. @returns words that follow the name */
export function faultOfOwner(stat: Stat | undefined, uid: UserId): string | undefined {
  if (stat === undefined || uid === undefined) return undefined;
  if (stat.uid !== uid && stat.uid !== 0) return `belongs to another user (uid ${stat.uid})`;
  return (stat.mode & 0o022) === 0 ? undefined : 'can be written by others';
}

const LARGEST_BYTES = 1024 * 1024;

/** @throws Error where the settings cannot be read: the full program says what is wrong with them */
export function readOrThrow(machine: OwnFiles): Config {
  const file = configFile(machine.env, machine);
  const config = file === undefined ? { brokers: {} } : readSettings(machine, file);
  if (typeof config === 'string') throw new Error(config);
  return config;
}

/** Whether commands mean this broker without being told. */
export function isDefault(env: Environment, config: Config, url: string): boolean {
  return url === (env.CURFEW_BROKER ? brokerKey(env.CURFEW_BROKER) : config.default);
}
