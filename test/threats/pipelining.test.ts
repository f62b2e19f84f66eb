// H2: requests that are sent without waiting for answers, and answers that are not read: a few are served, a flood is cut, who stands still
// is cut, and the others go on.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { createCertificateAuthority } from '../support/certificates.ts';
import { until } from '../support/patience.ts';
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

describe('answers that are not read', () => {
  // So many that no buffer of the machine takes all answers.
  const clusters = Array.from({ length: 1_500 }, (_, i) => ({
    ...{ name: `cluster-${i}`, audience: `audience-${i}`, allowed_groups: ['*'] },
    server: `https://${'a'.repeat(60)}.${'b'.repeat(60)}.${'c'.repeat(60)}.example.com`,
  }));
  for (const over of ['HTTP', 'TLS'] as const) {
    test(`H2 over ${over}: who does not read is cut within 10 s, who reads slowly is not, and others are answered`, async () => {
      const dir = await mkdtemp(path.join(tmpdir(), 'curfew-readers-'));
      const authority = await createCertificateAuthority(dir);
      const { certFile: cert_file, keyFile: key_file } = await authority.issue({
        name: 'broker',
        hosts: ['127.0.0.1'],
      });
      const listen = { address: '127.0.0.1', port: 0, ...(over === 'TLS' && { tls: { cert_file, key_file } }) };
      const service = await startTestService({ clusters, listen });
      const sockets: Socket[] = [];
      const ask = async (count: number) => {
        const { hostname, port } = new URL(service.url);
        const where = { host: hostname, port: Number(port), ca: authority.caPem };
        const socket = over === 'TLS' ? connectTls(where) : connect(where);
        sockets.push(socket);
        socket.on('error', () => undefined);
        await once(socket, over === 'TLS' ? 'secureConnect' : 'connect');
        socket.write('GET /.well-known/curfew HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(count));
        return socket;
      };
      try {
        const answersIn = (text: string) => text.split('HTTP/1.1 200').length - 1;
        const [stalled, slow] = [await ask(16), await ask(4)];
        let gone = false;
        stalled.pause().once('close', () => {
          gone = true;
        });
        let text = '';
        slow.on('data', (chunk: Buffer) => {
          text += chunk.toString('latin1');
          slow.pause();
          // 260 bytes a millisecond: in all longer than who stands still is waited for.
          setTimeout(() => slow.resume(), chunk.length / 260);
        });
        const other = await ask(1);
        let others = '';
        other.on('data', (chunk: Buffer) => {
          others += chunk.toString('latin1');
        });
        await until(() => answersIn(others) === 1, 'another one is not answered');
        // As long as the threat model gives it; what came until then is still to be read.
        await sleep(10_000);
        let read = '';
        stalled.on('data', (chunk: Buffer) => {
          read += chunk.toString('latin1');
        });
        stalled.resume();
        await until(() => gone, 'it is not cut');
        assert.ok(answersIn(read) < 16, `${answersIn(read)} answers, ${read.length} bytes`);
        await until(() => answersIn(text) === 4 || slow.closed, 'who reads slowly gets nothing');
        assert.equal(answersIn(text), 4, 'who reads slowly was cut');
      } finally {
        for (const socket of sockets) socket.destroy();
        await until(() => sockets.every(({ destroyed }) => destroyed), 'not closed');
        await service.stop();
        await rm(dir, { recursive: true, force: true });
      }
    });
  }
});
