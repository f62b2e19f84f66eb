// G21: /readyz and /healthz beside whoever reads /metrics, or only stays connected: answered each time.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { get } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { after, afterEach, before, test } from 'node:test';
import { createHealthServer } from '../../gateway/health.ts';
import { until } from '../support/patience.ts';

/** Far more than what the kernel keeps for a connection that nobody reads. */
const FIGURES = 'x'.repeat(16 * 1024 * 1024);
let port = 0;
const registry = { contentType: 'text/plain', metrics: async () => FIGURES };
const server = createHealthServer({ registry } as never, () => 'ok');
const crowd: Socket[] = [];

before(async () => {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  ({ port } = server.address() as AddressInfo);
});
afterEach(() => {
  for (const socket of crowd.splice(0)) socket.destroy();
});
after(() => {
  server.close();
  server.closeAllConnections();
});

/** Each by a connection of its own, as a kubelet asks. */
async function status(path: string): Promise<number> {
  return new Promise((resolve, reject) => {
    get({ port, host: '127.0.0.1', path, agent: false }, (response) => {
      response.resume().once('end', () => resolve(response.statusCode ?? 0));
    }).once('error', reject);
  });
}

async function stay(count: number, text: string): Promise<void> {
  for (let i = 0; i < count; i++) {
    const socket = connect(port, '127.0.0.1').on('error', () => undefined);
    crowd.push(socket);
    await once(socket, 'connect');
    socket.write(text);
  }
}

const HEAD = 'HTTP/1.1\r\nHost: x\r\n';
const CROWDS: Readonly<Record<string, string>> = {
  'that say nothing': '',
  'with half a head': `GET /metrics ${HEAD}`,
  'that stay after a request': `GET /healthz ${HEAD}\r\n`,
  'that read no figures': `GET /metrics ${HEAD}\r\n`,
};

for (const [what, text] of Object.entries(CROWDS)) {
  test(`G21 with 200 connections ${what}, whoever asks whether it is ready is answered`, async () => {
    await stay(200, text);
    for (const path of ['/readyz', '/healthz', '/readyz']) assert.equal(await status(path), 200);
  });
}

test('G21 figures are read by a few at a time, the others are told so, and they are had again once those have gone', async () => {
  await stay(4, `GET /metrics ${HEAD}\r\n`);
  await until(async () => (await status('/metrics')) === 503, 'there is no bound');
  assert.equal(await status('/readyz'), 200);
  for (const socket of crowd.splice(0)) socket.destroy();
  await until(async () => (await status('/metrics')) === 200, 'they are not had again');
});
