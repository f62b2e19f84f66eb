// What `setup` changes: each file by its text. One writer writes, the other only says what would be written.

import { existsSync, readdirSync, rmdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { configFileOf, readConfig, settingsText, writeConfig } from '../host/config.ts';
import { makePrivateDirectory, removeFile } from '../host/files.ts';
import type { Host } from '../host/host.ts';
import { type Launcher, type LauncherHost, launcherFiles, launcherOf, writeLauncher } from '../host/launcher.ts';
import { editText, named, readText } from '../kubeconfig/kubeconfig.ts';
import { KubeconfigText } from '../kubeconfig/text.ts';
import type { Config } from '../warm/settings.ts';
import { diffOf, type Shown } from './shown.ts';

export interface Writer {
  /** As it is now, or would be. */
  readonly read: (file: string) => string;
  /** @param kind of file: what of it is shown in a rehearsal */
  readonly edit: (file: string, edit: (text: string) => string, kind?: Shown) => Promise<void>;
  /** Makes it, for us alone, where it is not there. */
  readonly folder: (directory: string) => void;
  readonly settings: (config: Config) => void;
  readonly launcher: () => Launcher;
  /** With its folder, where that is empty then. */
  readonly remove: (file: string) => void;
}

type WriterHost = LauncherHost & Pick<Host, 'random' | 'strange_home'>;

export function createWriter(host: WriterHost): Writer {
  return {
    read: readText,
    edit: (file, edit) => editText(host, file, edit),
    folder: (directory) => void makePrivateDirectory(directory, host),
    settings: (config) => writeConfig(host, config),
    launcher: () => writeLauncher(host),
    remove: (file) => {
      removeFile(file);
      const folder = dirname(file);
      if (existsSync(folder) && readdirSync(folder).length === 0) rmdirSync(folder);
    },
  };
}

export interface Rehearsal extends Writer {
  /** A diff of each file that would change, without context: nothing of others is shown. */
  readonly report: () => string;
}

/** Takes no lock, and changes nothing. */
export function createRehearsal(host: WriterHost): Rehearsal {
  const texts = new Map<string, { readonly before: string; after: string; kind?: Shown | undefined }>();
  const lines: string[] = [];
  const of = (file: string) => {
    const known = texts.get(file) ?? { before: readText(file), after: readText(file) };
    texts.set(file, known);
    return known;
  };
  return {
    read: (file) => texts.get(file)?.after ?? readText(file),
    folder: () => undefined,
    edit: async (file, edit, kind) => {
      const known = of(file);
      known.kind = kind;
      known.after = named(file, () => edit(known.after));
    },
    settings: (config) => {
      readConfig(host);
      of(configFileOf(host)).after = settingsText(config);
    },
    launcher: () => {
      lines.push(...launcherFiles(host).map((file) => `would write ${file}`));
      return { file: launcherOf(host) };
    },
    remove: (file) => {
      if (texts.has(file)) texts.delete(file);
      lines.push(`would remove ${file}`);
    },
    report: () => {
      const diffs = [...texts]
        .map(([file, { before, after, kind }]) => diffOf(file, before, after, kind))
        .filter(Boolean);
      if (diffs.length === 0 && lines.length === 0) return 'nothing would change\n';
      return `${[...diffs, ...lines].join('\n')}\n`;
    },
  };
}

/** As it is, or would be by now. @throws CurfewError `configuration` */
export function readIn(writer: Pick<Writer, 'read'>, file: string): KubeconfigText {
  return named(file, () => new KubeconfigText(writer.read(file)));
}
