// What a request is for, from the bytes of its path as they are forwarded: as kube-apiserver reads them (RequestInfoFactory of
// k8s.io/apiserver). Whatever two parsers could read differently is judged as reaching everything.

import { isId, type StreamKind } from '../../shared/gateway_events.ts';
import { EVERY } from '../../shared/policy.ts';
import { isDiscovery, type Reach, reachOfPath, reachOfResource } from '../../shared/reach.ts';
import { optional } from '../../shared/wire.ts';

/** A request as far as its path, query and method say. */
export interface Asked {
  readonly within: Reach;
  /** Whether the request, once it is let in, is a use of its session: what kubectl asks by itself beforehand is not. */
  readonly is_use: boolean;
  /** What may go on for hours, by its name in the audit log; `request` for all else. */
  readonly kind: StreamKind | 'request';
  readonly namespace?: string | undefined;
  /** With its subresource: `pods/exec`; a path where it is no resource. */
  readonly resource: string;
  readonly name?: string | undefined;
}

const EVERYTHING: Reach = { namespace: EVERY, resource: EVERY };
/** Segments that mean the same to everybody. */
const PLAIN = /^(?!\.+$)[A-Za-z0-9._:~-]+$/;
const SPECIAL = new Set(['proxy', 'watch']);
const NAMESPACE_SUBRESOURCES = new Set(['status', 'finalize']);
const VERBS: ReadonlyMap<string, string> = new Map([
  ['POST', 'create'],
  ['GET', 'get'],
  ['HEAD', 'get'],
  ['PUT', 'update'],
  ['PATCH', 'patch'],
  ['DELETE', 'delete'],
]);
const STREAMS: ReadonlySet<string> = new Set(['exec', 'attach', 'portforward', 'proxy']);

/** Subresources of which connections may be upgraded. */
export function isUpgradable({ kind }: Asked): boolean {
  return STREAMS.has(kind);
}

/**
 * @param url path and query, as they came
 * @param impersonates whether it is to be done in somebody else's name: then it reaches everything, as a webhook judges it too
 */
export function targetOf(method: string, url: string, impersonates: boolean): Asked {
  // An API server reads `#` as any other character: no path ends there.
  const end = url.indexOf('?');
  const [path, query] = end < 0 ? [url, ''] : [url.slice(0, end), url.slice(end + 1)];
  // URLSearchParams drops a question mark in front; an API server reads a second one as part of the first name.
  const asked = readPath(method, path, new URLSearchParams(`?${query}`));
  return impersonates ? { ...asked, within: EVERYTHING } : asked;
}

function readPath(method: string, path: string, query: URLSearchParams): Asked {
  const strange: Asked = { within: EVERYTHING, is_use: true, kind: 'request', resource: path };
  const segments = path.replace(/^\/+|\/+$/g, '').split('/');
  const [prefix, ...rest] = segments;
  const isApi = (prefix === 'api' && rest.length >= 2) || (prefix === 'apis' && rest.length >= 3);
  if (!isApi) {
    const verb = method.toLowerCase();
    return { ...strange, within: reachOfPath(path, verb), is_use: !isDiscovery(path, verb) };
  }
  if (!path.startsWith('/') || path.startsWith('//')) return strange;
  const group = prefix === 'apis' ? (rest[0] ?? '') : '';
  const [version = '', ...parts] = rest.slice(prefix === 'apis' ? 1 : 0);
  // All that says what it is must be plain; what follows `proxy` is another server's, but may lead nowhere else.
  const telling = [version, ...parts.slice(0, SPECIAL.has(parts[0] ?? '') ? 6 : 5)];
  if (!(group === '' || PLAIN.test(group)) || !telling.every((part) => PLAIN.test(part))) return strange;
  if (parts.some((part) => /^(\.|%2e)+$|%2f|%5c|\\/i.test(part))) return strange;
  return readParts(method, group, parts, query) ?? strange;
}

function readParts(method: string, group: string, all: readonly string[], query: URLSearchParams): Asked | undefined {
  let parts = all;
  let verb = VERBS.get(method) ?? '';
  const special = SPECIAL.has(parts[0] ?? '') ? parts[0] : undefined;
  if (special !== undefined) {
    if (parts.length < 2) return undefined;
    verb = special;
    parts = parts.slice(1);
  }
  let namespace = '';
  if (parts[0] === 'namespaces' && parts.length > 1) {
    namespace = parts[1] ?? '';
    if (parts.length > 2 && !NAMESPACE_SUBRESOURCES.has(parts[2] ?? '')) parts = parts.slice(2);
  }
  const [resource = '', name = ''] = parts;
  const subresource = special === 'proxy' ? '' : (parts[2] ?? '');
  if (verb === 'get' && name === '') verb = isWatch(query) ? 'watch' : 'list';
  if (verb === 'delete' && name === '') verb = 'deletecollection';
  const within = reachOfResource({ verb, group, resource, subresource, namespace, name });
  // No resource has such a name, and the broker takes no question about it.
  if (!optional(within.resource, isId)) return undefined;
  return {
    within,
    is_use: true,
    kind: kindOf(verb, subresource, query),
    ...(namespace !== '' && { namespace }),
    resource: subresource === '' ? resource : `${resource}/${subresource}`,
    ...(name !== '' && { name }),
  };
}

function kindOf(verb: string, subresource: string, query: URLSearchParams): Asked['kind'] {
  if (verb === 'watch') return 'watch';
  if (verb === 'proxy') return 'proxy';
  if (subresource === 'log') return query.has('follow') ? 'log' : 'request';
  return STREAMS.has(subresource) ? (subresource as StreamKind) : 'request';
}

/** As Kubernetes converts a parameter to a bool: all but `false` and `0` is true. */
function isWatch(query: URLSearchParams): boolean {
  const [first] = query.getAll('watch');
  return first !== undefined && !/^(false|0)$/i.test(first);
}
