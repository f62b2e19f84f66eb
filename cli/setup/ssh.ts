// What `setup --ssh` writes: for each broker a file of blocks for its targets, and one line in ~/.ssh/config that includes all of them.

import { existsSync, readdirSync } from 'node:fs';
import { CurfewError } from '../../shared/errors.ts';
import type { MetadataTarget } from '../../shared/targets.ts';
import { requireOwnPlace } from '../host/config.ts';
import { cacheDirectoryOf, configDirectoryOf, type Host, type Owner, type Program } from '../host/host.ts';
import { quote } from '../host/launcher.ts';
import { TextFault } from '../kubeconfig/yaml.ts';
import { isPlainName, requirePlainPath, requirePlainWord, sshFiles } from '../ssh/files.ts';
import {
  includeLine,
  sshSettingsFile,
  sshSettingsFolder,
  userSshConfig,
  withInclude,
  withoutInclude,
} from '../ssh/include.ts';
import { oneLine } from '../warm/one_line.ts';
import type { Writer } from './writer.ts';

type SshHost = Owner & Program;

export interface SshSetup {
  readonly broker: string;
  readonly targets: readonly MetadataTarget[];
  /** What ssh runs: an absolute path. */
  readonly command: string;
  readonly ca_file?: string | undefined;
}

/** @returns the text, and the names of targets in it and of those that cannot be */
export function sshText(host: SshHost, { broker, targets, command, ca_file }: SshSetup) {
  const ssh = targets.filter(({ kind }) => kind === 'ssh').map(({ name }) => name);
  const [names, odd] = [ssh.filter(isPlainName), ssh.filter((name) => !isPlainName(name))];
  const blocks = names.map((name) => block(host, name, { broker, command, ca_file }));
  const text = [
    `# Written by kubectl-curfew setup --ssh, for ${oneLine(broker)}: what is changed here is lost.\n`,
    ...blocks,
  ];
  return { text: text.join('\n'), names, odd };
}

/**
 * Where what is needed cannot be had, ssh goes nowhere: never past the gateway. The rest is in a file that is made with the certificate.
 */
function block(host: SshHost, name: string, { broker, command, ca_file }: Omit<SshSetup, 'targets'>): string {
  const { config } = sshFiles(host, broker, name);
  const flags = ca_file === undefined ? [] : ['--ca-file', ca_file];
  const words = ['env', ...folders(host), command, 'ssh-ready', name, '--broker', broker, ...flags];
  for (const word of words) requirePlainWord(word);
  const ready = words.map((word) => (/^[\w./:=-]+$/.test(word) ? word : quote(word))).join(' ');
  return `Match originalhost ${name} exec "${ready.replaceAll('%', '%%')}"
  Include "${config}"
Match originalhost ${name}
  ProxyCommand false
`;
}

/** ssh may be run where the environment says otherwise, or nothing: what is written has to be where it is read. */
function folders(host: SshHost): readonly string[] {
  return [`CURFEW_CONFIG_DIR=${configDirectoryOf(host)}`, `CURFEW_CACHE_DIR=${cacheDirectoryOf(host)}`];
}

/** Before anything is written. @throws CurfewError `configuration` where there is nothing for ssh */
export function requireSshTargets(targets: readonly MetadataTarget[] = []): void {
  if (targets.some(({ kind }) => kind === 'ssh')) return;
  throw new CurfewError('configuration', 'the broker has no target of kind ssh', { hint: 'ask who runs the broker' });
}

/** @returns what was done, in lines */
export async function writeSsh(host: SshHost, writer: Writer, setup: SshSetup): Promise<readonly string[]> {
  refuseWindows(host);
  const [folder, file, user] = [sshSettingsFolder(host), sshSettingsFile(host, setup.broker), userSshConfig(host)];
  requireOwnPlace(host, folder);
  requirePlainPath(folder);
  const { text, names, odd } = sshText(host, setup);
  writer.folder(folder);
  writer.folder(user.slice(0, user.lastIndexOf('/')));
  await writer.edit(file, () => text, 'plain');
  await writer.edit(user, (before) => withInclude(before, includeLine(folder)), 'plain');
  return [
    `wrote ${file}, which ${user} includes`,
    ...names.map((name) => `  ssh ${name}`),
    ...odd.map((name) => `  not ${oneLine(JSON.stringify(name))}: ssh would understand that name otherwise`),
  ];
}

/** `--output`: the text for itself, for whoever includes it. @throws CurfewError `configuration` where the file is there already */
export async function writeSshApart(
  host: SshHost,
  writer: Pick<Writer, 'edit'>,
  file: string,
  setup: SshSetup,
): Promise<readonly string[]> {
  refuseWindows(host);
  const { text, names } = sshText(host, setup);
  await writer.edit(
    file,
    (before) => {
      if (before !== '') throw new TextFault(' is there already: name another file');
      return text;
    },
    'plain',
  );
  return [`wrote ${file}, for ${names.join(', ') || 'no target'}; it calls ${setup.command}`];
}

/** After a change at the broker, where it was set up before. */
export async function refreshSsh(host: SshHost, writer: Writer, setup: SshSetup): Promise<readonly string[]> {
  const file = sshSettingsFile(host, setup.broker);
  if (!existsSync(file)) return [];
  const { text } = sshText(host, setup);
  if (writer.read(file) === text) return [];
  await writer.edit(file, () => text, 'plain');
  return [`wrote ${file}`];
}

/** @returns what was done, in lines */
export async function removeSsh(host: SshHost, writer: Writer, broker: string): Promise<readonly string[]> {
  const [folder, file] = [sshSettingsFolder(host), sshSettingsFile(host, broker)];
  if (!existsSync(file)) return [];
  const others = readdirSync(folder).filter((name) => name.endsWith('.conf') && `${folder}/${name}` !== file);
  writer.remove(file);
  const user = userSshConfig(host);
  const line = includeLine(folder);
  if (others.length > 0 || withoutInclude(writer.read(user), line) === writer.read(user)) return [`removed ${file}`];
  await writer.edit(user, (text) => withoutInclude(text, line), 'plain');
  return [`removed ${file}, and the line for it from ${user}`];
}

function refuseWindows({ platform }: Pick<Host, 'platform'>): void {
  if (platform !== 'win32') return;
  const hint = 'use: kubectl curfew ssh TARGET';
  throw new CurfewError('configuration', 'ssh of Windows cannot be set up', { hint });
}
