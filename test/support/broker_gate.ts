// A door before a broker, over HTTPS: what a gateway asks is passed on as it is, unless a test keeps it back, on its way there or on its way
// back. It is the broker's issuer.

import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { type ClientRequest, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import { GATEWAY_PATHS } from '../../shared/gateway_wire.ts';
import type { CertificateAuthority } from './certificates.ts';
import { listenAnywhere } from './ports.ts';

export interface BrokerGate {
  readonly url: string;
  /** What becomes of a question: it passes, it never arrives, or its answer never arrives. */
  how: (path: string) => 'pass' | 'lose' | 'lose answer';
  /** Paths that were asked for, with their query, in their order. */
  readonly asked: readonly string[];
  /** Breaks off the feeds that are open. @returns how many there were */
  breakFeeds(): number;
  stop(): Promise<void>;
}

/** @param behind where the broker is at the moment, by plain http */
export async function startBrokerGate(authority: CertificateAuthority, behind: () => string): Promise<BrokerGate> {
  const { certFile, keyFile } = await authority.issue({ name: 'broker-gate', hosts: ['127.0.0.1'] });
  const [cert, key] = await Promise.all([readFile(certFile), readFile(keyFile)]);
  const asked: string[] = [];
  const feeds = new Set<ServerResponse>();
  const pass = (incoming: IncomingMessage, response: ServerResponse) => {
    const path = incoming.url ?? '';
    asked.push(path);
    const how = gate.how(path);
    if (how === 'lose') return void response.destroy();
    const { method, headers } = incoming;
    let sent: ClientRequest;
    try {
      sent = request(behind() + path, { method, headers, agent: false });
    } catch {
      return void response.destroy();
    }
    sent.on('error', () => response.destroy());
    sent.once('response', (answer) => {
      answer.on('error', () => response.destroy());
      if (how === 'lose answer') {
        answer.resume().once('end', () => response.destroy());
        return;
      }
      response.writeHead(answer.statusCode ?? 0, answer.rawHeaders);
      response.flushHeaders();
      if (path.startsWith(GATEWAY_PATHS.ends)) {
        feeds.add(response);
        response.once('close', () => feeds.delete(response));
      }
      answer.once('aborted', () => response.destroy());
      answer.pipe(response);
    });
    response.once('close', () => sent.destroy());
    incoming.pipe(sent);
  };
  const server = createServer({ cert, key }, pass);
  const gate: BrokerGate = {
    url: `https://127.0.0.1:${await listenAnywhere(server)}`,
    how: () => 'pass',
    asked,
    breakFeeds() {
      const { size } = feeds;
      for (const feed of feeds) feed.destroy();
      return size;
    },
    async stop() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
  return gate;
}
