// The token cache as the slow path uses it: reads with a word about what is wrong, writes whole, forgets at a login.

import { readdirSync } from 'node:fs';
import { parseJson } from '../../shared/json.ts';
import { isSeconds } from '../../shared/time.ts';
import { isObject } from '../../shared/wire.ts';
import { codeOf } from '../host/error_code.ts';
import { makePrivateDirectory, removeFile, removeFolder, sweep, writeWhole } from '../host/files.ts';
import { cacheDirectoryOf, type Host } from '../host/host.ts';
import { checksum } from '../warm/checksum.ts';
import { type Entry, entryName, isWhole, type Key, parseEntry, printEntry } from '../warm/entry.ts';
import type { OwnFiles, Reader } from '../warm/machine.ts';
import { fileName } from '../warm/paths.ts';
import { readEntry, readOurs } from '../warm/read_cache.ts';
import { WARNED } from '../warm/warning.ts';
import { sshFolder } from './ssh_folder.ts';

export interface Cache {
  /** Set when the directory must not be used: everything works without it, only slower. */
  readonly directory: string | undefined;
  read(key: Key): Entry | undefined;
  /** Never fails: a cache that cannot be written costs a round trip, not the call. */
  write(entry: Entry): void;
  /** Deletes all entries of a broker, and keys and certificates for ssh: nothing outlives its login. */
  forget(broker: string): void;
  /** All entries of a broker that can be read. */
  list(broker: string): readonly Entry[];
}

/** Opens the cache; what is wrong with it is said once. */
export function openCache(host: OwnFiles & Pick<Host, 'now' | 'random' | 'say'>): Cache {
  const path = cacheDirectoryOf(host);
  const said = new Set<string>();
  const say = (fault: string) => {
    if (!said.has(fault)) host.say(`cache: ${fault}; continuing without`);
    said.add(fault);
  };
  const fault = makePrivateDirectory(path, host);
  if (fault !== undefined) say(`${path} ${fault}`);
  const directory = fault === undefined ? path : undefined;
  const names = (...parts: readonly string[]) => (directory === undefined ? [] : namesIn(directory, parts));

  return {
    directory,
    read(key) {
      if (directory === undefined) return undefined;
      const { entry, fault } = readEntry(host, directory, key);
      if (fault !== undefined) say(fault);
      return entry;
    },
    write(entry) {
      if (directory === undefined) return;
      try {
        sweep(directory, host);
        writeWhole(`${directory}/${entryName(entry)}`, printEntry(entry), host);
      } catch (error) {
        say(`${directory} cannot be written (${codeOf(error)})`);
      }
    },
    forget(broker) {
      for (const name of [...names(broker), ...names(WARNED, broker)]) {
        if (!removeFile(`${directory}/${name}`)) say(`${directory}/${name} cannot be removed`);
      }
      if (directory !== undefined && !removeFolder(sshFolder(directory, broker)))
        say(`${sshFolder(directory, broker)} cannot be removed`);
    },
    list(broker) {
      const files = names(broker).filter((name) => name.endsWith('.json'));
      return files.flatMap((name) => entryIn(host, `${directory}/${name}`, broker) ?? []);
    },
  };
}

/** Files that begin with these parts, as far as a name that is too long was not cut. */
function namesIn(directory: string, parts: readonly string[]): readonly string[] {
  const start = `${fileName(...parts)},`.slice(0, 160);
  return readdirSync(directory).filter((name) => name.startsWith(start));
}

/** The entry that a file holds, whatever key it is for. */
function entryIn(reader: Reader, file: string, broker: string): Entry | undefined {
  const content = readOurs(reader, file)?.content;
  const key = content === undefined ? undefined : keyInside(content, broker);
  if (content === undefined || !key || !isWhole(content, checksum)) return undefined;
  const entry = parseEntry(content, key);
  return typeof entry === 'string' ? undefined : entry;
}

function keyInside(text: string, broker: string): Key | undefined {
  const value = parseJson(text);
  if (!isObject(value) || typeof value.cluster !== 'string') return undefined;
  return { broker, cluster: value.cluster, max_age: isSeconds(value.max_age) ? value.max_age : undefined };
}
