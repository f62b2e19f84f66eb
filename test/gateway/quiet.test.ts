// HTTP/2 connections of clients, after their last byte: ended when nothing moves on them, and gone with all that they held once they are closed.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2, { type ClientHttp2Session, type ServerHttp2Session } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createSecureContext } from 'node:tls';
import { queryObjects } from 'node:v8';
import { endQuiet } from '../../gateway/quiet.ts';
import { Sessions } from '../../gateway/upstream/sessions.ts';
import { type LoneGateway, startLoneGateway } from '../support/lone_gateway.ts';
import { until } from '../support/patience.ts';
import { listenAnywhere } from '../support/ports.ts';

const CLIENTS = 60;
const QUIET_MS = 1_200;

async function startServer() {
  const open = new Set<ServerHttp2Session>();
  const server = http2.createServer((_, response) => response.end());
  server.on('session', (session) => {
    open.add(session);
    session.on('error', () => undefined).once('close', () => open.delete(session));
  });
  const port = await listenAnywhere(server);
  return { open, server, connect: () => http2.connect(`http://127.0.0.1:${port}`).on('error', () => undefined) };
}

const ask = async (client: ClientHttp2Session) => {
  const stream = client.request({ ':path': '/' }).resume();
  await once(stream, 'close');
};

describe('a connection of a client', () => {
  test('G8 on which nothing comes or goes is ended, and one on which something does is not: a ping, an answer', async (context) => {
    const { open, server, connect } = await startServer();
    const looking = endQuiet(open, QUIET_MS);
    context.after(() => clearInterval(looking));
    context.after(() => server.close());
    const [silent, pinging, asking] = [connect(), connect(), connect()];
    await Promise.all([silent, pinging, asking].map(ask));
    let over = false;
    silent.once('close', () => {
      over = true;
    });
    const begun = performance.now();
    while (!over) {
      pinging.ping(() => undefined);
      await ask(asking);
      await sleep(20);
      assert.ok(performance.now() - begun < 90_000, 'it is never ended');
    }
    assert.ok(performance.now() - begun >= QUIET_MS * 0.8, 'it is ended at once');
    assert.deepEqual([silent.destroyed, pinging.destroyed, asking.destroyed], [true, false, false]);
    pinging.destroy();
    asking.destroy();
  });

  describe('that is closed', () => {
    let lone: LoneGateway;
    before(async () => {
      lone = await startLoneGateway();
    });
    after(() => lone?.stop());

    test(`I5 G8 is not kept: of ${CLIENTS} that asked and went nothing is held`, async () => {
      const { open, server, connect } = await startServer();
      const sample = connect();
      await ask(sample);
      const [kind] = open;
      sample.destroy();
      server.close();
      const held = () => queryObjects(kind?.constructor as typeof Object, { format: 'count' });
      const base = held();
      assert.ok(base > 0, 'what is counted are connections');
      for (let n = 0; n < CLIENTS; n += 1) {
        const client = lone.client(`sid-${n}`);
        assert.equal((await client.get('/api/v1/namespaces/dev/pods')).status, 200);
        client.close();
      }
      await until(() => held() <= base + CLIENTS / 10, `${held() - base} connections are held`);
    });
  });
});

test('I5 G6 connections to the API server that a crowd has opened are closed when nothing is on them; one stays', async (context) => {
  const { open, server } = await startServer();
  const { port } = server.address() as AddressInfo;
  const tls = { secureContext: createSecureContext(), rejectUnauthorized: true } as const;
  const sessions = new Sessions(`http://127.0.0.1:${port}`, tls, 50);
  context.after(() => sessions.close());
  context.after(() => server.close());
  const ask = async () => {
    const stream = sessions.request({ ':path': '/' }, true).resume();
    await once(stream, 'close');
  };
  const crowd = Promise.all(Array.from({ length: 300 }, ask));
  await until(() => open.size > 2, 'they are on one connection');
  await crowd;
  await until(() => open.size === 1, `${open.size} connections are kept`);
  await ask();
  assert.equal(open.size, 1);
});
