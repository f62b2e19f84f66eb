// H1: requests that two readers could read differently are refused before anything is looked at; and whatever is answered with
// or about a credential, on each route and in each way of failing, is for no cache.

import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { parseForm } from '../../broker/http/form.ts';
import { CurfewError } from '../../shared/errors.ts';
import { identityProvider, startTestService, type TestService } from '../support/service.ts';

const FORM = 'application/x-www-form-urlencoded';

let service: TestService;
before(async () => {
  const webhook = { token_file: 'dev-hook', on_failure: 'deny' };
  service = await startTestService({
    clusters: [{ name: 'dev', server: 'https://127.0.0.1:1', audience: 'dev', allowed_groups: ['*'], webhook }],
  });
});
after(() => service.stop());

interface Raw {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

/** Bytes as they stand here; the answer is read until the peer closes. */
function raw(text: string | Buffer): Promise<Raw> {
  const { hostname, port } = new URL(service.url);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname, () => socket.write(text));
    let answer = '';
    socket.on('data', (data) => {
      answer += data.toString('latin1');
    });
    socket.on('error', reject);
    socket.on('close', () => {
      const [head = '', ...rest] = answer.split('\r\n\r\n');
      const [line = '', ...fields] = head.split('\r\n');
      const pairs = fields.map((field) => /^([^:]+): *(.*)$/.exec(field)?.slice(1) ?? ['', '']);
      const headers = new Map(pairs.map(([name = '', value = '']) => [name.toLowerCase(), value]));
      resolve({ status: Number(line.split(' ')[1]), headers, body: rest.join('\r\n\r\n') });
    });
  });
}

function requestOf(method: string, target: string, fields: readonly string[], body: string | Buffer = ''): Buffer {
  const length = Buffer.byteLength(body);
  const head = [`${method} ${target} HTTP/1.1`, ...fields, `Content-Length: ${length}`, 'Connection: close', '', ''];
  return Buffer.concat([Buffer.from(head.join('\r\n'), 'latin1'), Buffer.from(body)]);
}

const HOST = 'Host: curfew.example.com';
const RENEWAL = 'grant_type=refresh_token&refresh_token=x&audience=dev';

describe('a form', () => {
  const bad: readonly (readonly [string, string | Buffer])[] = [
    ['letters that are no hexadecimal digits', '%zz'],
    ['%u as browsers once had it', '%u0131'],
    ['one digit', 'x%4'],
    ['no digit', 'x%'],
    ['a sequence cut by the next parameter', 'x%4&y=1'],
    ['two kinds in one', '%zz%u0131%41'],
    ['overlong UTF-8 of two bytes', '%c0%af'],
    ['overlong UTF-8 of three bytes', '%e0%80%af'],
    ['a lone high surrogate', '%ed%a0%80'],
    ['a lone low surrogate', '%ed%b0%80'],
    ['a pair of surrogates', '%ed%a0%bd%ed%b8%80'],
    ['a byte that begins nothing', '%ff'],
    ['a character that is cut off', '%e2%82'],
    ['more than Unicode has', '%f4%90%80%80'],
    ['NUL', 'x%00'],
    ['a raw UTF-8 character', 'ı'],
    ['a raw Latin-1 character', Buffer.from([0xe9])],
    ['a raw NUL', Buffer.from([0])],
    ['a raw line break', 'x\r\n'],
    ['a raw space', 'x y'],
    ['a raw tab', 'x\ty'],
  ];
  for (const [name, value] of bad) {
    for (const place of ['value', 'name'] as const) {
      test(`H1 with ${name} in a ${place} is refused, at each endpoint`, async () => {
        const own =
          place === 'value' ? [Buffer.from('a='), Buffer.from(value)] : [Buffer.from(value), Buffer.from('=a')];
        for (const path of ['/token', '/revoke', '/introspect', '/backchannel-logout']) {
          const body = Buffer.concat([Buffer.from(`${RENEWAL}&token=x&logout_token=x&`), ...own]);
          const { status, body: text } = await raw(requestOf('POST', path, [HOST, `Content-Type: ${FORM}`], body));
          assert.deepEqual([status, JSON.parse(text).reason], [400, 'request_invalid'], path);
        }
      });
    }
  }

  test('H1 a form of more pairs than are read is refused: nothing of it is left out in silence', () => {
    const empty = '&'.repeat(1022);
    assert.deepEqual(
      [...parseForm(`a=b${empty}&c=d`)],
      [
        ['a', 'b'],
        ['c', 'd'],
      ],
    );
    for (const text of [`a=b${empty}&&c=d`, `a=b${empty}&&a=c`, '&'.repeat(30_000)])
      assert.throws(() => parseForm(text), { code: 'request_invalid' });
  });

  test('H1 what a strict parser takes is what was written, and what it refuses no other byte helps', () => {
    const pairs = fc.uniqueArray(fc.tuple(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme' })), {
      selector: ([name]) => name,
      maxLength: 20,
    });
    fc.assert(
      fc.property(pairs, (given) => {
        const clean = given.filter((pair) => pair.every((text) => text.isWellFormed() && !text.includes('\0')));
        const text = new URLSearchParams(clean).toString();
        assert.deepEqual(
          [...parseForm(Buffer.from(text))],
          clean.filter(([name, value]) => `${name}=${value}` !== ''),
        );
      }),
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        try {
          for (const [name, value] of parseForm(bytes)) assert.ok(!(name + value).includes('\0'));
        } catch (error) {
          assert.ok(error instanceof CurfewError && error.code === 'request_invalid');
        }
      }),
      { numRuns: 2000 },
    );
  });

  test('H1 a malformed query of our own API is refused as well', async () => {
    const holder = service.holder();
    const handle = (await service.login(holder)).granted.refresh_token ?? '';
    for (const query of ['?user=%zz', '?user=%ff', '?user=a%00', '?%zz=1', '?user=%u0131', '?all=true&all=true']) {
      const { status, refused } = await holder.api(handle, { method: 'DELETE', query });
      assert.deepEqual([status, refused.reason], [400, 'request_invalid'], query);
    }
    assert.equal((await holder.api(handle)).status, 200, 'and nothing was ended');
  });
});

describe('the head of a request', () => {
  const type = `Content-Type: ${FORM}`;
  const heads: readonly (readonly [string, string, readonly string[]])[] = [
    ['two Host headers', '/token', [HOST, 'Host: evil.example.com', type]],
    ['the same Host twice', '/token', [HOST, HOST, type]],
    ['two Host headers in other spelling', '/token', [HOST, 'hOST: evil.example.com', type]],
    ['no Host header', '/token', [type]],
    ['two Authorization headers', '/introspect', [HOST, type, 'Authorization: Bearer a', 'Authorization: Bearer b']],
    ['two content types', '/token', [HOST, type, 'Content-Type: application/json']],
    ['two lengths', '/token', [HOST, type, 'Content-Length: 5']],
    ['length and chunks', '/token', [HOST, type, 'Transfer-Encoding: chunked']],
    ['a target with another host', 'http://evil.example.com/token', [HOST, type]],
    ['a target with our own host', 'https://curfew.example.com/token', [HOST, type]],
    ['a target without a path', 'token', [HOST, type]],
    ['an asterisk', '*', [HOST, type]],
  ];
  for (const [name, target, fields] of heads) {
    test(`H1 with ${name} is refused, and kept by no cache`, async () => {
      const { status, headers, body } = await raw(requestOf('POST', target, fields, `${RENEWAL}&token=x`));
      assert.equal(status, 400);
      assert.equal(headers.get('cache-control'), 'no-store');
      assert.equal(JSON.parse(body).reason, 'request_invalid');
    });
  }

  test('H1 with two DPoP headers is refused as a proof', async () => {
    const holder = service.holder();
    const proofs = [`DPoP: ${holder.proof()}`, `DPoP: ${holder.proof()}`];
    const { status, body } = await raw(requestOf('POST', '/token', [HOST, type, ...proofs], RENEWAL));
    assert.deepEqual([status, JSON.parse(body).reason], [400, 'proof_invalid']);
  });
});

describe('no cache keeps', () => {
  const ROUTES: readonly (readonly [method: string, path: string])[] = [
    ['POST', '/token'],
    ['POST', '/revoke'],
    ['POST', '/introspect'],
    ['POST', '/backchannel-logout'],
    ['POST', '/ssf/events'],
    ['POST', '/webhooks/authorize'],
    ['POST', '/webhooks/authenticate'],
    ['GET', '/v1/sessions'],
    ['GET', '/v1/sessions/some-sid'],
    ['DELETE', '/v1/sessions'],
    ['DELETE', '/v1/sessions/some-sid'],
    ['GET', '/healthz'],
    ['GET', '/readyz'],
  ];
  const hook = () => `Authorization: Bearer ${service.webhook_tokens.dev}`;
  /** Ways to fail, each tried on each route: a 404, a 405, a 413, a 415, and what each route says by itself. */
  const FAILURES: readonly (readonly [string, (method: string, path: string) => Buffer])[] = [
    ['nothing', (method, path) => requestOf(method, path, [HOST])],
    ['an empty form', (method, path) => requestOf(method, path, [HOST, `Content-Type: ${FORM}`])],
    ['a form of another kind', (method, path) => requestOf(method, path, [HOST, `Content-Type: ${FORM}`], 'a=1')],
    [
      'a renewal',
      (method, path) => requestOf(method, path, [HOST, `Content-Type: ${FORM}`], `${RENEWAL}&token=x&logout_token=x`),
    ],
    ['JSON', (method, path) => requestOf(method, path, [HOST, 'Content-Type: application/json', hook()], '{}')],
    ['broken JSON', (method, path) => requestOf(method, path, [HOST, 'Content-Type: application/json', hook()], '{')],
    ['another media type', (method, path) => requestOf(method, path, [HOST, 'Content-Type: image/png'], 'x')],
    ['a broken media type', (method, path) => requestOf(method, path, [HOST, 'Content-Type: %%%'], 'x')],
    ['too much', (method, path) => requestOf(method, path, [HOST, `Content-Type: ${FORM}`], 'a'.repeat(600_000))],
    ['another method', (_, path) => requestOf('PUT', path, [HOST])],
    ['a method of others', (_, path) => requestOf('PROPFIND', path, [HOST])],
    ['no method', (_, path) => requestOf('JUMP', path, [HOST])],
    ['HEAD', (_, path) => requestOf('HEAD', path, [HOST])],
    ['OPTIONS', (_, path) => requestOf('OPTIONS', path, [HOST])],
    ['another path', (method, path) => requestOf(method, `${path}/nothing/here`, [HOST])],
    ['a path that cannot be decoded', (method, path) => requestOf(method, `${path}/%zz`, [HOST])],
    ['a path that is too long', (method, path) => requestOf(method, `${path}/${'a'.repeat(5000)}`, [HOST])],
    ['a head that is too long', (method, path) => requestOf(method, path, [HOST, `X: ${'a'.repeat(20_000)}`])],
    ['a head that is none', (method, path) => requestOf(method, path, [HOST, 'no colon'])],
    ['an expectation', (method, path) => requestOf(method, path, [HOST, 'Expect: miracles'])],
    ['another version', (method, path) => Buffer.from(`${method} ${path} HTTP/9.9\r\n${HOST}\r\n\r\n`)],
    ['a wrong bearer token', (method, path) => requestOf(method, path, [HOST, 'Authorization: Bearer x'], '')],
    [
      'a wrong session handle',
      (method, path) => requestOf(method, path, [HOST, 'Authorization: DPoP x', 'DPoP: x'], ''),
    ],
  ];
  for (const [name, make] of FAILURES) {
    test(`H1 an answer to ${name}, on any route`, async () => {
      for (const [method, path] of ROUTES) {
        const { status, headers } = await raw(make(method, path)).catch(() => ({ status: 0, headers: new Map() }));
        // The peer may close while the body is still on its way: then nothing is kept either.
        if (status === 0) continue;
        assert.equal(headers.get('cache-control'), 'no-store', `${method} ${path}: ${status}`);
        assert.notEqual(status, 500, `${method} ${path}`);
      }
    });
  }

  test('H1 credentials, and what is said while something is away: 200, 400, 429, 503', async () => {
    const holder = service.holder();
    const answers = [await service.login(holder, {}, { audience: 'dev' })];
    const handle = answers[0]?.granted.refresh_token ?? '';
    answers.push(await holder.renew(handle, 'dev'), await holder.introspect(handle), await holder.api(handle));
    answers.push(await holder.renew(handle, 'nowhere'), await holder.api(handle, { path: '/nobody' }));
    answers.push(
      await holder.api(handle, { query: '?all=true' }),
      await holder.revoke(handle),
      await holder.api(handle),
    );
    for (let i = 0; i < 22; i++) answers.push(await holder.exchange('a.b.c'));
    assert.ok(answers.some(({ status }) => status === 429));
    service.issuer.fault = '500';
    await service.restart({ identity_provider: identityProvider(service.issuer.issuer) });
    answers.push(await service.login(service.holder(), { sub: 'other', email: 'other@example.com' }));
    assert.equal(answers.at(-1)?.status, 503);
    service.issuer.fault = undefined;
    for (const { status, headers } of answers) assert.equal(headers.get('cache-control'), 'no-store', String(status));
  });

  test('and what is public may be kept, as long as it says', async () => {
    for (const [path, said] of [
      ['/jwks', 'public, max-age=60'],
      ['/.well-known/openid-configuration', 'public, max-age=60'],
      ['/.well-known/curfew', 'no-cache'],
    ] as const) {
      assert.equal((await fetch(service.url + path)).headers.get('cache-control'), said);
      assert.equal((await fetch(`${service.url}${path}`, { method: 'POST' })).headers.get('cache-control'), 'no-store');
    }
  });
});
