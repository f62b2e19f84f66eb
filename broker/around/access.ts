// How an administrator's kubeconfig leads to a cluster: an address, roots, and a credential. No program of it is run.

import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { parse } from 'yaml';
import { CurfewError } from '../../shared/errors.ts';
import { isObject } from '../../shared/wire.ts';

export interface Access {
  readonly context: string;
  readonly server: string;
  /** PEM; the system's where it is absent. */
  readonly ca?: string | undefined;
  readonly server_name?: string | undefined;
  /** One of them, or both. */
  readonly token?: string | undefined;
  readonly certificate?: { readonly cert: string; readonly key: string } | undefined;
}

type Fields = Readonly<Record<string, unknown>>;

/**
 * @param context without it, the current one
 * @throws CurfewError `configuration` where it leads nowhere, is not verified, or takes a program to be run
 */
export async function readAccess(file: string, context?: string): Promise<Access> {
  const wrong = (what: string, hint = 'give a kubeconfig with a token or a client certificate') =>
    new CurfewError('configuration', `${file}: ${what}`, { hint });
  const config = await load(file);
  const wanted = context ?? config['current-context'];
  if (typeof wanted !== 'string' || wanted === '') throw wrong('no current context', 'give --context NAME');
  const { cluster, user } = named(config, 'contexts', 'context', wanted) ?? {};
  const to = named(config, 'clusters', 'cluster', cluster);
  const as = named(config, 'users', 'user', user);
  if (!to || !as) throw wrong(`context ${wanted} leads to no cluster and user`, 'give --context NAME');
  const { server } = to;
  if (typeof server !== 'string' || !URL.canParse(server) || new URL(server).protocol !== 'https:')
    throw wrong(`context ${wanted}: its server is not an https address`);
  if (to['insecure-skip-tls-verify'] === true)
    throw wrong(`context ${wanted}: insecure-skip-tls-verify is set`, 'set certificate-authority-data instead');
  if (isObject(as.exec) || isObject(as['auth-provider']))
    throw wrong(`context ${wanted}: its user takes a program to be run, which is not done here`);
  const { username, password } = new URL(server);
  if (username !== '' || password !== '') throw wrong(`context ${wanted}: its server has user or password`);
  const text = (from: Fields, key: string) => textOf(file, from, key);
  const [ca, cert, key] = await Promise.all([
    text(to, 'certificate-authority'),
    text(as, 'client-certificate'),
    text(as, 'client-key'),
  ]);
  const token = typeof as.token === 'string' ? as.token : await tokenIn(file, as.tokenFile);
  const certificate = cert !== undefined && key !== undefined ? { cert, key } : undefined;
  if (token === undefined && !certificate) throw wrong(`context ${wanted}: its user has no token and no certificate`);
  const server_name = typeof to['tls-server-name'] === 'string' ? to['tls-server-name'] : undefined;
  return { context: wanted, server: server.replace(/\/+$/, ''), ca, server_name, token, certificate };
}

/** Words of a parser quote what they stumble over: none are passed on. */
async function load(file: string): Promise<Fields> {
  let value: unknown;
  try {
    value = parse(await readFile(file, 'utf8'), { version: '1.1', merge: true, logLevel: 'silent' });
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? ` (${String(cause.code)})` : '';
    throw new CurfewError('configuration', `${file} cannot be read${code}`, { hint: 'give a kubeconfig' });
  }
  if (isObject(value)) return value;
  throw new CurfewError('configuration', `${file} is not a kubeconfig`, { hint: 'give a kubeconfig' });
}

function named(config: Fields, list: string, field: string, name: unknown): Fields | undefined {
  const entries = config[list];
  const found: unknown = Array.isArray(entries) ? entries.find((one) => isObject(one) && one.name === name) : undefined;
  const value = isObject(found) ? found[field] : undefined;
  return isObject(value) ? value : undefined;
}

/** From `KEY-data`, or the file that `KEY` names. */
async function textOf(file: string, from: Fields, key: string): Promise<string | undefined> {
  const data = from[`${key}-data`];
  if (typeof data === 'string' && data !== '') return Buffer.from(data, 'base64').toString();
  return contentOf(file, from[key]);
}

async function tokenIn(file: string, name: unknown): Promise<string | undefined> {
  return (await contentOf(file, name))?.trim();
}

async function contentOf(file: string, name: unknown): Promise<string | undefined> {
  if (typeof name !== 'string' || name === '') return undefined;
  const path = resolve(dirname(file), name);
  try {
    return await readFile(path, 'utf8');
  } catch {
    throw new CurfewError('configuration', `${path} cannot be read`, { hint: `it is named in ${file}` });
  }
}
