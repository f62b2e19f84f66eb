// H1 by chance: requests that are put together of what should and what should not be there, at every endpoint. Whatever comes is answered
// with 4xx or closed, never with 5xx, and the broker is none the worse for it.

import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, test } from 'node:test';
import { chanceOf } from '../support/chance.ts';
import { GATEWAY_CLUSTERS } from '../support/gateway.ts';
import type { Holder } from '../support/holder.ts';
import { startTestService, type TestService } from '../support/service.ts';
import { listening } from '../support/signals.ts';
import { sessionRow } from '../support/store_row.ts';
import { TARGETS } from '../support/targets.ts';

const REQUESTS = 1_500;

const { below, pick, seed } = chanceOf('requests_by_chance');

let service: TestService;
let holder: Holder;
let handle: string;
let sid: string;
before(async () => {
  const webhook = { token_file: 'dev-hook', on_failure: 'deny', authentication: true };
  const admins = { groups: ['sre'], limits: { max_age: '1h', inactivity_timeout: '1h' } };
  service = await startTestService({ ...TARGETS, clusters: [{ ...GATEWAY_CLUSTERS[0], webhook }], admins });
  await service.reload(listening(service));
  holder = service.holder();
  const { granted } = await service.login(holder, {}, { audience: 'dev' });
  handle = granted.refresh_token ?? '';
  sid = granted.session.sid;
});
after(() => service.stop());

const METHODS = [
  ...[
    'GET',
    'POST',
    'PUT',
    'DELETE',
    'HEAD',
    'OPTIONS',
    'PATCH',
    'TRACE',
    'CONNECT',
    'get',
    'QUERY',
    'LINK',
    'PURGE',
    'X',
  ],
];
const paths = () => [
  ...['/token', '/revoke', '/introspect', '/v1/sessions', `/v1/sessions/${sid}x`, '/backchannel-logout', '/ssf/events'],
  ...[
    '/webhooks/authorize',
    '/webhooks/authenticate',
    '/v1/gateway/sessions',
    '/v1/gateway/events',
    '/v1/gateway/connections',
    '/healthz',
    '/jwks',
  ],
  ...[
    '/.well-known/curfew',
    '/.well-known/openid-configuration',
    '/',
    '*',
    '',
    'http://other.example.com/token',
    '//token',
  ],
  ...[
    '/token/',
    '/%74oken',
    '/token%00',
    '/token?a[]=1&__proto__=x',
    '/v1/sessions?x=%',
    '/v1/sessions/%2e%2e',
    '/\x01',
  ],
  ...['/v1/sessions/%ff', '/v1/sessions/constructor', '/v1/gateway/ends?after=%00', '/v1/gateway/ends?after=a&after=b'],
  ...[
    '/v1/sessions?next=zzz',
    '/v1/sessions?all=true&limit=-1',
    '/é',
    `/${'a'.repeat(9_000)}`,
    '/token#x',
    '/token;x=1',
  ],
];
const authorizations = () => [
  ...[`DPoP ${handle}`, `Bearer ${handle}`, `DPoP  ${handle}`, 'Bearer', 'Basic Og==', 'Negotiate x', ''],
  ...['dev', 'prod-eu', 'targets'].flatMap((name) =>
    [service.webhook_tokens[name], service.gateway_tokens[name]].map((one) => `Bearer ${one}`),
  ),
];
const proofs = () => [
  ...[holder.proof(), holder.proof({ method: 'GET', url: 'https://curfew.example.com/v1/sessions' }), 'x', ''],
  `${holder.proof()}, ${holder.proof()}`,
];
const TYPES = [
  ...['application/x-www-form-urlencoded', 'application/json', 'application/secevent+jwt', 'text/plain', '', 'a'],
  ...['multipart/form-data; boundary=x', 'application/x-www-form-urlencoded; charset=utf-16', '__proto__'],
];
const review = (kind: string, group: string, spec: object) =>
  JSON.stringify({ kind, apiVersion: `${group}.k8s.io/v1`, spec });
const connection = () =>
  JSON.stringify({
    token: 'a.b.c',
    target: 'cache',
    address: '::1',
    proof: { jti: 'x'.repeat(9), jkt: 'y', iat: below(9) },
  });
const bodies = () => [
  ...[
    '',
    'a=b',
    `grant_type=refresh_token&refresh_token=${handle}x&audience=dev`,
    '{}',
    '[]',
    'null',
    '"x"',
    '\xff\xfe',
  ],
  ...['{"asks":[{}],"uses":[null]}', '{"asks":[{"sid":"x","targets":[{}]}],"uses":[{"sid":"x","age_ms":-1}]}'],
  ...['{"token":"a.b.c","target":"cache","address":"::1","proof":{"jti":"","jkt":1}}', connection()],
  ...['{"instance":"i","first":1,"events":[{"type":"opened"}]}', '{"__proto__":{"x":1},"asks":[],"uses":[]}'],
  ...[
    review('SubjectAccessReview', 'authorization', { user: 'x', resourceAttributes: {} }),
    'token=x',
    'logout_token=a.b.c',
  ],
  ...[
    review('TokenReview', 'authentication', { token: 'x' }),
    '['.repeat(20_000),
    `{"a":${'['.repeat(5_000)}${']'.repeat(5_000)}}`,
  ],
  JSON.stringify({ asks: Array.from({ length: 300 }, () => ({ sid: 'x', targets: [] })), uses: [] }),
];
const HEADERS = [
  ...['Expect: 100-continue', 'Expect: x', 'Transfer-Encoding: chunked', 'Content-Encoding: gzip', 'Connection: close'],
  ...[
    'Upgrade: websocket\r\nConnection: Upgrade',
    'Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings',
    'Cookie: a=b',
  ],
  ...[
    'X-HTTP-Method-Override: DELETE',
    'Connection: keep-alive, DPoP',
    'X-Forwarded-For: 1.2.3.4',
    'Origin: https://x',
  ],
  ...[
    'Range: bytes=0-1',
    'If-None-Match: *',
    'Accept: text/html',
    'TE: trailers',
    'User-Agent: \x80\xff',
    `X: ${'y'.repeat(3_000)}`,
  ],
];

function request(): string {
  const body = pick(bodies()) ?? '';
  const length = Buffer.byteLength(body, 'latin1') + (below(20) === 0 ? 5 : 0);
  const lines = [
    `${pick(METHODS)} ${pick(paths())} HTTP/1.${pick(['1', '1', '1', '0'])}`,
    ...(below(10) > 0 ? [`Host: ${pick(['x', 'curfew.example.com', '', 'a:b:c', 'x@y'])}`] : []),
    ...(below(2) ? [`Authorization: ${pick(authorizations())}`] : []),
    ...(below(2) ? [`DPoP: ${pick(proofs())}`] : []),
    ...(below(3) ? [`Content-Type: ${pick(TYPES)}`] : []),
    ...Array.from({ length: below(3) }, () => pick(HEADERS) ?? ''),
    ...(below(8) ? [`Content-Length: ${length}`] : []),
  ];
  return `${lines.join('\r\n')}\r\n\r\n${body}`;
}

/** @returns the status, `none` where it was closed, or is not whole */
async function statusOf(text: string): Promise<string> {
  const { hostname, port } = new URL(service.url);
  const socket = connect({ host: hostname, port: Number(port) });
  let answer = '';
  return new Promise((resolve) => {
    const end = () => {
      socket.destroy();
      resolve(/^HTTP\/1\.1 (?!1\d\d)(\d{3})/m.exec(answer)?.[1] ?? 'none');
    };
    socket.on('data', (chunk: Buffer) => {
      answer += chunk.toString('latin1');
      if (/^HTTP\/1\.1 (?!1\d\d)\d{3}/m.test(answer)) end();
    });
    socket.once('error', end).once('close', end);
    // Nothing comes after it: one that is not whole is closed.
    socket.end(text, 'latin1');
  });
}

test(`H1 ${REQUESTS} requests by chance: none is answered with 5xx, none ends anything, and the broker serves as before (SEED=${seed})`, async () => {
  const seen = new Map<string, number>();
  for (let i = 0; i < REQUESTS; i += 1) {
    const text = request();
    const from = service.log.length;
    const status = await statusOf(text);
    seen.set(status, (seen.get(status) ?? 0) + 1);
    assert.doesNotMatch(status, /^5/, JSON.stringify(text).slice(0, 2_000));
    const said = service.log.slice(from).filter((line) => /unexpected error|the store failed/.test(line));
    assert.deepEqual(said, [], JSON.stringify(text).slice(0, 2_000));
  }
  console.log(JSON.stringify(Object.fromEntries(seen)));
  for (const status of ['200', '400', '401', '404', '405'])
    assert.ok(seen.has(status), `none was answered with ${status}`);
  assert.equal(sessionRow(service.storeFile, sid).end_reason, null);
  assert.equal((await holder.renew(handle, 'dev')).status, 200);
  assert.equal((await fetch(`${service.url}/readyz`)).status, 200);
});
