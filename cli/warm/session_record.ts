// What is remembered of a login beside its secrets, as it is in its file. Part of the warm path: loads nothing.

import { parseJson } from '../../shared/json.ts';
import type { ResolvedLimits } from '../../shared/policy.ts';
import { isSeconds, type Seconds } from '../../shared/time.ts';
import { isObject, isResolvedLimits, isTexts, isWireSession, type WireSession } from '../../shared/wire.ts';
import { isRemembered, type Remembered } from './entry.ts';
import { configDirectory } from './folders.ts';
import type { Environment, OwnFiles, Reader } from './machine.ts';
import { cacheDirectory, fileName, runtimeDirectory } from './paths.ts';
import { readOurs } from './read_cache.ts';
import type { Config, SecretStorage } from './settings.ts';

const RECORD_VERSION = 1;

/** Where the secrets of a login are. */
export type Place = SecretStorage;

export interface SessionRecord {
  readonly broker: string;
  readonly endpoints: Endpoints;
  /** Of each cluster, by name, as the metadata told. */
  readonly audiences: Readonly<Record<string, string>>;
  /** Likewise: what a cluster asks for before it is used, for words only. */
  readonly limits?: Readonly<Record<string, ResolvedLimits>> | undefined;
  readonly kept_in: Place;
  /** The login's session; absent after a logout. */
  readonly session?: WireSession | undefined;
  /** Our clock when the broker told of the session. */
  readonly minted_local: Seconds;
  /** Clusters that do not admit the person, as far as the broker has said: for words only. */
  readonly not_admitted?: readonly string[] | undefined;
  /** Why the session is over, once the broker has said so. */
  readonly ended?: Remembered | undefined;
  /** Why the identity provider no longer confirms this login, in words for a person. */
  readonly unvouched?: string | undefined;
}

/**
 * The directory for what is remembered of logins.
 *
 * @returns `undefined` where the environment names none; or, where nothing may outlive the login session, none that ends
 * with it and holds the cache as well
 */
export function stateDirectory(
  env: Environment,
  reader: Reader,
  storage: SecretStorage | undefined,
): string | undefined {
  if (storage !== 'memory') return configDirectory(env, reader);
  const [runtime, cache] = [runtimeDirectory(env, reader), cacheDirectory(env, reader)];
  return runtime !== undefined && (cache === runtime || cache?.startsWith(`${runtime}/`)) ? runtime : undefined;
}

export function recordFile(state: string, broker: string): string {
  return `${state}/sessions/${fileName(broker)}.json`;
}

/** @returns the record, nothing where there is none, or what is wrong with what is there: words after its name */
export function recordAt(reader: Reader, state: string, broker: string): SessionRecord | string | undefined {
  const text = readOurs(reader, recordFile(state, broker));
  if (text === undefined) return undefined;
  if (text.fault !== undefined) return text.fault;
  const record = parseRecord(text.content);
  return record?.broker === broker ? record : 'is not a record of a login here';
}

/** @throws Error where it cannot be read: the full program says why */
export function recordOf(machine: OwnFiles, settings: Config, broker: string): SessionRecord | undefined {
  const state = stateDirectory(machine.env, machine, settings.secret_storage);
  const record = state === undefined ? 'nowhere' : recordAt(machine, state, broker);
  if (typeof record === 'string') throw new Error(record);
  return record;
}

export function printRecord(record: SessionRecord): string {
  return JSON.stringify({ version: RECORD_VERSION, ...record });
}

export const NOT_LOGGED_IN: Remembered = { reason: 'unknown_session', message: 'not logged in' };

/** What is known of a session without asking anybody: that it is over, or that there is none. */
export function refusedByRecord(record: SessionRecord | undefined): Remembered | undefined {
  return record?.ended ?? (record?.session ? undefined : NOT_LOGGED_IN);
}

export function parseRecord(text: string): SessionRecord | undefined {
  const value = parseJson(text);
  if (!isObject(value) || value.version !== RECORD_VERSION) return undefined;
  const { broker, endpoints, audiences, limits, kept_in, session, minted_local, ended, unvouched } = value;
  const { not_admitted } = value;
  if (!isEndpoints(endpoints) || !isPlace(kept_in) || !isSeconds(minted_local)) return undefined;
  if (typeof broker !== 'string' || !isAudiences(audiences)) return undefined;
  if (limits !== undefined && !areLimits(limits)) return undefined;
  if (session !== undefined && !isWireSession(session)) return undefined;
  if (not_admitted !== undefined && !isTexts(not_admitted)) return undefined;
  if (ended !== undefined && !isRemembered(ended)) return undefined;
  if (unvouched !== undefined && typeof unvouched !== 'string') return undefined;
  return { broker, endpoints, audiences, limits, kept_in, session, minted_local, not_admitted, ended, unvouched };
}

function isAudiences(value: unknown): value is Readonly<Record<string, string>> {
  return isObject(value) && Object.values(value).every((audience) => typeof audience === 'string');
}

function areLimits(value: unknown): value is Readonly<Record<string, ResolvedLimits>> {
  return isObject(value) && Object.values(value).every(isResolvedLimits);
}

function isEndpoints(value: unknown): value is Endpoints {
  if (!isObject(value)) return false;
  const { token_endpoint, revocation_endpoint, sessions_endpoint = '' } = value;
  return [token_endpoint, revocation_endpoint, sessions_endpoint].every((endpoint) => typeof endpoint === 'string');
}

function isPlace(value: unknown): value is Place {
  return value === 'keychain' || value === 'file' || value === 'memory';
}

/** The addresses of one broker; kept with the session, so that a renewal is one round trip. */
export interface Endpoints {
  readonly token_endpoint: string;
  readonly revocation_endpoint: string;
  /** Absent in the record of an earlier version. */
  readonly sessions_endpoint?: string | undefined;
}
