// Somebody who tells everybody all that was sent to them: a server over HTTPS whose answers, each of another kind, have the request in them,
// headers, body and all. What of it goes further is what the program under test passes on.

import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { CertificateAuthority } from './certificates.ts';

export interface Telltale {
  readonly url: string;
  /** Each request as it was sent: its line, headers and body. */
  readonly heard: readonly string[];
  stop(): Promise<void>;
}

type Answer = readonly [status: number, headers: Readonly<Record<string, string>>, body: string];

export async function startTelltale(authority: CertificateAuthority, name = 'telltale'): Promise<Telltale> {
  const { certFile, keyFile } = await authority.issue({ name, hosts: ['127.0.0.1'] });
  const [cert, key] = await Promise.all([readFile(certFile), readFile(keyFile)]);
  const heard: string[] = [];
  /** Each path has all answers, one after the other. */
  const times = new Map<string, number>();
  const server = createServer({ cert, key }, (request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const told = `${request.method} ${request.url}\n${request.rawHeaders.join('\n')}\n${Buffer.concat(chunks)}`;
      const json = { error: 'x', error_description: told, reason: told, message: told, status: { message: told } };
      const answers: readonly Answer[] = [
        [500, { 'content-type': 'application/json' }, JSON.stringify(json)],
        [401, { 'www-authenticate': `Bearer error="${encodeURIComponent(told)}"` }, told],
        [302, { location: `http://127.0.0.1:1/${encodeURIComponent(told)}` }, ''],
        [200, { 'content-type': 'text/html' }, `<h1>${told}</h1>`],
        [200, { 'content-type': 'application/json' }, JSON.stringify(json)],
        [200, { 'content-type': 'application/json' }, `{"access_token": "${told}`],
        [403, { 'content-type': told.slice(0, 60).replaceAll(/[^ -~]/g, ' ') }, JSON.stringify(json)],
      ];
      const place = new URL(request.url ?? '', 'https://x').pathname;
      const before = times.get(place) ?? 0;
      times.set(place, before + 1);
      const [status, headers, body] = answers[before % answers.length] ?? [500, {}, ''];
      heard.push(told);
      response.writeHead(status, headers).end(body);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    heard,
    async stop() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
