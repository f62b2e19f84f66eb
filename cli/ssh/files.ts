// Where the key and the certificates of a session are: in a folder of the cache, one for each broker, gone at logout. ssh reads them.

import { createHash } from 'node:crypto';
import { readdirSync, rmSync } from 'node:fs';
import { CurfewError } from '../../shared/errors.ts';
import { makePrivateDirectory } from '../host/files.ts';
import { cacheDirectoryOf } from '../host/host.ts';
import { sshFolder } from '../session/ssh_folder.ts';
import type { OwnFiles } from '../warm/machine.ts';

export interface SshFiles {
  readonly folder: string;
  /** The private key of a session; its public half has `.pub` behind it. */
  readonly key: (sid: string) => string;
  readonly certificate: string;
  readonly known_hosts: string;
  /** What `ssh` is told, as a file that its configuration includes. */
  readonly config: string;
  /** What the certificate is for, and until when. */
  readonly state: string;
}

/** Names that mean themselves in ssh's configuration, in a shell and in a path. */
export function isPlainName(name: string): boolean {
  return /^[A-Za-z0-9_][A-Za-z0-9._-]*$/.test(name);
}

/** @throws CurfewError `configuration` where the cache cannot hold them, `usage` for a name that ssh would understand otherwise */
export function sshFiles(host: OwnFiles, broker: string, target: string, account?: string): SshFiles {
  if (!isPlainName(target))
    throw new CurfewError(
      'usage',
      `the target ${JSON.stringify(target)} has a name that ssh would understand otherwise`,
      {
        hint: 'ask who runs curfew-broker for a name of letters, digits, ".", "_" and "-"',
      },
    );
  const folder = sshFolder(cacheDirectoryOf(host), broker);
  requirePlainPath(folder);
  const other = account === undefined ? '' : `,${createHash('sha256').update(account).digest('hex').slice(0, 12)}`;
  const base = `${folder}/${target}${other}`;
  return {
    folder,
    key: (sid) => `${folder}/${createHash('sha256').update(sid).digest('hex').slice(0, 16)}.key`,
    certificate: `${base}-cert.pub`,
    known_hosts: `${base}.hosts`,
    config: `${base}.conf`,
    state: `${base}.json`,
  };
}

/** A path that means itself where ssh reads a file of settings (also as a pattern), and where a shell reads a command. @throws CurfewError `configuration` */
export function requirePlainPath(path: string): void {
  requirePlainWord(path.replaceAll(/[%*?[\]]/g, '"'), path);
}

/** The same of a word that is no path. @throws CurfewError `configuration` */
export function requirePlainWord(word: string, shown = word): void {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: whatever would end a line, or begin another word
  if (!/["'\\$`\u0000-\u001f\u007f]/.test(word)) return;
  throw new CurfewError(
    'configuration',
    `ssh cannot be told of ${JSON.stringify(shown)}: it would understand it otherwise`,
    {
      hint: 'set CURFEW_CONFIG_DIR and CURFEW_CACHE_DIR to folders of plain letters',
    },
  );
}

/** @throws CurfewError `configuration` */
export function makeSshFolder(host: OwnFiles, { folder }: Pick<SshFiles, 'folder'>): void {
  for (const directory of [cacheDirectoryOf(host), folder.slice(0, folder.lastIndexOf('/')), folder]) {
    const fault = makePrivateDirectory(directory, host);
    if (fault !== undefined) {
      const hint = 'chmod 0700 it, take it away, or set CURFEW_CACHE_DIR: keys are in no folder that others can open';
      throw new CurfewError('configuration', `${directory} ${fault}`, { hint });
    }
  }
}

/** Of sessions before this one. */
export function sweepKeys(files: SshFiles, sid: string): void {
  const kept = files.key(sid);
  for (const name of readdirSync(files.folder)) {
    const file = `${files.folder}/${name}`;
    if (/\.key(\.pub)?$/.test(name) && !file.startsWith(kept)) rmSync(file, { force: true });
  }
}
