// A cluster of a kubeconfig: whether the way to it can be listened to.

import { isLoopback } from '../../shared/origin.ts';
import { oneLine } from '../warm/one_line.ts';
import type { Entry } from './document.ts';
import type { Found } from './finding.ts';
import { sayName } from './words.ts';

export function judgeCluster(entry: Entry): Found[] {
  const said = `cluster ${sayName(entry.name)}`;
  const make = (one: Omit<Found, 'entry' | 'line'>, field: string): Found => ({
    ...{ ...one, entry: said, line: entry.lineOf(field) },
  });
  const found: Found[] = [];
  const server = urlOf(entry.fields.server);
  if (entry.fields['insecure-skip-tls-verify'] === true)
    found.push(make({ name: 'insecure_skip_tls_verify', detail: hostOf(server) }, 'insecure-skip-tls-verify'));
  if (server?.protocol === 'http:' && !isLoopback(server.hostname))
    found.push(make({ name: 'plain_http', detail: hostOf(server) }, 'server'));
  for (const field of ['server', 'proxy-url']) {
    const url = urlOf(entry.fields[field]);
    if (url && (url.username !== '' || url.password !== ''))
      found.push(make({ name: 'url_credentials', detail: `${field} ${hostOf(url)}` }, field));
  }
  return found;
}

/** An address without a scheme is http to kubectl where it does not verify, else https (client-go, DefaultServerURL). */
function urlOf(value: unknown): URL | undefined {
  return typeof value === 'string' && URL.canParse(value) ? new URL(value) : undefined;
}

function hostOf(url: URL | undefined): string {
  return url ? oneLine(url.host) : 'an address that cannot be read';
}
