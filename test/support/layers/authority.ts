// Whoever is asked by a layer whether a request may pass: its answer can be changed while the layer runs.

import { createServer, type OutgoingHttpHeaders } from 'node:http';
import { listenAnywhere } from '../ports.ts';

export interface Authority {
  readonly port: number;
  /** How often it was asked. */
  readonly asked: number;
  answer(status: number, headers?: OutgoingHttpHeaders): void;
  /** With headers that are made for each question. */
  answerBy(status: number, headers: () => OutgoingHttpHeaders): void;
  close(): void;
}

export async function startAuthority(): Promise<Authority> {
  let [status, headers, asked] = [200, (): OutgoingHttpHeaders => ({}), 0];
  const server = createServer((_request, response) => {
    asked += 1;
    response.writeHead(status, headers()).end();
  });
  const port = await listenAnywhere(server);
  return {
    port,
    get asked() {
      return asked;
    },
    answer: (now, with_headers = {}) => {
      [status, headers] = [now, () => with_headers];
    },
    answerBy: (now, make) => {
      [status, headers] = [now, make];
    },
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}
