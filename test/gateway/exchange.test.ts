// One request to the API server: what comes of it is told in its order, also where Node.js tells of the head last.

import assert from 'node:assert/strict';
import type { ClientHttp2Stream } from 'node:http2';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { Exchange } from '../../gateway/upstream/exchange.ts';

test('G10 an answer has its own status and headers, also where its body is told of before its head', async () => {
  for (const is_head_first of [true, false]) {
    const stream = Object.assign(new PassThrough({ autoDestroy: false }), { rstCode: 0, close: () => undefined });
    const told: string[] = [];
    const to_send = { method: 'GET', path: '/', authority: 'api', headers: [] };
    new Exchange({ request: () => stream as unknown as ClientHttp2Stream }, to_send, {
      onHead: (status, headers) => void told.push(`${status} ${headers.join(' ')}`),
      onData: (bytes) => told.push(bytes.toString()) > 0,
      onEnd: () => void told.push('end'),
      onFailure: (how) => void told.push(how),
      onRetry: () => void told.push('again'),
      onSent: () => undefined,
    });
    const tellHead = () => stream.emit('response', { ':status': 404 }, 0, [':status', '404', 'x-own', 'a']);
    if (is_head_first) tellHead();
    stream.end('body');
    await turn();
    if (!is_head_first) tellHead();
    await turn();
    assert.deepEqual(told, ['404 x-own,a', 'body', 'end']);
  }
});
