// Answers that do not end, over real HTTP: what is written when, and whose reading stops.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import type { Telling } from '../../broker/gateways/ends.ts';
import { type FeedParts, GatewayFeeds } from '../../broker/http/gateway_feeds.ts';
import type { FeedLine } from '../../shared/gateway_wire.ts';
import { until } from '../support/patience.ts';

const LINE: FeedLine = { type: 'lowered', sid: 'x'.repeat(200) };
const HEARTBEAT: FeedLine = { type: 'heartbeat' };

let server: Server;
let telling: Telling;
let feeds: GatewayFeeds;
const counts: number[] = [];
let failures = 0;
const woken = new Set<() => void>();
const parts: FeedParts = {
  onWake(told) {
    woken.add(told);
    return () => void woken.delete(told);
  },
  onFailure: () => {
    failures += 1;
  },
  onCount: (open) => void counts.push(open),
};
const wake = () => {
  for (const told of woken) told();
};

before(async () => {
  server = createServer((_request, response) => {
    response.writeHead(200);
    feeds.serve('dev', response, telling, parts);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});
after(() => {
  server.closeAllConnections();
  server.close();
});

async function ask() {
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  await once(socket, 'connect');
  socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  return socket;
}

describe('an answer that does not end', () => {
  test('G6 ends for a reader that does not read, and takes no memory until then', async () => {
    feeds = new GatewayFeeds(300);
    let told = 0;
    telling = {
      async next() {
        told += 1;
        return Array<FeedLine>(200).fill(LINE);
      },
      heartbeat: () => HEARTBEAT,
    };
    const socket = await ask();
    socket.pause();
    await until(() => counts.at(-1) === 1, 'it is not open');
    const waking = setInterval(wake, 1);
    await until(() => counts.at(-1) === 0, 'it is still open');
    clearInterval(waking);
    const { length } = counts;
    const told_then = told;
    wake();
    assert.deepEqual([woken.size, told, counts.length], [0, told_then, length], 'nothing is asked for it any more');
    // A kernel takes some MiB; of what it did not take little waits here.
    assert.ok(told * 200 * 230 < 64 * 1024 * 1024, `${told} pieces`);
    socket.destroy();
  });

  test('is written when it is woken, each thing once, and says so when there is no more', async () => {
    feeds = new GatewayFeeds();
    const lines: FeedLine[][] = [[{ type: 'reload' }], [], [{ type: 'lowered', sid: 'a' }]];
    let over = false;
    telling = { next: async () => (over ? undefined : (lines.shift() ?? [])), heartbeat: () => undefined };
    const socket = await ask();
    let text = '';
    socket.on('data', (bytes) => {
      text += bytes;
    });
    await until(() => text.includes('reload'), 'nothing comes');
    wake();
    wake();
    await until(() => text.includes('lowered'), 'it is not woken');
    over = true;
    wake();
    await until(() => text.includes('\r\n0\r\n'), 'it does not end');
    assert.equal(text.match(/"type"/g)?.length, 2);
    socket.destroy();
  });

  test('ends where it cannot be told what happened, which is said', async () => {
    feeds = new GatewayFeeds();
    const before = failures;
    telling = { next: () => Promise.reject(new Error('the store')), heartbeat: () => HEARTBEAT };
    const socket = await ask();
    socket.resume();
    await until(() => counts.at(-1) === 0 && failures === before + 1, 'it goes on');
    socket.destroy();
  });

  test('H7 ends for a reader that has gone', async () => {
    feeds = new GatewayFeeds();
    telling = { next: async () => [], heartbeat: () => HEARTBEAT };
    const socket = await ask();
    await until(() => counts.at(-1) === 1, 'it is not open');
    socket.destroy();
    await until(() => counts.at(-1) === 0 && woken.size === 0, 'it is kept');
  });
});
