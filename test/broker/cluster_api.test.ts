// The broker's view of a cluster's API server that answers otherwise than it should: nothing but a token that is bound to the
// session's Secret is taken for one.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import type { ClusterApi } from '../../broker/api_servers/api.ts';
import { type ClusterApis, createClusterApis } from '../../broker/api_servers/apis.ts';
import type { Cluster } from '../../broker/config/settings.ts';
import { createCertificateAuthority } from '../support/certificates.ts';

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

const SECRET = { namespace: 'people', name: 'curfew-1', uid: 'uid-1' };
const now = Math.floor(Date.now() / 1000);
const CLAIMS = {
  iat: now,
  exp: now + 600,
  jti: 'jti-1',
  'kubernetes.io': { secret: { name: 'curfew-1', uid: 'uid-1' } },
};

let dir: string;
let server: Server;
let apis: ClusterApis;
let api: ClusterApi;
let tokenFile: string;
let answer: Answer;
let seen: string[] = [];
let cluster: Cluster;

before(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'curfew-api-'));
  const authority = await createCertificateAuthority(path.join(dir, 'ca'));
  const { certFile, keyFile } = await authority.issue({ name: 'api', hosts: ['127.0.0.1'] });
  const [cert, key] = await Promise.all([readFile(certFile), readFile(keyFile)]);
  server = createServer({ cert, key }, (request, response) => {
    seen.push(`${request.method} ${request.url} ${request.headers.authorization}`);
    answer(request, response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  tokenFile = path.join(dir, 'token');
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  cluster = {
    ...{ name: 'managed', server: url, ca: authority.caPem, audience: 'managed', allowed_groups: ['*'], labels: {} },
    ...{ credential: 'service-account', service_accounts: [], broker_token_file: tokenFile },
  };
  apis = createClusterApis();
});
after(async () => {
  await apis.close();
  server.closeAllConnections();
  server.close();
  await rm(dir, { recursive: true });
});
beforeEach(async () => {
  await writeFile(tokenFile, 'broker-token\n');
  api = apis.of(cluster);
  seen = [];
});

const json =
  (status: number, body: unknown): Answer =>
  (_, response) =>
    void response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
const tokenOf = (claims: object) =>
  ['{"alg":"RS256"}', JSON.stringify(claims), 'sig'].map((part) => Buffer.from(part).toString('base64url')).join('.');
const granting = (claims: object) => json(201, { status: { token: tokenOf(claims) } });
const request = () => api.requestToken('readers', SECRET);

test('a token that is bound to the Secret is taken, and asked for with the token of the file', async () => {
  answer = granting(CLAIMS);
  const token = await request();
  assert.deepEqual(token && [token.jti, token.iat, token.exp], ['jti-1', now, now + 600]);
  assert.deepEqual(seen, ['POST /api/v1/namespaces/people/serviceaccounts/readers/token Bearer broker-token']);
  await writeFile(tokenFile, 'another');
  await request();
  assert.match(seen[1] ?? '', /Bearer another$/);
});

for (const [what, claims] of [
  ['bound to nothing', { ...CLAIMS, 'kubernetes.io': {} }],
  ['bound to a pod', { ...CLAIMS, 'kubernetes.io': { pod: { name: 'curfew-1', uid: 'uid-1' } } }],
  ['bound to another Secret', { ...CLAIMS, 'kubernetes.io': { secret: { name: 'curfew-2', uid: 'uid-1' } } }],
  [
    'bound to an earlier Secret of that name',
    { ...CLAIMS, 'kubernetes.io': { secret: { name: 'curfew-1', uid: 'x' } } },
  ],
  ['without jti', { ...CLAIMS, jti: undefined }],
  ['without exp', { ...CLAIMS, exp: undefined }],
  ['that ends before it begins', { ...CLAIMS, exp: now }],
] as const) {
  test(`a token ${what} is refused: it would outlive the session`, async () => {
    answer = granting(claims);
    await assert.rejects(request(), { code: 'service_account' });
  });
}

for (const [what, reply, code, words] of [
  ['500', json(500, {}), 'api_server', /HTTP 500/],
  ['429', json(429, {}), 'api_server', /HTTP 429/],
  ['401', json(401, {}), 'service_account', /broker_token_file \(HTTP 401\)/],
  ['403', json(403, {}), 'service_account', /does not let the broker POST serviceaccounts\/token \(HTTP 403\)/],
  [
    '404 for the ServiceAccount',
    json(404, { details: { kind: 'serviceaccounts', name: 'readers' } }),
    'service_account',
    /no ServiceAccount people\/readers/,
  ],
  [
    'a redirect',
    ((_, response) => void response.writeHead(307, { location: 'https://127.0.0.1:1/' }).end()) as Answer,
    'service_account',
    /HTTP 307/,
  ],
  ['HTML', ((_, response) => void response.writeHead(201).end('<h1>')) as Answer, 'service_account', /HTTP 201/],
  [
    'more than is read',
    ((_, response) => void response.writeHead(201).end('x'.repeat(5_000_000))) as Answer,
    'api_server',
    /more than 4 MiB/,
  ],
  ['nothing', ((incoming) => void incoming.socket.destroy()) as Answer, 'api_server', /cannot be reached/],
] as const) {
  test(`an API server that answers ${what} gives no token: ${code}`, async () => {
    answer = reply;
    await assert.rejects(request(), (error: Error & { code?: string }) => {
      assert.equal(error.code, code);
      assert.match(error.message, words);
      assert.doesNotMatch(error.message, /broker-token/);
      return true;
    });
    assert.equal(seen.length, 1, 'it was asked once, and nobody else');
  });
}

test('one that hangs is given up after 4 s', async () => {
  answer = () => undefined;
  await assert.rejects(request(), { code: 'api_server', message: /did not answer in time/ });
});

test('one with another certificate is not asked', async () => {
  const { ca: _, ...unknown } = cluster;
  await assert.rejects(apis.of(unknown).requestToken('readers', SECRET), {
    code: 'api_server',
    message: /certificate that is not trusted/,
  });
  assert.deepEqual(seen, []);
});

test('a Secret that is gone is told from a ServiceAccount that is not there', async () => {
  answer = json(404, { details: { kind: 'secrets', name: 'curfew-1' } });
  assert.equal(await request(), undefined);
});

test('a deletion is done when the Secret is gone, or another bears its name; and not when it was refused', async () => {
  for (const status of [200, 404, 409]) {
    answer = json(status, {});
    await api.deleteSecret(SECRET);
  }
  answer = json(403, {});
  await assert.rejects(api.deleteSecret(SECRET), { code: 'service_account' });
});

for (const [what, text] of [
  ['empty', ''],
  ['with a line more', 'a\nb'],
  ['with a space', 'a b'],
] as const) {
  test(`a token file that is ${what} is said, and nobody is asked`, async () => {
    await writeFile(tokenFile, text);
    await assert.rejects(request(), { code: 'service_account', message: /broker_token_file holds no token/ });
    assert.deepEqual(seen, []);
  });
}
