// In which order a connection to a target is cut: looked at from within, as no socket tells.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import net from 'node:net';
import { test } from 'node:test';
import { WebSocket, WebSocketServer } from 'ws';
import type { Opened } from '../../gateway/live/opened.ts';
import { reasonOf } from '../../gateway/targets/closing.ts';
import { Relay } from '../../gateway/targets/relay.ts';
import { LOST_BROKER } from '../../gateway/words.ts';
import { listenAnywhere } from '../support/ports.ts';

test('G22 the target is reset before the client is told, be it half ended or not', async () => {
  for (const half_ended of [false, true]) {
    const target = net.createServer({ allowHalfOpen: true });
    const upstream = net.connect({ port: await listenAnywhere(target), host: '127.0.0.1', allowHalfOpen: true });
    const [[accepted]] = (await Promise.all([once(target, 'connection'), once(upstream, 'connect')])) as [
      [net.Socket],
      unknown,
    ];
    const failed = once(accepted.resume(), 'error').catch((error: NodeJS.ErrnoException) => error);
    upstream.on('error', () => undefined);
    const server = createServer();
    const sockets = new WebSocketServer({ server });
    const other = new WebSocket(`ws://127.0.0.1:${await listenAnywhere(server)}`);
    const [[client]] = (await Promise.all([once(sockets, 'connection'), once(other, 'open')])) as [
      [WebSocket],
      unknown,
    ];
    const opened = { sent: () => undefined, received: () => undefined, close: () => undefined } as never as Opened;
    const relay = new Relay({ client, upstream, opened, half_closes: true, onFailure: () => undefined });
    if (half_ended) {
      const ended = once(accepted, 'end');
      other.send('eof');
      await ended;
    }
    let was_reset: boolean | undefined;
    const close = client.close.bind(client);
    client.close = (...words) => {
      was_reset = upstream.destroyed;
      close(...words);
    };
    relay.cut(LOST_BROKER);
    assert.equal(was_reset, true);
    // By RST, of which it hears without sending anything.
    if (!half_ended) await failed;
    const [code] = await once(other, 'close');
    assert.equal(code, 4503);
    accepted.destroy();
    for (const one of [target, server, sockets]) one.close();
  }
});

test('a reason is never longer than a close frame can carry, and never ends within a character', () => {
  const message = `curfew: ${'ж'.repeat(200)}`;
  const reason = reasonOf({ status: 401, code: 'logout', message });
  assert.ok(Buffer.byteLength(reason) <= 123 && Buffer.byteLength(reason) > 119);
  assert.match(reason, /^logout: ж+$/);
  assert.equal(reasonOf({ status: 401, code: 'logout', message: 'curfew: bye' }), 'logout: bye');
});
