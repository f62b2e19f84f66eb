// Hostile ID tokens on demand: each is exactly as wrong as it says, and signed as it says.
import assert from 'node:assert/strict';
import { createPublicKey, type JsonWebKey } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { compactVerify, createLocalJWKSet, decodeProtectedHeader, type JSONWebKeySet, jwtVerify } from 'jose';
import { type Browser, makeBrowser } from './browser.ts';
import { type Idp, startIdp } from './idp.ts';
import { logIn } from './idp_login.ts';

let dir = '';
let idp: Idp;
let browser: Browser;

before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'curfew-tokens-'));
  idp = await startIdp({ users: { alice: { password: 'alice', groups: ['dev'] } } });
  browser = makeBrowser(dir, { user: 'alice', password: 'alice' });
});
after(async () => {
  await idp.stop();
  await rm(dir, { recursive: true, force: true });
});
beforeEach(() => {
  idp.setClaims(null);
  idp.replaceIdToken(null);
  idp.misbehave({});
});

async function jwks(): Promise<ReturnType<typeof createLocalJWKSet>> {
  return createLocalJWKSet((await (await fetch(`${idp.issuer}/jwks`)).json()) as JSONWebKeySet);
}

function payloadText(token: string): string {
  return Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8');
}

/** The ID token as it left the token endpoint; openid-client would judge it first. */
async function issued(): Promise<string> {
  const seen: string[] = [];
  idp.replaceIdToken((_, token) => {
    seen.push(token);
    return token;
  });
  await logIn(idp, browser).catch(() => undefined);
  return seen.at(-1) ?? '';
}

test('an ID token issued without a browser is a good one, and each claim can be set or taken out', async () => {
  const { payload } = await jwtVerify(idp.issueIdToken('alice'), await jwks(), {
    issuer: idp.issuer,
    audience: 'curfew',
  });
  assert.deepEqual([payload.sub, payload.groups, payload.acr], ['sub-alice', ['dev'], 'pwd']);
  assert.equal(payload.auth_time, payload.iat);
  const other = JSON.parse(payloadText(idp.issueIdToken('alice', { auth_time: undefined, azp: 'x' })));
  assert.deepEqual([other.auth_time, other.azp], [undefined, 'x']);
  assert.throws(() => idp.issueIdToken('nobody'), TypeError);
});

test('any payload text is signed as it stands, even a number no double holds', async () => {
  const raw = '{"auth_time":1e400,"auth_time":"twice"}';
  const token = idp.signIdToken(raw);
  const { payload } = await compactVerify(token, await jwks());
  assert.equal(Buffer.from(payload).toString(), raw);
});

test('alg none leaves the signature empty, HS256 takes the public key as secret, unknown headers go in', async () => {
  assert.match(idp.signIdToken({ a: 1 }, { header: { alg: 'none' } }), /^[^.]+\.[^.]+\.$/);
  const confused = idp.signIdToken({ a: 1 }, { header: { alg: 'HS256' } });
  const { keys } = (await (await fetch(`${idp.issuer}/jwks`)).json()) as { keys: JsonWebKey[] };
  const pem = createPublicKey({ key: keys[0] ?? {}, format: 'jwk' }).export({ type: 'spki', format: 'pem' });
  await compactVerify(confused, Buffer.from(pem));
  const header = { kid: '../../etc/passwd', jku: 'http://127.0.0.1:1/', crit: ['x'], x: 1 };
  assert.deepEqual(decodeProtectedHeader(idp.signIdToken({}, { header })), { alg: 'RS256', typ: 'JWT', ...header });
});

test('a stranger signs under a kid of its own, an impostor under the real one', async () => {
  const real = decodeProtectedHeader(idp.signIdToken({})).kid;
  const stranger = idp.signIdToken({}, { key: 'stranger' });
  const impostor = idp.signIdToken({}, { key: 'impostor' });
  assert.notEqual(decodeProtectedHeader(stranger).kid, real);
  assert.equal(decodeProtectedHeader(impostor).kid, real);
  await assert.rejects(compactVerify(stranger, await jwks()), { code: 'ERR_JWKS_NO_MATCHING_KEY' });
  await assert.rejects(compactVerify(impostor, await jwks()), { code: 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED' });
});

test('the claims of the code flow can be rewritten before they are signed', async () => {
  idp.setClaims(({ auth_time, ...claims }) => ({ ...claims, was: typeof auth_time }));
  const { claims } = await logIn(idp, browser);
  assert.deepEqual([claims.auth_time, claims.was], [undefined, 'number']);

  idp.setClaims((claims) => JSON.stringify(claims).replace(/"auth_time":\d+/, '"auth_time":1e400'));
  const token = await issued();
  assert.match(payloadText(token), /"auth_time":1e400/);
  await compactVerify(token, await jwks());

  idp.setClaims((claims) => ({ ...claims, iss: `${idp.issuer}/` }));
  await assert.rejects(logIn(idp, browser), { code: 'OAUTH_JWT_CLAIM_COMPARISON_FAILED' });
});

test('the ID token of the code flow can be replaced, or left out', async () => {
  idp.replaceIdToken((claims) => idp.signIdToken(claims, { header: { alg: 'none' } }));
  await assert.rejects(logIn(idp, browser), { code: 'OAUTH_INVALID_RESPONSE' });
  idp.replaceIdToken(() => undefined);
  await assert.rejects(logIn(idp, browser), { code: 'OAUTH_INVALID_RESPONSE' });
});

test('the token endpoint can sign for another issuer, or with a key that the JWKS does not show', async () => {
  idp.misbehave({ token: 'wrong_issuer' });
  await assert.rejects(logIn(idp, browser), { code: 'OAUTH_JWT_CLAIM_COMPARISON_FAILED' });
  idp.misbehave({ token: 'other_keys' });
  await assert.rejects(compactVerify(await issued(), await jwks()), { code: 'ERR_JWKS_NO_MATCHING_KEY' });
});

test('claims come in the forms of other providers: groups as null or one text, amr as one text', async () => {
  for (const [groups, amr] of [
    [null, 'pwd'],
    ['dev', 'mfa'],
  ] as const) {
    idp.setUser('alice', { groups, amr });
    const claims = JSON.parse(payloadText(await issued()));
    assert.deepEqual([claims.groups, claims.amr], [groups, amr]);
    const unasked = JSON.parse(payloadText(idp.issueIdToken('alice')));
    assert.deepEqual([unasked.groups, unasked.amr], [groups, amr]);
  }
});
