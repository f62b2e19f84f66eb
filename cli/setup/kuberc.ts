// kuberc, where kubectl reads which plugins it may run: what to add for this one, and adding it.

import { isAbsolute } from 'node:path';
import { isObject } from '../../shared/wire.ts';
import { kubercFile, readAllowed } from '../audit/kuberc.ts';
import { checkKuberc, fieldOf, readsKuberc } from '../doctor/machine.ts';
import type { Owner, Program } from '../host/host.ts';
import { launcherOf } from '../host/launcher.ts';
import { allowIn, disallowIn } from '../kubeconfig/kuberc_text.ts';
import { oneLine } from '../warm/one_line.ts';
import { readIn, type Writer } from './writer.ts';

type KubercHost = Owner & Program;

/** What to add, in the words of the kubectl that is here; nothing for one that reads no list of plugins. */
export function sayKuberc(host: KubercHost, minor: number | undefined): readonly string[] {
  const { policy } = readAllowed(host);
  if (minor === undefined ? policy === 'AllowAll' : !readsKuberc(minor)) return [];
  const { ok, todo } = checkKuberc(host, minor);
  if (!ok) return ['kuberc does not let kubectl run this plugin yet:', `  ${todo}`];
  const entry = `- ${fieldOf(minor)}: ${launcherOf(host)}`;
  return policy === 'AllowAll'
    ? ['if your kuberc has a credentialPluginAllowlist, add to it:', `  ${entry}`]
    : ['kuberc lets kubectl run this plugin, as:', `  ${entry}`];
}

/** @param files the kubeconfigs: what they call stays allowed where kuberc had no list before. @throws CurfewError `configuration` */
export async function allowInKuberc(
  host: KubercHost,
  writer: Pick<Writer, 'read' | 'edit'>,
  minor: number | undefined,
  files: readonly string[],
): Promise<readonly string[]> {
  const file = kubercFile(host);
  if (file === undefined) return ['kuberc is not written: the environment says that kubectl does not read it'];
  if (!readsKuberc(minor)) return ['kuberc is not written: this kubectl reads no list of plugins there'];
  const [launcher, used] = [launcherOf(host), usedPlugins(writer, files)];
  const before = writer.read(file);
  await writer.edit(file, (text) => allowIn(text, fieldOf(minor), launcher, used));
  if (writer.read(file) === before) return [`${file} is as it was: it lets kubectl run this plugin`];
  if (/^credentialPluginPolicy:/m.test(before)) return [`${file} lets kubectl run this plugin`];
  const others = used.filter((command) => command !== launcher).map(oneLine);
  const and = others.length === 0 ? '' : `, and what your kubeconfigs call already: ${others.join(', ')}`;
  return [`${file} lets kubectl run this plugin${and}; no others from now on`];
}

/** @returns what stays */
export async function takeFromKuberc(
  host: KubercHost,
  writer: Pick<Writer, 'read' | 'edit'>,
  wanted: boolean,
): Promise<readonly string[]> {
  const [file, launcher] = [kubercFile(host), launcherOf(host)];
  if (file === undefined) return [];
  const before = writer.read(file);
  if (!before.includes(launcher)) return [];
  if (!wanted) return [`the entry in ${file}, which --write-kuberc takes away too`];
  await writer.edit(file, (text) => disallowIn(text, launcher));
  return writer.read(file) === before
    ? [`what ${file} says of it`]
    : [`credentialPluginPolicy in ${file}: other plugins`];
}

/** What kubectl runs by these files, as it is written there; relative paths cannot be named in kuberc. */
function usedPlugins(writer: Pick<Writer, 'read'>, files: readonly string[]): readonly string[] {
  const commands = files.flatMap((file) =>
    readIn(writer, file)
      .entries('users')
      .flatMap(({ user }) => {
        const exec = isObject(user) && isObject(user.exec) ? user.exec : {};
        return typeof exec.command === 'string' && exec.command !== '' ? [exec.command] : [];
      }),
  );
  return [...new Set(commands)].filter((command) => isAbsolute(command) || !/[\\/]/.test(command));
}
