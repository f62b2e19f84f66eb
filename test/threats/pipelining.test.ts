// H2: requests that are sent without waiting for answers, and answers that are not read: a few are served, a flood is cut, who stands still
// is cut, and the others go on.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { createCertificateAuthority } from '../support/certificates.ts';
import { until } from '../support/patience.ts';
import { requestText } from '../support/raw_client.ts';
import { type RecordedGateway, startRecordedGateway } from '../support/recorded_gateway.ts';
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

describe('requests on one connection to a gateway that wait for no answer', () => {
  const PODS = '/api/v1/namespaces/dev/pods';
  let lone: RecordedGateway;
  before(async () => {
    lone = await startRecordedGateway();
  });
  after(() => lone?.stop());
  afterEach(() => lone.upstream.reset());
  const bearer = (sid: string) => `Authorization: Bearer ${lone.broker.token(sid)}`;
  const watches = () => lone.upstream.requests.filter(({ stream }) => !stream.closed).length;
  const watchOnly = () => {
    lone.upstream.answer = ({ stream }) => {
      stream.respond({ ':status': 200, 'content-type': 'application/json' });
      stream.write('{"type":"ADDED","object":{}}\n');
    };
  };

  test('H2 a few are answered in their order, each judged by its own credential and as of when it came', async () => {
    const client = await lone.open();
    const of = (sid: string) => Array.from({ length: 4 }, (_, i) => [`${PODS}/${sid}-${i}`, bearer(sid)] as const);
    const all = of('one').flatMap((one, i) => [one, of('two')[i] ?? one, [PODS, 'Authorization: Bearer x'] as const]);
    client.send(all.map(([path, line]) => requestText(path, [line])).join(''));
    const statuses = () => [...client.text().matchAll(/^HTTP\/1\.1 (\d{3})/gm)].map(([, status]) => status);
    await until(() => statuses().length === all.length, 'not all are answered');
    assert.deepEqual(
      statuses(),
      all.map(([path]) => (path === PODS ? '401' : '200')),
    );
    const asked = lone.upstream.requests.map(({ path, headers }) => [
      path,
      headers.find(([name]) => name === 'authorization')?.[1],
    ]);
    const passed = all.filter(([path]) => path !== PODS);
    assert.deepEqual(
      asked.toSorted(),
      passed.map(([path, line]) => [path, line.slice('Authorization: '.length)]).toSorted(),
    );
    client.destroy();
  });

  test('H2 what is open behind another answer is cut at the end of its session, and no answer is torn by it', async () => {
    watchOnly();
    const client = await lone.open();
    client.send(requestText(`${PODS}?watch=1`, [bearer('first')]) + requestText(`${PODS}?watch=1`, [bearer('second')]));
    await until(() => watches() === 2, 'they are not open');
    lone.endSession('second');
    await until(() => watches() === 1, 'it goes on at the API server');
    await client.says(/ADDED/);
    assert.doesNotMatch(client.text(), /curfew:/);
    lone.endSession('first');
    await client.says(/"type":"ERROR".*curfew: session is over/);
    client.destroy();
  });

  test('H2 nothing stays open when the connection is closed, and so many at once are cut', async () => {
    watchOnly();
    const few = await lone.open();
    few.send(requestText(`${PODS}?watch=1`, [bearer('few')]).repeat(8));
    await until(() => watches() === 8, 'they are not open');
    few.destroy();
    await until(() => watches() === 0, 'some stay open at the API server');
    const many = await lone.open();
    many.send(requestText(`${PODS}?watch=1`, [bearer('many')]).repeat(500));
    await many.end();
    await until(() => watches() === 0, 'some stay open at the API server');
    assert.match(await lone.metrics(), /^curfew_gateway_streams\{kind="watch",segment=""\} 0$/m);
  });

  for (const [what, text] of [
    ['cannot be read', 'neither a request nor anything\r\n\r\n'],
    ['becomes something else', requestText(`${PODS}/shell/exec`, ['Connection: Upgrade', 'Upgrade: websocket'])],
  ] as const) {
    test(`H2 what ${what} after a request tears no answer that is under way`, async () => {
      watchOnly();
      const client = await lone.open();
      const refused = requestText('/version', ['Authorization: Bearer x']);
      client.send(refused + requestText(`${PODS}?watch=1`, [bearer('torn')]));
      await client.says(/ADDED/);
      client.send(text);
      await client.end();
      assert.equal(client.text().split('HTTP/1.1 ').length - 1, 2, client.text());
    });
  }
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
