// Headers that pass, and those that do not. What says how a connection is used is ours; what would say who somebody is, or where they
// come from, is nobody's to send; all else passes as it came. `Impersonate-*` passes: without it a request would be done as oneself.

/** Name, in small letters, and value, as they came and in their order. */
export type HeaderList = readonly (readonly [name: string, value: string])[];

/** RFC 9110 7.6.1, and `expect`, which is between the client and us. */
const HOP: ReadonlySet<string> = new Set([
  'connection',
  'expect',
  'http2-settings',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);
/** What a client may name in `Connection`: any other header that it names would be lost on the way. */
const OPTIONS: ReadonlySet<string> = new Set(['close', 'http2-settings', 'keep-alive', 'te', 'upgrade']);
const FOREIGN = /^(x-remote-|x-forwarded-|forwarded$|x-real-ip$)/;

/** @param raw names and values by turns, as Node.js gives them; pseudo-headers of HTTP/2 are left out */
export function headerList(raw: readonly string[]): HeaderList {
  const list: [string, string][] = [];
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = (raw[i] ?? '').toLowerCase();
    if (!name.startsWith(':')) list.push([name, raw[i + 1] ?? '']);
  }
  return list;
}

export function valuesOf(headers: HeaderList, name: string): string[] {
  return headers.flatMap(([candidate, value]) => (candidate === name ? [value] : []));
}

export function impersonates(headers: HeaderList): boolean {
  return headers.some(([name]) => name.startsWith('impersonate-'));
}

/** Whether `Connection` names nothing but what concerns the connection. */
export function isConnectionFair(headers: HeaderList): boolean {
  const options = valuesOf(headers, 'connection').flatMap((value) => value.split(','));
  return options.every((option) => option.trim() === '' || OPTIONS.has(option.trim().toLowerCase()));
}

/** What goes to the API server, without `host`. @param address the client's */
export function forwardedHeaders(headers: HeaderList, address: string): [string, string][] {
  const passed = headers.filter(([name]) => name !== 'host' && !HOP.has(name) && !FOREIGN.test(name));
  return [...passed.map(([name, value]): [string, string] => [name, value]), ['x-forwarded-for', address]];
}

/** What goes back to the client. */
export function returnedHeaders(headers: HeaderList): HeaderList {
  return headers.filter(([name]) => !HOP.has(name) && name !== 'alt-svc');
}

/** Several values of one name together, as Node.js takes them. */
export function grouped(headers: HeaderList): Record<string, string | string[]> {
  // Without a prototype: `constructor` is a name like any other.
  const all: Record<string, string | string[]> = Object.create(null);
  for (const [name, value] of headers) {
    const before = all[name];
    if (before === undefined) all[name] = value;
    else all[name] = typeof before === 'string' ? [before, value] : [...before, value];
  }
  return all;
}

/** Whether a request carries a credential that is forwarded to the API server. */
export function hasCredential(headers: HeaderList): boolean {
  return headers.some(([name]) => name === 'authorization');
}
