// What a gateway lets through, and as what: requests that two readers could take for different ones, credentials in odd places, headers
// that say who somebody is, and answers that are none. Before an API server that records what it is sent.

import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import http2, { type OutgoingHttpHeaders } from 'node:http2';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { signEs256 } from '../../serving/jws/es256.ts';
import { until } from '../support/patience.ts';
import { type RawClient, requestText } from '../support/raw_client.ts';
import { type RecordedGateway, startRecordedGateway } from '../support/recorded_gateway.ts';
import { answerWithStatus, type RecordedRequest } from '../support/recording_upstream.ts';

const PODS = '/api/v1/namespaces/dev/pods';

let lone: RecordedGateway;
let client: RawClient;
let bearer: string;
let people = 0;

before(async () => {
  lone = await startRecordedGateway();
});
after(() => lone?.stop());
beforeEach(async () => {
  people += 1;
  bearer = `Authorization: Bearer ${lone.broker.token(sid())}`;
  client = await lone.open();
});
afterEach(() => {
  client.destroy();
  lone.upstream.reset();
});

const sid = () => `sid-${people}`;
const ask = (path: string, headers: readonly string[] = [bearer], method = 'GET', body = '') =>
  client.send(requestText(path, headers, method, body));
const [only, isAsked] = [
  (): RecordedRequest => {
    const [request, ...more] = lone.upstream.requests;
    assert.ok(request);
    assert.deepEqual(more, []);
    return request;
  },
  () => lone.upstream.requests.length > 0,
];
const valuesOf = ({ headers }: RecordedRequest, name: string) =>
  headers.flatMap(([candidate, value]) => (candidate === name ? [value] : []));

describe('G7 a request that two readers could take for different ones is refused, and the connection closed', () => {
  for (const [what, text] of [
    ['a length and chunks', 'Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
    ['chunks and a length', 'Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n'],
    ['two lengths', 'Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde'],
    ['two lengths in one', 'Content-Length: 4, 4\r\n\r\nabcd'],
    ['a length with a sign', 'Content-Length: +4\r\n\r\nabcd'],
    ['chunks by another name', 'Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n'],
    ['chunks that are not last', 'Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n'],
    ['a space before a colon', 'Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n'],
    ['a header that goes on', 'X-A: b\r\n Transfer-Encoding: chunked\r\n\r\n'],
    ['a line feed alone', 'X-A: b\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
    ['a carriage return alone', 'X-A: b\rTransfer-Encoding: chunked\r\n\r\n'],
    ['a null character', 'X-A: b\0c\r\n\r\n'],
    ['a line feed after the size of a chunk', 'Transfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n'],
  ] as const) {
    test(what, async () => {
      // As long as nothing is answered, whatever has ended there ended by the gateway's word.
      lone.upstream.answer = () => undefined;
      client.send(`POST ${PODS} HTTP/1.1\r\nHost: gateway\r\n${bearer}\r\n${text}${requestText('/version', [bearer])}`);
      assert.equal(await client.status(), 400);
      await client.end();
      assert.deepEqual(
        lone.upstream.requests.filter(({ ended, path }) => ended || path !== PODS),
        [],
      );
    });
  }

  test('lines that end in a line feed alone', async () => {
    client.send(`GET /version HTTP/1.1\nHost: gateway\n${bearer}\n\n`);
    assert.equal(await client.status(), 400);
    await client.end();
    assert.ok(lone.upstream.requests.every(({ path }) => path !== '/version'));
  });

  for (const target of ['https://127.0.0.1/version', '*', 'version', '/ver\x7fsion']) {
    test(`a target that is no path: ${JSON.stringify(target)}`, async () => {
      ask(target);
      assert.equal(await client.status(), 400);
      assert.ok(lone.upstream.requests.every(({ path }) => path === PODS));
    });
  }

  test('CONNECT leads nowhere', async () => {
    client.send(`CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: 127.0.0.1:1\r\n${bearer}\r\n\r\n`);
    await client.end();
    assert.equal(client.text(), '');
    assert.ok(lone.upstream.requests.every(({ path }) => path === PODS));
  });
});

describe('G4 a request with no credential that is good, or more than one', () => {
  const cases: readonly (readonly [string, () => readonly string[], number])[] = [
    ['none', () => [], 401],
    ['an empty bearer', () => ['Authorization: Bearer '], 401],
    ['two', () => [bearer, bearer], 400],
    ['two in one', () => [`${bearer}, Bearer x`], 401],
    ['another scheme', () => ['Authorization: Basic YTpi'], 401],
    ['Connection that names it', () => [bearer, 'Connection: close, authorization'], 400],
    ['one beside it in a subprotocol', () => [bearer, `Sec-WebSocket-Protocol: ${carried(bearer)}`], 400],
  ];
  for (const [what, headers, status] of cases) {
    test(`${what}: ${status}, and the API server hears nothing`, async () => {
      ask(PODS, headers());
      assert.equal(await client.status(), status);
      assert.deepEqual(lone.upstream.requests, []);
    });
  }

  test('a token that somebody else signed keeps no session alive, nor does one that the API server does not let in', async () => {
    ask(PODS, [`Authorization: Bearer ${forged(lone.broker.token('sid-forged'))}`]);
    assert.equal(await client.status(), 401);
    for (const status of [400, 401, 429, 500, 503]) {
      lone.upstream.answer = ({ stream }) => stream.respond({ ':status': status }, { endStream: true });
      const other = await lone.open();
      other.send(requestText(PODS, [`Authorization: Bearer ${lone.broker.token(`sid-${status}`)}`]));
      assert.equal(await other.status(), status);
      other.destroy();
    }
    for (const status of [201, 403, 404, 409, 422]) {
      lone.upstream.answer = ({ stream }) => stream.respond({ ':status': status }, { endStream: true });
      const other = await lone.open();
      other.send(requestText(PODS, [`Authorization: Bearer ${lone.broker.token(`sid-in-${status}`)}`]));
      assert.equal(await other.status(), status);
      other.destroy();
    }
    const seen = () => new Set(lone.broker.asked.flatMap(({ uses }) => uses.map((use) => use.sid)));
    await until(() => [201, 403, 404, 409, 422].every((status) => seen().has(`sid-in-${status}`)), 'no use is told');
    assert.deepEqual(
      [...seen()].filter((one) => /^sid-(forged|\d{3})$/.test(one)),
      [],
    );
  });

  test('with `other_credentials: pass` what is not of a session passes, with one credential or none, and a forged one does not', async () => {
    const open = await startRecordedGateway({ other_credentials: 'pass' });
    try {
      const statusOf = async (headers: readonly string[]) => {
        const other = await open.open();
        other.send(requestText(PODS, headers));
        const status = await other.status();
        other.destroy();
        return status;
      };
      assert.equal(await statusOf([]), 200);
      assert.equal(await statusOf(['Authorization: Bearer opaque']), 200);
      assert.deepEqual(
        open.upstream.requests.map((request) => valuesOf(request, 'authorization')),
        [[], ['Bearer opaque']],
      );
      assert.equal(await statusOf([`Authorization: Bearer ${forged(open.broker.token('sid'))}`]), 401);
      assert.equal(await statusOf(['Authorization: Bearer a', 'Authorization: Bearer b']), 400);
      assert.equal(open.upstream.requests.length, 2);
    } finally {
      await open.stop();
    }
  });
});

/** The same, as somebody else would sign it. */
function forged(token: string): string {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const [head, payload] = token.split('.');
  return `${head}.${payload}.${signEs256(`${head}.${payload}`, privateKey).toString('base64url')}`;
}

const carried = (line: string) =>
  `base64url.bearer.authorization.k8s.io.${Buffer.from(line.slice('Authorization: Bearer '.length)).toString('base64url')}`;

describe('G5 what reaches the API server', () => {
  test('has the token, no word of who somebody is or where they come from but ours, and whom to act as', async () => {
    const impersonate = ['Impersonate-User: x', 'Impersonate-Group: a', 'Impersonate-Group: b'];
    const foreign = ['X-Remote-User: root', 'X-Remote-Group: system:masters', 'X-Remote-Extra-A: b'];
    const from = [
      'X-Forwarded-For: 10.9.8.7',
      'X-Forwarded-Proto: http',
      'Forwarded: for=10.9.8.7',
      'X-Real-Ip: 1.2.3.4',
    ];
    ask(PODS, [bearer, ...impersonate, ...foreign, ...from, 'X-Own: kept']);
    assert.equal(await client.status(), 200);
    const request = only();
    assert.deepEqual(request.headers, [
      ['impersonate-user', 'x'],
      ['impersonate-group', 'a'],
      ['impersonate-group', 'b'],
      ['x-own', 'kept'],
      ['authorization', bearer.slice('Authorization: '.length)],
      ['x-forwarded-for', '127.0.0.1'],
    ]);
  });

  test('whom to act as is not lost behind however many headers', async () => {
    const many = Array.from({ length: 2_000 }, (_, i) => `X-${i}: ${i}`);
    ask(PODS, [bearer, ...many, 'Impersonate-User: x']);
    assert.equal(await client.status(), 200);
    assert.deepEqual(valuesOf(only(), 'impersonate-user'), ['x']);
  });

  for (const path of [
    '/api/v1/namespaces/dev/services/web/proxy/a%20b;c?d=%2F..%2f&e=f+g',
    '/api/v1/namespaces/dev/services/web/proxy//x/',
    '/api/v1/namespaces/dev%2fpods',
    '/apis/apps/v1/namespaces/dev/deployments?labelSelector=a%3Db,c!=d&limit=500&x=%zz#y',
    '/api/v1/namespaces/dev/pods/../secrets',
  ]) {
    test(`the path to the byte: ${path}`, async () => {
      ask(path);
      await until(isAsked, 'it is not asked');
      assert.equal(only().path, path);
    });
  }
});

describe('G10 names and answers that no library expects are passed on or refused, and the gateway goes on', () => {
  const asked = async (protocol: 'http/1.1' | 'h2') => {
    if (protocol === 'h2') return (await askByHttp2()).status;
    const other = await lone.open();
    other.send(requestText(PODS, [bearer]));
    const status = await other.status();
    other.destroy();
    return status;
  };
  const isWell = async () => {
    lone.upstream.reset();
    for (const protocol of ['http/1.1', 'h2'] as const) assert.equal(await asked(protocol), 200);
  };

  for (const name of ['constructor', '__proto__', 'tostring', '__definegetter__']) {
    test(`a header ${name} of a client`, async () => {
      ask(PODS, [bearer, `${name}: a`, `${name}: b`]);
      assert.equal(await client.status(), 200);
      assert.deepEqual(valuesOf(only(), name), ['a', 'b']);
      await isWell();
    });
  }

  const twice = (name: string, one: string, other: string): OutgoingHttpHeaders => ({
    ':status': 200,
    [name]: [one, other],
  });
  for (const [what, head, status] of [
    ['a header `constructor`', { ':status': 200, constructor: 'a' }, 200],
    ['two types', twice('content-type', 'text/plain', 'text/html'), 200],
    ['two headers that there may be one of', twice('x-content-type-options', 'nosniff', 'nosniff'), 200],
  ] as const) {
    for (const protocol of ['http/1.1', 'h2'] as const) {
      test(`${what} in an answer, over ${protocol}`, async () => {
        lone.upstream.answer = ({ stream }) => stream.respond(head as OutgoingHttpHeaders, { endStream: true });
        assert.equal(await asked(protocol), status);
        await isWell();
      });
    }
  }

  for (const answered of ['999', '600', '101']) {
    for (const protocol of ['http/1.1', 'h2'] as const) {
      test(`a status ${answered}, over ${protocol}: 502`, async () => {
        lone.upstream.answer = (request) => answerWithStatus(request, answered);
        assert.equal(await asked(protocol), 502);
        await isWell();
      });
    }
  }
});

async function askByHttp2(): Promise<{ readonly status: number }> {
  const session = http2.connect(lone.url, { ca: lone.authority.caPem });
  try {
    const stream = session.request({ ':path': PODS, authorization: bearer.slice('Authorization: '.length) });
    const [head] = await once(stream, 'response');
    stream.resume();
    return { status: Number(head[':status']) };
  } finally {
    session.destroy();
  }
}
