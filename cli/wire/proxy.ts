// Which proxy a request goes through, by the environment: as kubectl decides it (golang.org/x/net/http/httpproxy), so that both
// take the same way. What cannot be understood is an error: nothing goes past a proxy in silence.

import { BlockList, isIP } from 'node:net';
import { CurfewError } from '../../shared/errors.ts';
import type { Environment } from '../warm/machine.ts';

export interface ProxyServer {
  /** Scheme, user, host and port, for `proxyEnv` of an agent. May carry a password: never shown. */
  readonly url: string;
  /** `HOST:PORT`, to be shown. */
  readonly host: string;
  /** The variable that names it. */
  readonly variable: string;
}

/**
 * @param target an https URL of a host that is not this machine
 * @returns `undefined` where it is asked directly
 * @throws CurfewError `configuration` that names the variable, and never shows its value
 */
export function proxyFor(env: Environment, target: URL): ProxyServer | undefined {
  const found = firstOf(env, 'HTTPS_PROXY', 'https_proxy');
  if (!found || isExempt(firstOf(env, 'NO_PROXY', 'no_proxy')?.value ?? '', target)) return undefined;
  return { ...parse(found), variable: found.variable };
}

interface Found {
  readonly variable: string;
  readonly value: string;
}

function firstOf(env: Environment, ...names: readonly string[]): Found | undefined {
  return names.flatMap((variable) => (env[variable] ? [{ variable, value: env[variable] }] : []))[0];
}

/** Without a scheme it is http. */
function parse({ variable, value }: Found): Omit<ProxyServer, 'variable'> {
  const text = /^[a-z][a-z0-9+.-]*:\/\//i.test(value) ? value : `http://${value}`;
  const hint = `set ${variable} to http://HOST:PORT or https://HOST:PORT, with special characters of a password as %XX`;
  if (!URL.canParse(text)) throw new CurfewError('configuration', `${variable} is not a proxy's address`, { hint });
  const { protocol, username, password, hostname, port } = new URL(text);
  if (protocol !== 'http:' && protocol !== 'https:') {
    const scheme = protocol.slice(0, -1);
    throw new CurfewError('configuration', `${variable}: proxies of the kind ${scheme} are not supported`, { hint });
  }
  if (hostname === '') throw new CurfewError('configuration', `${variable} does not name a host`, { hint });
  const host = `${hostname}:${port === '' ? (protocol === 'http:' ? '80' : '443') : port}`;
  const user = username === '' && password === '' ? '' : `${username}${password === '' ? '' : `:${password}`}@`;
  return { url: `${protocol}//${user}${host}`, host };
}

/** Whether `NO_PROXY` keeps a host off the proxy. */
function isExempt(list: string, target: URL): boolean {
  const host = target.hostname.toLowerCase().replace(/^\[(.*)\]$/, '$1');
  const port = target.port === '' ? '443' : target.port;
  return list.split(',').some((entry) => matches(entry.trim().toLowerCase(), host, port));
}

/** A domain means its hosts too, `.domain` and `*.domain` these alone; an address, a block of addresses, `*`; each but the last two with `:port`. */
function matches(entry: string, host: string, port: string): boolean {
  if (entry === '') return false;
  if (entry === '*') return true;
  const [, block = '', length] = /^(.+)\/(\d{1,3})$/.exec(entry) ?? [];
  if (length !== undefined && isIP(block) !== 0 && Number(length) <= (isIP(block) === 4 ? 32 : 128)) {
    return isIP(host) === isIP(block) && listOf(block, Number(length)).check(host, familyOf(host));
  }
  const [name, only] = splitPort(entry);
  if (name === '' || (only !== undefined && only !== port && only !== '')) return false;
  if (isIP(name) !== 0) return isIP(host) !== 0 && listOf(name).check(host, familyOf(host));
  const domain = name.replace(/^\*(?=\.)/, '');
  return domain.startsWith('.') ? host.endsWith(domain) : host === domain || host.endsWith(`.${domain}`);
}

function splitPort(entry: string): readonly [string, string | undefined] {
  const [, bracketed, plain, port] = /^(?:\[(.*)\]|([^:]*)):([^:]*)$/.exec(entry) ?? [];
  return port === undefined ? [entry, undefined] : [bracketed ?? plain ?? '', port];
}

function listOf(address: string, prefix?: number): BlockList {
  const list = new BlockList();
  if (prefix === undefined) list.addAddress(address, familyOf(address));
  else list.addSubnet(address, prefix, familyOf(address));
  return list;
}

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return isIP(address) === 6 ? 'ipv6' : 'ipv4';
}
