// H2: requests that are sent without waiting for answers: a few are served, a flood is cut, and the others go on.

import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { startTestService, type TestService } from '../support/service.ts';

describe('requests on one connection that wait for no answer', () => {
  let service: TestService;
  before(async () => {
    service = await startTestService();
  });
  after(() => service.stop());

  /** Sends so many at once. @returns how many were answered, and whether the broker cut the connection */
  async function pipeline(count: number): Promise<{ readonly answers: number; readonly cut: boolean }> {
    const { hostname, port } = new URL(service.url);
    const socket = connect({ host: hostname, port: Number(port) });
    let text = '';
    let cut = false;
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
      if (text.split('HTTP/1.1 200').length - 1 === count) socket.end();
    });
    socket.on('error', () => {
      cut = true;
    });
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.write('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(count));
    await closed;
    const answers = text.split('HTTP/1.1 200').length - 1;
    return { answers, cut: cut || answers < count };
  }

  test('H2 16 at once are answered, in order, and so are the next', async () => {
    for (const _ of [1, 2, 3]) assert.deepEqual(await pipeline(16), { answers: 16, cut: false });
  });

  test('H2 more are cut, and none of them is answered for long', async () => {
    for (const count of [17, 400, 5_000]) {
      const { answers, cut } = await pipeline(count);
      assert.ok(cut, `${count}: ${answers} answers`);
    }
    assert.deepEqual(await pipeline(1), { answers: 1, cut: false });
  });
});
