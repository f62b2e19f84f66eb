// Connections through a gateway that become something else: which may, what an API server that does not agree leaves open (nothing), and
// that what passes is to the byte as it came. Before an API server that records what it is sent.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { until } from '../support/patience.ts';
import type { RawClient } from '../support/raw_client.ts';
import { requestText } from '../support/raw_client.ts';
import { type RecordedGateway, startRecordedGateway } from '../support/recorded_gateway.ts';
import type { RecordedConnection } from '../support/recording_upstream.ts';

const POD = '/api/v1/namespaces/dev/pods/shell';
const EXEC = `${POD}/exec?command=sh&stdin=true&stdout=true`;
const WEBSOCKET = [
  ...['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13'],
  ...['Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==', 'Sec-WebSocket-Protocol: v5.channel.k8s.io'],
];
const SPDY = ['Connection: Upgrade', 'Upgrade: SPDY/3.1', 'X-Stream-Protocol-Version: v4.channel.k8s.io'];

let lone: RecordedGateway;
let client: RawClient;
let token: string;
let bearer: string;

before(async () => {
  lone = await startRecordedGateway();
  token = lone.broker.token('sid-1');
  bearer = `Authorization: Bearer ${token}`;
});
after(() => lone?.stop());
beforeEach(async () => {
  client = await lone.open();
});
afterEach(() => {
  client.destroy();
  lone.upstream.reset();
});

const ask = (path: string, headers: readonly string[], method = 'GET', body = '') =>
  client.send(requestText(path, headers, method, body));
function connection(): RecordedConnection {
  const [only, ...more] = lone.upstream.connections;
  assert.ok(only);
  assert.deepEqual(more, []);
  return only;
}
const heard = () => lone.upstream.connections.length + lone.upstream.requests.length;

describe('G9 an upgrade is', () => {
  for (const path of [EXEC, `${POD}/attach`, `${POD}/portforward`, '/api/v1/namespaces/dev/services/web/proxy/x?y']) {
    for (const [method, headers] of [
      ['GET', WEBSOCKET],
      ['POST', SPDY],
    ] as const) {
      test(`passed on, as it came: ${method} ${path}`, async () => {
        ask(path, [bearer, ...headers, 'X-Own: a', 'X-Own: b', 'X-Remote-User: root', 'Impersonate-User: x'], method);
        assert.equal(await client.status(), 101);
        const own = headers.slice(2).map((line) => line.replace(/^[^:]+/, (name) => name.toLowerCase()));
        assert.deepEqual(
          connection().head().split('\r\n').sort(),
          [
            ...[
              `${method} ${path} HTTP/1.1`,
              `host: ${new URL(lone.upstream.url).host}`,
              'x-own: a',
              'x-own: b',
              ...own,
            ],
            ...['impersonate-user: x', `authorization: Bearer ${token}`, 'x-forwarded-for: 127.0.0.1'],
            ...(method === 'POST' ? ['content-length: 0'] : []),
            ...['connection: Upgrade', headers[1]?.replace('Upgrade', 'upgrade') ?? '', '', ''],
          ].sort(),
        );
      });
    }
  }

  for (const [what, path, headers, method] of [
    ['of a path where nothing is upgraded', `${POD}/log?follow=true`, WEBSOCKET, 'GET'],
    ['of a watch', '/api/v1/pods?watch=true', WEBSOCKET, 'GET'],
    ['of the root', '/', WEBSOCKET, 'GET'],
    ['of a path that is spelled otherwise', `${POD}/ex%65c`, WEBSOCKET, 'GET'],
    ['of a path whose version hides more of it', '/api/v1%2fx/namespaces/dev/pods/shell/exec', WEBSOCKET, 'GET'],
    ['to HTTP/2', EXEC, ['Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABkAAQ'], 'GET'],
    ['to one of two', EXEC, ['Connection: Upgrade', 'Upgrade: websocket, SPDY/3.1'], 'GET'],
    ['to two', EXEC, ['Connection: Upgrade', 'Upgrade: websocket', 'Upgrade: SPDY/3.1'], 'GET'],
    ['by another method', EXEC, WEBSOCKET, 'PUT'],
    ['with a body', EXEC, [...WEBSOCKET, 'Content-Length: 5'], 'POST'],
    ['with chunks', EXEC, [...WEBSOCKET, 'Transfer-Encoding: chunked'], 'POST'],
  ] as const) {
    test(`refused ${what}, and closed`, async () => {
      ask(path, [bearer, ...headers], method, 'GET /version HTTP/1.1\r\n');
      assert.equal(await client.status(), 400);
      await client.end();
      assert.equal(heard(), 0);
    });
  }
});

describe('G9 where an API server does not upgrade, both sides are closed, and nothing more of the client reaches it', () => {
  const behind = requestText('/api/v1/secrets', ['Authorization: Bearer of-somebody-else']);
  const answers: readonly (readonly [string, string, number])[] = [
    ['it refuses', 'HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\nX-Own: a\r\n\r\nword', 403],
    ['it refuses, and keeps its connection', 'HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n', 404],
    ['it redirects', 'HTTP/1.1 302 Found\r\nLocation: https://127.0.0.1:1/x\r\nContent-Length: 0\r\n\r\n', 502],
    ['it redirects for good', 'HTTP/1.1 308 Permanent Redirect\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n', 502],
    ['it answers as if nothing had been asked', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok', 502],
    [
      'it speaks another protocol',
      'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n',
      502,
    ],
    ['it names no protocol', 'HTTP/1.1 101 Switching Protocols\r\n\r\n', 502],
    ['it answers with a status that is none', 'HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n', 502],
    ['it answers with no HTTP', 'SSH-2.0-OpenSSH\r\n\r\n', 502],
  ];
  for (const [what, text, status] of answers) {
    test(what, async () => {
      lone.upstream.upgrade = ({ socket }) => void socket.write(text);
      client.send(requestText(EXEC, [bearer, ...WEBSOCKET]) + behind);
      assert.equal(await client.status(), status);
      client.send(behind);
      await client.end();
      await until(() => connection().closed, 'its connection stays open');
      assert.equal(connection().rest().toString(), '');
      assert.equal(heard(), 1);
      if (status === 403) assert.match(client.text(), /x-own: a\r\n(.+\r\n)*\r\nword$/i);
      if (status === 502) assert.match(client.text(), /"kind":"Status"/);
    });
  }

  test('it says nothing until the client has gone', async () => {
    lone.upstream.upgrade = () => undefined;
    client.send(requestText(EXEC, [bearer, ...WEBSOCKET]) + behind);
    await until(() => heard() === 1 && connection().head() !== '', 'it is not asked');
    client.destroy();
    await until(() => connection().closed, 'its connection stays open');
    assert.equal(connection().rest().toString(), '');
  });
});

describe('G4 a bearer token in a subprotocol', () => {
  const carried = (text: string) => `base64url.bearer.authorization.k8s.io.${Buffer.from(text).toString('base64url')}`;
  const withProtocols = (...protocols: readonly string[]) => [
    ...WEBSOCKET.filter((line) => !line.startsWith('Sec-WebSocket-Protocol')),
    ...protocols.map((protocol) => `Sec-WebSocket-Protocol: ${protocol}`),
  ];

  test('alone is the credential, and neither goes on as a subprotocol nor into a log', async () => {
    ask(EXEC, withProtocols(`v5.channel.k8s.io, ${carried(token)}`, 'v4.channel.k8s.io'));
    assert.equal(await client.status(), 101);
    const lines = connection().head().split('\r\n');
    assert.deepEqual(
      lines.filter((line) => /^(authorization|sec-websocket-protocol):/.test(line)),
      ['sec-websocket-protocol: v5.channel.k8s.io, v4.channel.k8s.io', `authorization: Bearer ${token}`],
    );
    assert.ok(!connection().head().includes(carried(token)));
    for (const secret of [token, carried(token), token.split('.')[2] ?? '']) {
      assert.ok(!lone.log().includes(secret));
      assert.ok(!(await lone.metrics()).includes(secret));
    }
  });

  for (const [what, headers, status] of [
    ['beside one in Authorization', () => [bearer, ...withProtocols(carried(token))], 400],
    ['twice', () => withProtocols(`${carried(token)}, ${carried(token)}`), 400],
    ['that is empty', () => withProtocols(carried('')), 401],
    ['that is not ours', () => withProtocols(carried('opaque')), 401],
    ['with a line break', () => withProtocols(carried(`${token}\r\nX-Remote-User: root`)), 401],
    ['that is padded', () => withProtocols(`${carried(token)}=`), 401],
  ] as const) {
    test(`${what}: ${status}`, async () => {
      ask(EXEC, headers());
      assert.equal(await client.status(), status);
      await client.end();
      assert.equal(heard(), 0);
    });
  }
});

describe('G9 what passes', () => {
  test('is to the byte as it came, each way, also what came before the answer and with it', async () => {
    const [early, up, down] = [randomBytes(1_000), randomBytes(3_000_000), randomBytes(3_000_000)];
    const answer = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n';
    lone.upstream.upgrade = ({ socket }) => void socket.write(Buffer.concat([Buffer.from(answer), down]));
    client.send(Buffer.concat([Buffer.from(requestText(EXEC, [bearer, ...WEBSOCKET])), early]));
    assert.equal(await client.status(), 101);
    client.send(up);
    const received = () => client.bytes().subarray(client.bytes().indexOf('\r\n\r\n') + 4);
    await until(() => received().length >= down.length, 'not all comes down');
    await until(() => connection().rest().length >= early.length + up.length, 'not all goes up');
    assert.ok(received().equals(down));
    assert.ok(
      connection()
        .rest()
        .equals(Buffer.concat([early, up])),
    );
  });

  test('ends on both sides where it ends on one', async () => {
    ask(EXEC, [bearer, ...WEBSOCKET]);
    assert.equal(await client.status(), 101);
    connection().socket.end('last');
    await client.end();
    assert.match(client.text(), /last$/);
    const other = await lone.open();
    other.send(requestText(EXEC, [bearer, ...WEBSOCKET]));
    assert.equal(await other.status(), 101);
    other.destroy();
    await until(() => lone.upstream.connections.every(({ closed }) => closed), 'one of its connections stays open');
  });
});
