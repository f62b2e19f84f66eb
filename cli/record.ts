// What is remembered of a login beside its secrets: who, where, since when, and where the secrets are. No secret stands here.

import { existsSync, readdirSync } from 'node:fs';
import { isSeconds, type Seconds } from '../shared/time.ts';
import { isObject, isWireSession, type WireSession } from '../shared/wire.ts';
import type { Endpoints } from './broker.ts';
import { isRemembered, type Remembered } from './cache/entry.ts';
import { readOurs } from './cache/read.ts';
import { makePrivateDirectory, writeWhole } from './files.ts';
import { configDirectoryOf, type Host } from './host.ts';
import { fileName } from './paths.ts';

const VERSION = 1;

export interface SessionRecord {
  readonly broker: string;
  readonly endpoints: Endpoints;
  /** Of each cluster, by name, as the metadata told. */
  readonly audiences: Readonly<Record<string, string>>;
  readonly kept_in: 'keychain' | 'file';
  /** The login's session; absent after a logout. */
  readonly session?: WireSession | undefined;
  /** Our clock when the broker told of the session. */
  readonly minted_local: Seconds;
  /** Why the session is over, once the broker has said so. */
  readonly ended?: Remembered | undefined;
  /** Why the identity provider vouches for this login no more, in words for a person. */
  readonly unvouched?: string | undefined;
}

function recordFile(host: Host, broker: string): string {
  return `${configDirectoryOf(host)}/sessions/${fileName(broker)}.json`;
}

/** @returns `undefined` when there is none that can be used: then nobody is logged in. */
export function readRecord(host: Host, broker: string): SessionRecord | undefined {
  const text = readOurs(host, recordFile(host, broker));
  if (text === undefined) return undefined;
  const record = text.fault === undefined ? parseRecord(text.content) : undefined;
  if (record?.broker === broker) return record;
  host.say(`${recordFile(host, broker)} ${text.fault ?? 'is not a record of a login here'}; going on without`);
  return undefined;
}

/** @throws the system's error when it cannot be written */
export function writeRecord(host: Host, record: SessionRecord): void {
  const directory = `${configDirectoryOf(host)}/sessions`;
  const fault = makePrivateDirectory(directory, host);
  if (fault !== undefined) throw new Error(`${directory} ${fault}`);
  writeWhole(recordFile(host, record.broker), JSON.stringify({ version: VERSION, ...record }), host);
}

/** The records of all brokers that can be read. */
export function listRecords(host: Host): readonly SessionRecord[] {
  const directory = `${configDirectoryOf(host)}/sessions`;
  if (!existsSync(directory)) return [];
  const names = readdirSync(directory).filter((name) => name.endsWith('.json'));
  return names.flatMap((name) => {
    const text = readOurs(host, `${directory}/${name}`);
    const record = text?.content === undefined ? undefined : parseRecord(text.content);
    return record ? [record] : [];
  });
}

function parseRecord(text: string): SessionRecord | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isObject(value) || value.version !== VERSION) return undefined;
  const { broker, endpoints, audiences, kept_in, session, minted_local, ended, unvouched } = value;
  if (!isEndpoints(endpoints) || (kept_in !== 'keychain' && kept_in !== 'file') || !isSeconds(minted_local))
    return undefined;
  if (typeof broker !== 'string' || !isAudiences(audiences)) return undefined;
  if (session !== undefined && !isWireSession(session)) return undefined;
  if (ended !== undefined && !isRemembered(ended)) return undefined;
  if (unvouched !== undefined && typeof unvouched !== 'string') return undefined;
  return { broker, endpoints, audiences, kept_in, session, minted_local, ended, unvouched };
}

function isAudiences(value: unknown): value is Readonly<Record<string, string>> {
  return isObject(value) && Object.values(value).every((audience) => typeof audience === 'string');
}

function isEndpoints(value: unknown): value is Endpoints {
  if (!isObject(value)) return false;
  const { token_endpoint, revocation_endpoint, sessions_endpoint = '' } = value;
  return [token_endpoint, revocation_endpoint, sessions_endpoint].every((endpoint) => typeof endpoint === 'string');
}
