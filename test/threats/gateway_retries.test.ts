// Requests that an API server has not processed, as it sends people elsewhere now and then: they are asked again on another connection, and
// nobody notices; what may have been processed is not.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import http2, { type ClientHttp2Session, type ClientHttp2Stream, type IncomingHttpHeaders } from 'node:http2';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { until } from '../support/patience.ts';
import { type RecordedGateway, startRecordedGateway } from '../support/recorded_gateway.ts';
import { answerList, type RecordedRequest } from '../support/recording_upstream.ts';

const PODS = '/api/v1/namespaces/dev/pods';
const KEPT = 1024 * 1024;
const { NGHTTP2_REFUSED_STREAM, NGHTTP2_NO_ERROR } = http2.constants;

let lone: RecordedGateway;
let session: ClientHttp2Session;

before(async () => {
  lone = await startRecordedGateway();
});
after(() => lone?.stop());
beforeEach(() => {
  session = http2.connect(lone.url, { ca: lone.authority.caPem });
});
afterEach(() => {
  session.destroy();
  lone.upstream.reset();
});

async function ask(method: string, body?: Buffer): Promise<IncomingHttpHeaders> {
  const authorization = `Bearer ${lone.broker.token('sid')}`;
  const stream = session.request(
    { ':method': method, ':path': PODS, authorization },
    { endStream: body === undefined },
  );
  stream.on('error', () => undefined);
  const answered = once(stream, 'response');
  if (body) stream.end(body);
  const [head] = await answered;
  stream.resume();
  return head;
}
/** Once all of its body has come. */
const whenEnded = ({ stream }: RecordedRequest, act: () => void) =>
  void (stream.readableEnded ? act() : stream.once('end', act));
/** Does that to so many, and then answers. */
function first(count: number, act: (request: RecordedRequest) => void): void {
  let left = count;
  lone.upstream.answer = (request) => {
    if (left-- > 0) act(request);
    else whenEnded(request, () => answerList(request));
  };
}
const refuse = ({ stream }: RecordedRequest) => stream.close(NGHTTP2_REFUSED_STREAM);
const connections = () => new Set(lone.upstream.requests.map(({ socket }) => socket)).size;

describe('G12 what an API server has not processed', () => {
  for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']) {
    test(`${method}: is asked again on another connection`, async () => {
      first(1, refuse);
      assert.equal((await ask(method, method === 'GET' ? undefined : Buffer.from('{}')))[':status'], 200);
      assert.equal(lone.upstream.requests.length, 2);
      assert.equal(connections(), 2);
      assert.equal(lone.upstream.requests[1]?.body().toString(), method === 'GET' ? '' : '{}');
    });
  }

  test('with a GOAWAY from before it: likewise', async () => {
    first(1, ({ stream }) => stream.session?.goaway(NGHTTP2_NO_ERROR, Math.max(0, (stream.id ?? 0) - 2)));
    assert.equal((await ask('POST', Buffer.from('{}')))[':status'], 200);
    assert.equal(connections(), 2);
  });

  test('with a body of 1 MiB: to the byte, also a third time', async () => {
    const body = randomBytes(KEPT);
    first(2, (request) => whenEnded(request, () => refuse(request)));
    assert.equal((await ask('POST', body))[':status'], 200);
    assert.equal(lone.upstream.requests.length, 3);
    assert.ok(lone.upstream.requests[2]?.body().equals(body));
  });

  test('with more than that: 503 with Retry-After', async () => {
    lone.upstream.answer = (request) =>
      request.stream.on('data', () => {
        if (request.body().length > KEPT) refuse(request);
      });
    const head = await ask('POST', randomBytes(KEPT + 1));
    assert.deepEqual([head[':status'], head['retry-after']], [503, '1']);
    assert.equal(lone.upstream.requests.length, 1);
  });

  test('again and again: 502, and connections that it left do not stay open', async () => {
    first(1_000, refuse);
    for (let i = 0; i < 5; i++) assert.equal((await ask('POST'))[':status'], 502);
    assert.equal(lone.upstream.requests.length, 25);
    await until(() => lone.upstream.sessions.size <= 1, `${lone.upstream.sessions.size} connections stay open`);
  });

  test('which may have been processed: is not asked again, unless it changes nothing', async () => {
    first(1, ({ socket }) => void socket.destroy());
    assert.equal((await ask('POST', Buffer.from('{}')))[':status'], 502);
    assert.equal(lone.upstream.requests.length, 1);
    lone.upstream.reset();
    first(1, ({ socket }) => void socket.destroy());
    assert.equal((await ask('GET'))[':status'], 200);
    assert.equal(lone.upstream.requests.length, 2);
  });
});

describe('G12 a body that its client breaks off', () => {
  const ways: Readonly<Record<string, (stream: ClientHttp2Stream) => void>> = {
    'by a reset': (stream) => void stream.destroy(new Error('broken off')),
    'with its connection': (stream) => void stream.session?.socket.destroy(),
  };
  for (const [name, breakOff] of Object.entries(ways)) {
    test(`${name} never looks whole to the API server`, async () => {
      const ends: string[] = [];
      let size = 0;
      lone.upstream.answer = ({ stream }) => {
        stream.on('data', (bytes: Buffer) => {
          size += bytes.length;
        });
        stream.once('end', () => ends.push('whole'));
        stream.once('close', () => ends.push('closed'));
      };
      const authorization = `Bearer ${lone.broker.token('sid')}`;
      const stream = session.request({ ':method': 'PATCH', ':path': PODS, authorization });
      for (const one of [stream, session]) one.on('error', () => undefined);
      stream.write('kind: Pod\n');
      await until(() => size > 0, 'nothing arrives');
      breakOff(stream);
      await until(() => ends.includes('closed'), 'it is not closed');
      assert.deepEqual(ends, ['closed']);
    });
  }
});

test('G12 an answer that the API server breaks off never looks whole to its client', async () => {
  lone.upstream.answer = ({ stream }) => {
    stream.respond({ ':status': 200 });
    stream.write('half');
    setTimeout(() => stream.destroy(new Error('broken off')), 50);
  };
  const authorization = `Bearer ${lone.broker.token('sid')}`;
  const stream = session.request({ ':method': 'GET', ':path': PODS, authorization });
  const ends: string[] = [];
  stream.once('end', () => ends.push('whole')).once('error', () => ends.push('broken off'));
  stream.resume();
  await until(() => ends.length > 0, 'it does not end');
  assert.deepEqual(ends, ['broken off']);
});
