// The threat model: HTTP (H) and what a fault of the wire does (F2): raw requests against the broker over real sockets.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { assertKept } from '../support/patience.ts';
import { startTestService, type TestService } from '../support/service.ts';
import { storeText } from '../support/store_database.ts';

let service: TestService;

const FORM = 'application/x-www-form-urlencoded';

async function post(
  body: string | Uint8Array,
  type = FORM,
  path = '/token',
): Promise<{ status: number; text: string }> {
  const response = await fetch(service.url + path, { method: 'POST', headers: { 'content-type': type }, body });
  return { status: response.status, text: await response.text() };
}

/** Sends raw bytes, and resolves with what came back once the peer has closed, and after how long. */
function raw(chunks: (write: (text: string) => void) => void): Promise<{ text: string; ms: number }> {
  const { hostname, port } = new URL(service.url);
  return new Promise((resolve) => {
    const begin = performance.now();
    const socket = connect(Number(port), hostname);
    let text = '';
    socket.on('data', (data) => {
      text += data;
    });
    socket.on('error', () => undefined);
    socket.on('close', () => resolve({ text, ms: performance.now() - begin }));
    socket.on('connect', () => chunks((part) => socket.write(part)));
  });
}

describe('HTTP', () => {
  before(async () => {
    service = await startTestService();
  });
  after(() => service.stop());

  test('H1 JSON, multipart, text or nothing to a form endpoint is refused', async () => {
    for (const path of ['/token', '/revoke']) {
      for (const type of ['application/json', 'multipart/form-data; boundary=x', 'text/plain', 'image/png']) {
        const { status, text } = await post('{"grant_type":"refresh_token"}', type, path);
        assert.deepEqual([status, JSON.parse(text).error], [400, 'invalid_request'], type);
      }
      assert.equal((await post('', FORM, path)).status, 400);
      assert.equal((await fetch(service.url + path, { method: 'POST' })).status, 400);
    }
  });

  test('H1 an 11 MB body is refused at once', async () => {
    const body = new Uint8Array(11 << 20).fill(97);
    const begin = performance.now();
    for (let i = 0; i < 20; i++) {
      const status = await post(body).then(
        (answer) => answer.status,
        () => 400, // the connection was closed while the body was still on its way
      );
      assert.equal(status, 400);
    }
    assertKept(performance.now() - begin, 10_000);
  });

  test('H1 10,000 parameters, repeated parameters and bad UTF-8 are refused', async () => {
    const many = Array.from({ length: 10_000 }, (_, i) => `a${i}=1`).join('&');
    const bad = [
      many,
      many.slice(0, 20_000),
      'grant_type=refresh_token&grant_type=refresh_token',
      'grant_type=%ff',
      '%ff=1',
    ];
    for (const body of bad) {
      const { status, text } = await post(body);
      assert.deepEqual([status, JSON.parse(text).reason], [400, 'request_invalid']);
    }
    assert.equal((await post(new Uint8Array([0x61, 0x3d, 0xff, 0xfe]))).status, 400);
  });

  test('H1 GET, PUT and DELETE on /token and /revoke are refused', async () => {
    for (const path of ['/token', '/revoke']) {
      for (const method of ['GET', 'PUT', 'DELETE', 'PATCH']) {
        const response = await fetch(service.url + path, { method });
        assert.deepEqual([response.status, response.headers.get('allow')], [405, 'POST']);
      }
    }
  });

  test('H1 an unknown grant type, a missing parameter and a wrong subject_token_type are refused by name', async () => {
    const cases = [
      ['grant_type=password', 'unsupported_grant_type', 'grant_type'],
      ['x=1', 'invalid_request', 'grant_type'],
      ['grant_type=refresh_token&audience=dev', 'invalid_request', 'refresh_token'],
      ['grant_type=refresh_token&refresh_token=x', 'invalid_request', 'audience'],
      [
        'grant_type=urn:ietf:params:oauth:grant-type:token-exchange&subject_token_type=x',
        'invalid_request',
        'subject_token_type',
      ],
    ] as const;
    for (const [body, error, word] of cases) {
      const { status, text } = await post(body);
      const answer = JSON.parse(text) as { error: string; error_description: string };
      assert.deepEqual([status, answer.error], [400, error]);
      assert.ok(answer.error_description.startsWith(word));
    }
  });

  test('H2 slow headers and a slow body are cut within 10 s', async () => {
    const head = `POST /token HTTP/1.1\r\nHost: x\r\nContent-Type: ${FORM}\r\nContent-Length: 1000\r\n\r\n`;
    const [headers, body] = await Promise.all([
      raw((write) => write('POST /token HTTP/1.1\r\nHost: x\r\n')),
      raw((write) => write(`${head}a=`)),
    ]);
    for (const { ms } of [headers, body]) assertKept(ms, 10_000);
  });

  test('H3 X-Forwarded-For from a peer that is not trusted is ignored, from a trusted one it counts', async () => {
    const send = async () => {
      const headers = { 'content-type': FORM, 'x-forwarded-for': '203.0.113.7', forwarded: 'for=203.0.113.8' };
      const body = 'grant_type=refresh_token&refresh_token=x&audience=dev';
      await fetch(`${service.url}/token`, { method: 'POST', headers, body });
      return service.audit.at(-1)?.address;
    };
    assert.equal(await send(), '127.0.0.1');
    await service.restart({ trusted_proxies: ['127.0.0.0/8'] });
    assert.equal(await send(), '203.0.113.7');
    await service.restart();
  });

  test('H5 no secret that passes through stands in the log, the audit log or the store, at the highest log level', async () => {
    const holder = service.holder();
    const idToken = service.issuer.sign(service.claims(holder));
    const exchangeProof = holder.proof();
    const { granted } = await holder.exchange(idToken, { audience: 'dev' }, exchangeProof);
    const handle = granted.refresh_token ?? '';
    const renewed = (await holder.renew(handle, 'dev')).granted;
    const secrets = [handle, holder.nonce_random, idToken, granted.access_token, renewed.access_token, exchangeProof];
    // Refusals and failures must not be more talkative.
    await service.holder().exchange(idToken);
    await service.holder().renew(handle, 'dev');
    await post(`grant_type=refresh_token&refresh_token=${handle}&refresh_token=${handle}`);
    await post(JSON.stringify({ refresh_token: handle }), 'application/json');
    await fetch(`${service.url}/token?refresh_token=${handle}`);
    await fetch(`${service.url}/${handle}`);
    await holder.revoke(handle);
    const jwk = JSON.stringify(holder.key.export({ format: 'jwk' }).d);
    const places = {
      log: service.log.join('\n'),
      record: JSON.stringify(service.audit),
      store: storeText(service.storeFile),
    };
    assert.ok(places.log.length > 0 && places.record.length > 0 && places.store.includes('alice@example.com'));
    for (const [place, text] of Object.entries(places)) {
      for (const secret of [...secrets, ...secrets.flatMap(parts), jwk]) {
        assert.equal(text.includes(secret), false, `${place} has a secret of ${secret.length} characters`);
      }
    }
    const hash = createHash('sha256').update(handle).digest().toString('latin1');
    assert.ok(places.store.includes(hash), 'the store knows the handle by its hash: this search finds what is there');
  });

  test('F2 a reply that is lost after the commit: the retry gets the same session, and the lost handle is void', async () => {
    const holder = service.holder();
    const token = service.issuer.sign(service.claims(holder, { sub: 'f2', email: 'f2@example.com' }));
    const lost = (await holder.exchange(token)).granted;
    const retried = (await holder.exchange(token)).granted;
    assert.equal(retried.session.sid, lost.session.sid);
    assert.equal((await holder.renew(lost.refresh_token ?? '', 'dev')).refused.reason, 'unknown_session');
    assert.equal((await holder.renew(retried.refresh_token ?? '', 'dev')).status, 200);
    const logins = service.audit.filter((event) => event.event === 'login' && event.sid === lost.session.sid);
    assert.deepEqual(
      logins.map((event) => ('retry' in event ? event.retry : undefined)),
      [undefined, true],
    );
  });

  test('F2 a lost reply to a renewal costs a renewal: the handle goes on working', async () => {
    const holder = service.holder();
    const { granted } = await service.login(holder, { sub: 'f2b', email: 'f2b@example.com' });
    for (let i = 0; i < 5; i++) assert.equal((await holder.renew(granted.refresh_token ?? '', 'dev')).status, 200);
  });

  test('what is public says where to go and nothing of persons', async () => {
    const discovery = await (await fetch(`${service.url}/.well-known/openid-configuration`)).json();
    const { issuer, jwks_uri } = discovery as Record<string, unknown>;
    assert.deepEqual([issuer, jwks_uri], ['https://curfew.example.com', 'https://curfew.example.com/jwks']);
    const jwks = await fetch(`${service.url}/jwks`);
    assert.equal(jwks.headers.get('cache-control'), 'public, max-age=60');
    const { keys } = (await jwks.json()) as { keys: Record<string, unknown>[] };
    assert.deepEqual(Object.keys(keys[0] ?? {}).sort(), ['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y']);
    assert.equal((await fetch(`${service.url}/nothing`)).status, 404);
    assert.equal((await fetch(`${service.url}/healthz`)).status, 200);
    assert.equal((await fetch(`${service.url}/readyz`)).status, 200);
  });
});

/** The parts of a JWS, of which each alone could be too much. The header is public. */
function parts(secret: string): string[] {
  return secret
    .split('.')
    .slice(1)
    .filter((part) => part.length > 20);
}
