// What a request is for, as kube-apiserver reads it (k8s.io/apiserver, RequestInfoFactory.NewRequestInfo, and Go's net/url): written
// from its source, without a look at ours.

export interface RequestInfo {
  readonly verb: string;
  readonly group: string;
  readonly namespace: string;
  readonly resource: string;
  readonly subresource: string;
  readonly name: string;
}

const VERBS: ReadonlyMap<string, string> = new Map(
  Object.entries({ POST: 'create', GET: 'get', HEAD: 'get', PUT: 'update', PATCH: 'patch', DELETE: 'delete' }),
);
const SPECIAL = ['proxy', 'watch'];
const NAMESPACE_SUBRESOURCES = ['status', 'finalize'];

/** Bytes as text, one character each; `undefined` where Go takes it for malformed. */
function unescaped(text: string): string | undefined {
  if (/%(?![0-9a-fA-F]{2})/.test(text)) return undefined;
  return text.replace(/%(..)/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)));
}

/**
 * `url.ParseRequestURI`, which knows no fragment, then RequestInfo.
 *
 * @param url as in the request line, bytes as characters
 * @returns `path` where it is no resource, nothing where Go refuses the request
 */
export function requestInfo(method: string, url: string): RequestInfo | 'path' | undefined {
  if (!url.startsWith('/') || /[\0-\x20\x7f]/.test(url)) return undefined;
  const mark = url.indexOf('?');
  const path = unescaped(mark < 0 ? url : url.slice(0, mark));
  if (path === undefined) return undefined;
  const parts = path.replace(/^\/+|\/+$/g, '').split('/');
  const [prefix, ...rest] = parts[0] === '' ? [] : parts;
  if (rest.length < 2 || (prefix !== 'api' && prefix !== 'apis')) return 'path';
  if (prefix === 'apis' && rest.length < 3) return 'path';
  const group = prefix === 'apis' ? (rest[0] ?? '') : '';
  const isWatch = mark >= 0 && saysWatch(url.slice(mark + 1));
  return ofResource(method, group, rest.slice(prefix === 'apis' ? 2 : 1), isWatch);
}

function ofResource(method: string, group: string, all: string[], isWatch: boolean): RequestInfo | 'path' {
  let parts = all;
  let verb = VERBS.get(method) ?? '';
  const special = SPECIAL.includes(parts[0] ?? '');
  if (special) {
    if (parts.length < 2) return 'path';
    verb = parts[0] ?? '';
    parts = parts.slice(1);
  }
  let namespace = '';
  if (parts[0] === 'namespaces' && parts.length > 1) {
    namespace = parts[1] ?? '';
    if (parts.length > 2 && !NAMESPACE_SUBRESOURCES.includes(parts[2] ?? '')) parts = parts.slice(2);
  }
  const subresource = parts.length >= 3 && verb !== 'proxy' ? (parts[2] ?? '') : '';
  const [resource = '', name = ''] = parts;
  if (name === '' && verb === 'get') verb = isWatch ? 'watch' : 'list';
  if (name === '' && verb === 'delete') verb = 'deletecollection';
  return { verb, group, namespace, resource, subresource, name };
}

/** `Query().Get("watch")` as a bool: pairs that Go takes for malformed are left out. */
function saysWatch(query: string): boolean {
  for (const pair of query.split('&')) {
    if (pair === '' || pair.includes(';')) continue;
    const equals = pair.indexOf('=');
    const [key, value] = [equals < 0 ? pair : pair.slice(0, equals), equals < 0 ? '' : pair.slice(equals + 1)];
    const [name, text] = [key, value].map((part) => unescaped(part.replaceAll('+', ' ')));
    if (name === undefined || text === undefined || name !== 'watch') continue;
    return !['false', '0'].includes(text.toLowerCase());
  }
  return false;
}
