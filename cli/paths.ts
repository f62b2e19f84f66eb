// Where our files stand. Reads names from the environment alone; part of the warm path, so it loads nothing but node:fs.

import { lstatSync } from 'node:fs';

export type Environment = Readonly<Record<string, string | undefined>>;

/** The person's user id, or `undefined` where the system has none (Windows). */
export type UserId = number | undefined;

/**
 * The directory for tokens (minutes to live): `CURFEW_CACHE_DIR`, else beside the login session, else the XDG cache.
 *
 * @returns `undefined` when the environment names none that is absolute.
 */
export function cacheDirectory(env: Environment, uid: UserId): string | undefined {
  if (env.CURFEW_CACHE_DIR) return absolute(env.CURFEW_CACHE_DIR);
  const runtime = absolute(env.XDG_RUNTIME_DIR);
  // After `sudo -E` or `su` it may be another person's: then it is not for us.
  if (runtime && isOurs(runtime, uid)) return `${runtime}/curfew`;
  const base = absolute(env.XDG_CACHE_HOME) ?? beneathHome(env, '.cache');
  return base && `${base}/curfew`;
}

/** The directory for what outlives a boot: settings, facts of sessions, secrets where there is no keychain. */
export function configDirectory(env: Environment): string | undefined {
  if (env.CURFEW_CONFIG_DIR) return absolute(env.CURFEW_CONFIG_DIR);
  const base = absolute(env.XDG_CONFIG_HOME) ?? beneathHome(env, '.config');
  return base && `${base}/curfew`;
}

/** A name as one part of a path. What is too long for a file name is cut, and told apart by a checksum. */
export function fileName(...parts: readonly string[]): string {
  const name = parts.map(encodeURIComponent).join(',');
  if (name.length <= 180) return name;
  let [a, b] = [0x811c9dc5, 0x01000193];
  for (let i = 0; i < name.length; i++) {
    a = Math.imul(a ^ name.charCodeAt(i), 0x01000193);
    b = Math.imul(b + name.charCodeAt(i), 0x85ebca6b) ^ (b >>> 13);
  }
  return `${name.slice(0, 160)}~${(a >>> 0).toString(16)}${(b >>> 0).toString(16)}`;
}

/** A broker's URL as the key of everything that is kept about it. */
export function brokerKey(url: string): string {
  return URL.canParse(url) ? new URL(url).href.replace(/\/+$/, '') : url;
}

export function absolute(path: string | undefined): string | undefined {
  return path && /^(\/|[A-Za-z]:[\\/])/.test(path) ? path.replace(/(?<=.)[\\/]+$/, '') : undefined;
}

export function beneathHome(env: Environment, name: string): string | undefined {
  const home = absolute(env.HOME) ?? absolute(env.USERPROFILE);
  return home && `${home}/${name}`;
}

function isOurs(path: string, uid: UserId): boolean {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  return stat?.isDirectory() === true && (uid === undefined || stat.uid === uid);
}
