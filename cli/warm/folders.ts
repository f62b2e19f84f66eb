// Which folder holds the settings. Whoever wrote a kubeconfig also chose the environment of what kubectl runs (`exec.env`),
// so that alone moves nobody's trust to another folder. Part of the warm path: loads nothing.

import { parseJson } from '../../shared/json.ts';
import { isObject } from '../../shared/wire.ts';
import type { Environment, Reader } from './machine.ts';
import { absolute, beneathHome } from './paths.ts';
import { readOurs } from './read_cache.ts';

/** Whether kubectl runs this, or says so: then the environment and the arguments are the kubeconfig's author's as well. */
export function isRunByKubectl(env: Environment): boolean {
  return Boolean(env.KUBERNETES_EXEC_INFO);
}

/**
 * The directory for what outlives a boot: settings, facts of sessions, secrets where there is no keychain. Run by kubectl,
 * another than the usual one counts only where `folders.json` of the usual one names it, as `setup` and `login` write it.
 *
 * @returns `undefined` where the environment names none that is absolute
 */
export function configDirectory(env: Environment, reader: Reader): string | undefined {
  const usual = usualDirectory(env);
  const chosen = chosenDirectory(env);
  if (chosen === undefined || chosen === usual) return usual;
  if (!isRunByKubectl(env)) return chosen || undefined;
  return usual !== undefined && namedFolders(reader, usual).includes(chosen) ? chosen : usual;
}

/** The one of the person's home, whatever else the environment says. */
export function usualDirectory(env: Environment): string | undefined {
  const base = beneathHome(env, '.config');
  return base && `${base}/curfew`;
}

/** The one that the environment chose in place of the usual one. Empty where it is not an absolute path. */
export function chosenDirectory(env: Environment): string | undefined {
  if (env.CURFEW_CONFIG_DIR) return absolute(env.CURFEW_CONFIG_DIR) ?? '';
  const base = absolute(env.XDG_CONFIG_HOME);
  return base && `${base}/curfew`;
}

export function foldersFile(usual: string): string {
  return `${usual}/folders.json`;
}

/** @returns none where the file is missing, or not plainly ours */
export function namedFolders(reader: Reader, usual: string): readonly string[] {
  const content = readOurs(reader, foldersFile(usual))?.content;
  if (content === undefined) return [];
  const value = parseJson(content);
  const { folders } = isObject(value) ? value : {};
  return Array.isArray(folders) ? folders.filter((folder) => typeof folder === 'string') : [];
}
