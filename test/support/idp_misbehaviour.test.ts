// Each fault of the test IdP is what it says, at the endpoint it was asked for, and over when it is taken back.
import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Idp, startIdp } from './idp.ts';

let idp: Idp;
const document = () => `${idp.issuer}/.well-known/openid-configuration`;
const patience = (ms: number) => ({ signal: AbortSignal.timeout(ms) });

before(async () => {
  idp = await startIdp({ users: { alice: { password: 'alice' } } });
});
after(() => idp.stop());
beforeEach(() => idp.misbehave({}));

function codeOf(error: unknown): unknown {
  return (error as { cause?: { code?: unknown } }).cause?.code;
}

test('hang never answers, at any endpoint', async () => {
  idp.misbehave({ discovery: 'hang', jwks: 'hang', token: 'hang', authorize: 'hang' });
  const calls: [string, string][] = [
    ['GET', document()],
    ['GET', `${idp.issuer}/jwks`],
    ['POST', `${idp.issuer}/token`],
    ['GET', `${idp.issuer}/auth`],
  ];
  await Promise.all(
    calls.map(([method, url]) => assert.rejects(fetch(url, { method, ...patience(400) }), { name: 'TimeoutError' })),
  );
});

test('500 and html answer that, and only where asked for', async () => {
  idp.misbehave({ discovery: '500', jwks: 'html' });
  assert.equal((await fetch(document())).status, 500);
  const page = await fetch(`${idp.issuer}/jwks`);
  assert.deepEqual([page.status, page.headers.get('content-type')], [200, 'text/html']);
  assert.match(await page.text(), /^<!doctype html>/);
  assert.equal((await fetch(`${idp.issuer}/token`, { method: 'POST' })).status, 400);
  idp.misbehave({});
  assert.equal((await fetch(document())).status, 200);
});

test('drip gives the true answer, one byte a second', async () => {
  const whole = await (await fetch(document())).text();
  idp.misbehave({ discovery: 'drip' });
  const response = await fetch(document(), patience(5000));
  assert.equal(response.headers.get('content-length'), String(whole.length));
  let text = '';
  try {
    for await (const chunk of response.body ?? []) text += Buffer.from(chunk).toString();
  } catch {}
  assert.ok(text.length >= 3 && text.length <= 7, `${text.length} bytes in 5 s`);
  assert.ok(whole.startsWith(text));
});

test('endless has no end', async () => {
  idp.misbehave({ jwks: 'endless' });
  const response = await fetch(`${idp.issuer}/jwks`);
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length;
    if (bytes > 20_000_000) break;
  }
  assert.ok(bytes > 20_000_000);
});

test('refuse resets the connection', async () => {
  idp.misbehave({ jwks: 'refuse' });
  await assert.rejects(
    fetch(`${idp.issuer}/jwks`),
    (error) => codeOf(error) === 'ECONNRESET' || codeOf(error) === 'UND_ERR_SOCKET',
  );
});

test('redirect leads to another origin, where following would have worked and is seen', async () => {
  idp.misbehave({ discovery: 'redirect', token: 'redirect' });
  const response = await fetch(document(), { redirect: 'manual' });
  const location = response.headers.get('location') ?? '';
  assert.equal(new URL(location).origin, idp.elsewhere);
  assert.notEqual(idp.elsewhere, idp.issuer);
  assert.equal(idp.requests.filter(({ elsewhere }) => elsewhere).length, 0);
  assert.equal((await fetch(location)).status, 200);
  assert.equal(idp.requests.filter(({ elsewhere }) => elsewhere).length, 1);
  assert.equal((await fetch(`${idp.issuer}/token`, { method: 'POST', redirect: 'manual' })).status, 307);
});

test('wrong_issuer, other_keys and a rewritten discovery document change the content alone', async () => {
  const keysOf = async () => ((await (await fetch(`${idp.issuer}/jwks`)).json()) as { keys: { kid: string }[] }).keys;
  const own = await keysOf();
  idp.misbehave({ discovery: 'wrong_issuer', jwks: 'other_keys' });
  const { issuer, token_endpoint } = (await (await fetch(document())).json()) as Record<string, string>;
  assert.deepEqual([issuer, token_endpoint], [`${idp.issuer}/other`, `${idp.issuer}/token`]);
  const others = await keysOf();
  assert.equal(others.length, 1);
  assert.notEqual(others[0]?.kid, own[0]?.kid);

  idp.misbehave({});
  idp.setDiscovery(({ claims_supported, ...rest }) => ({ ...rest, had: claims_supported }));
  const changed = (await (await fetch(document())).json()) as { claims_supported?: string[]; had: string[] };
  idp.setDiscovery(null);
  assert.equal(changed.claims_supported, undefined);
  assert.ok(changed.had.includes('auth_time'));
});

test('while paused connections are refused, also those kept alive; afterwards it is back on the same port', async () => {
  assert.equal((await fetch(document())).status, 200);
  await idp.pause();
  // the pool may still hold the closed connection; whoever tries again is refused
  await assert.rejects(fetch(document()));
  await sleep(50);
  await assert.rejects(fetch(document()), (error) => codeOf(error) === 'ECONNREFUSED');
  await idp.resume();
  assert.equal((await fetch(document())).status, 200);
});

test('the log of requests and its counts say what was asked for', async () => {
  idp.resetCounts();
  await fetch(`${idp.issuer}/auth?max_age=5&prompt=none`);
  await fetch(document());
  const [first] = idp.requests;
  assert.deepEqual([first?.method, first?.path, first?.query], ['GET', '/auth', { max_age: '5', prompt: 'none' }]);
  assert.ok(Math.abs((first?.time ?? 0) - Date.now()) < 10_000);
  assert.deepEqual(
    [idp.authorizeRequests, idp.discoveryRequests, idp.tokenRequests, idp.jwksRequests, idp.logins],
    [1, 1, 0, 0, 0],
  );
});
