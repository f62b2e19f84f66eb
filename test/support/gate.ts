// A door before a cluster's API server, over HTTPS: what comes is passed on as it is, and a test may do something before the answer
// goes out.

import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { Agent, request } from 'undici';
import type { ControlPlane } from '../cluster/control_plane.ts';
import type { CertificateAuthority } from './certificates.ts';

export interface Gate {
  readonly url: string;
  /** Awaited once the API server has done what it was asked. */
  answered: (method: string, path: string) => Promise<void> | void;
  stop(): Promise<void>;
}

/** @param authority signs its certificate */
export async function startGate(
  authority: CertificateAuthority,
  { server: behind, caPem: ca }: Pick<ControlPlane, 'server' | 'caPem'>,
): Promise<Gate> {
  const { certFile, keyFile } = await authority.issue({ name: 'gate', hosts: ['127.0.0.1'] });
  const [cert, key] = await Promise.all([readFile(certFile), readFile(keyFile)]);
  const dispatcher = new Agent({ connect: { ca } });
  const server = createServer({ cert, key }, async (incoming, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk as Buffer);
    const { method = '', url = '', headers } = incoming;
    const { authorization = '', accept = '' } = headers;
    const sent = { authorization, accept, 'content-type': 'application/json' };
    const body = chunks.length > 0 && { body: Buffer.concat(chunks) };
    const answer = await request(behind + url, { method, headers: sent, dispatcher, ...body });
    const text = await answer.body.text();
    await gate.answered(method, url);
    response.writeHead(answer.statusCode, { 'content-type': 'application/json' }).end(text);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const gate: Gate = {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    answered: () => undefined,
    async stop() {
      server.closeAllConnections();
      server.close();
      await Promise.all([once(server, 'close'), dispatcher.destroy()]);
    },
  };
  return gate;
}
