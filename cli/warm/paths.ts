// Where our files are. Reads names from the environment alone; part of the warm path, so it loads nothing.

import type { Environment, Reader } from './machine.ts';

/**
 * The directory for tokens (valid for minutes): `CURFEW_CACHE_DIR`, else beside the login session, else the XDG cache.
 *
 * @returns `undefined` when the environment names none that is absolute.
 */
export function cacheDirectory(env: Environment, reader: Reader): string | undefined {
  if (env.CURFEW_CACHE_DIR) return absolute(env.CURFEW_CACHE_DIR);
  const runtime = runtimeDirectory(env, reader);
  if (runtime) return runtime;
  const base = absolute(env.XDG_CACHE_HOME) ?? beneathHome(env, '.cache');
  return base && `${base}/curfew`;
}

/** The directory that ends with the login session, where the system has one that is ours. */
export function runtimeDirectory(env: Environment, { files, uid }: Reader): string | undefined {
  const runtime = absolute(env.XDG_RUNTIME_DIR);
  // After `sudo -E` or `su` it may be another person's: then it is not for us.
  const stat = runtime === undefined ? undefined : files.lstat(runtime);
  return stat?.kind === 'directory' && (uid === undefined || stat.uid === uid) ? `${runtime}/curfew` : undefined;
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
  return plainBrokerKey(url) ?? (URL.canParse(url) ? new URL(url).href.replace(/\/+$/, '') : url);
}

/** The same without `URL`, which the native program does not have, for what `setup` writes: `undefined` for what is less plain. */
export function plainBrokerKey(url: string): string | undefined {
  const [, scheme, host = '', port, path = ''] = PLAIN.exec(url) ?? [];
  if (scheme === undefined || Number(port ?? 0) > 65_535) return undefined;
  // A last label of digits may be another way to write an IPv4 address, and `xn--` may be nonsense: `URL` knows.
  if ((NUMBER_LAST.test(host) && !IPV4.test(host)) || host.includes('xn--') || DOTS.test(path)) return undefined;
  const usual = port === undefined || port === (scheme === 'https' ? '443' : '80');
  return `${scheme}://${host}${usual ? '' : `:${port}`}${path.replace(/\/+$/, '')}`;
}

const PLAIN = /^(https?):\/\/([a-z0-9-]+(?:\.[a-z0-9-]+)*)(?::([1-9][0-9]{0,4}))?((?:\/[A-Za-z0-9._~-]*)*)$/;
const NUMBER_LAST = /(?:^|\.)(?:0x[0-9a-f]*|[0-9]+)$/;
const IPV4 = /^(?:(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(?:\.(?!$)|$)){4}$/;
const DOTS = /\/\.{1,2}(?:\/|$)/;

export function absolute(path: string | undefined): string | undefined {
  return path && /^(\/|[A-Za-z]:[\\/])/.test(path) ? path.replace(/(?<=.)[\\/]+$/, '') : undefined;
}

export function beneathHome(env: Environment, name: string): string | undefined {
  const home = absolute(env.HOME) ?? absolute(env.USERPROFILE);
  return home && `${home}/${name}`;
}
