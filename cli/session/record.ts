// What is remembered of a login beside its secrets: who, where, since when, and where the secrets are. No secret is kept here.

import { existsSync, readdirSync } from 'node:fs';
import { CurfewError } from '../../shared/errors.ts';
import { readConfig } from '../host/config.ts';
import { makePrivateDirectory, removeFile, writeWhole } from '../host/files.ts';
import { cacheDirectoryOf, configDirectoryOf, type Host } from '../host/host.ts';
import { configDirectory } from '../warm/folders.ts';
import type { OwnFiles } from '../warm/machine.ts';
import { runtimeDirectory } from '../warm/paths.ts';
import { readOurs } from '../warm/read_cache.ts';
import {
  parseRecord,
  printRecord,
  recordAt,
  recordFile,
  type SessionRecord,
  stateDirectory,
} from '../warm/session_record.ts';

/**
 * The directory for what is remembered of logins, by `secret_storage`.
 *
 * @throws CurfewError `configuration` where nothing may outlive the login session and there is no place that ends with it
 */
export function stateDirectoryOf(host: OwnFiles): string {
  const { secret_storage } = readConfig(host);
  const directory = stateDirectory(host.env, host, secret_storage);
  if (directory !== undefined) return directory;
  if (secret_storage !== 'memory') return configDirectoryOf(host);
  const hint = 'set another secret_storage in config.json';
  const runtime = runtimeDirectory(host.env, host);
  if (runtime === undefined) {
    const message = 'secret_storage: memory needs XDG_RUNTIME_DIR, a directory of yours';
    throw new CurfewError('configuration', message, { hint });
  }
  const message = `secret_storage: memory needs the cache beneath ${runtime}, not at ${cacheDirectoryOf(host)}`;
  throw new CurfewError('configuration', message, { hint: `unset CURFEW_CACHE_DIR, or ${hint}` });
}

/** @returns `undefined` when there is none that can be used: then nobody is logged in. */
export function readRecord(host: OwnFiles & Pick<Host, 'say'>, broker: string): SessionRecord | undefined {
  const state = stateDirectoryOf(host);
  const record = recordAt(host, state, broker);
  if (typeof record !== 'string') return record;
  host.say(`${recordFile(state, broker)} ${record}; continuing without`);
  return undefined;
}

/** @throws the system's error when it cannot be written */
export function writeRecord(host: OwnFiles & Pick<Host, 'random'>, record: SessionRecord): void {
  const state = stateDirectoryOf(host);
  const directory = `${state}/sessions`;
  const fault = makePrivateDirectory(directory, host);
  if (fault !== undefined) throw new Error(`${directory} ${fault}`);
  writeWhole(recordFile(state, record.broker), printRecord(record), host);
}

/** The record that an earlier `secret_storage` left elsewhere. */
export function strayRecord(host: OwnFiles, broker: string): SessionRecord | undefined {
  for (const other of otherDirectories(host)) {
    const record = recordAt(host, other, broker);
    if (typeof record === 'object') return record;
  }
  return undefined;
}

/** Takes the stray record away, whatever it is. */
export function removeStrayRecord(host: OwnFiles, broker: string): void {
  for (const other of otherDirectories(host)) removeFile(recordFile(other, broker));
}

/** Of a login that could not be kept, nothing of the one before is left. */
export function removeRecord(host: OwnFiles, broker: string): void {
  removeFile(recordFile(stateDirectoryOf(host), broker));
}

function otherDirectories(host: OwnFiles): readonly string[] {
  const state = stateDirectoryOf(host);
  const all = [configDirectory(host.env, host), runtimeDirectory(host.env, host)];
  return all.flatMap((directory) => (directory === undefined || directory === state ? [] : [directory]));
}

/** The records of all brokers that can be read. */
export function listRecords(host: OwnFiles): readonly SessionRecord[] {
  const directory = `${stateDirectoryOf(host)}/sessions`;
  if (!existsSync(directory)) return [];
  const names = readdirSync(directory).filter((name) => name.endsWith('.json'));
  return names.flatMap((name) => {
    const text = readOurs(host, `${directory}/${name}`);
    const record = text?.content === undefined ? undefined : parseRecord(text.content);
    return record ? [record] : [];
  });
}
