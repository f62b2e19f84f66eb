// What is wrong with a request before anything of it is looked at: heads that two readers could read differently.

import type { IncomingMessage } from 'node:http';

/** Headers that say one thing: of two, one reader takes the first and another the last (RFC 9112 3.2, RFC 9110 5.3). */
const ONCE: ReadonlySet<string> = new Set(['host', 'authorization', 'content-type']);

type Head = Pick<IncomingMessage, 'url' | 'rawHeaders' | 'httpVersion'>;

/** @returns in words */
export function faultOfHead({ url, rawHeaders, httpVersion }: Head): string | undefined {
  // We are nobody's proxy: what is asked for is ours, by its path (RFC 9112 3.2.1).
  if (!url?.startsWith('/')) return 'the request target is not a path';
  const seen = new Set<string>();
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]?.toLowerCase() ?? '';
    if (!ONCE.has(name)) continue;
    if (seen.has(name)) return `the header ${name} is repeated`;
    seen.add(name);
  }
  return httpVersion === '1.1' && !seen.has('host') ? 'the header host is missing' : undefined;
}
