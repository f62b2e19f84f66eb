// The threat model: tokens and keys (T): hostile tokens and proofs against the broker over real HTTP.

import assert from 'node:assert/strict';
import { createHmac, createPublicKey, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { claimsOf, type Holder, type ProofOptions } from '../support/holder.ts';
import { ISSUER, identityProvider, startTestService, TEST_POLICY, type TestService } from '../support/service.ts';
import { isPostgres } from '../support/store_database.ts';

let service: TestService;

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

async function open(audience = 'dev'): Promise<{ holder: Holder; handle: string; token: string }> {
  const holder = service.holder();
  const { granted } = await service.login(holder, {}, { audience });
  return { holder, handle: granted.refresh_token ?? '', token: granted.access_token };
}

/** What the ID token with this header or these claims is refused for. */
async function reasonFor(
  header: Readonly<Record<string, unknown>>,
  claims: Readonly<Record<string, unknown>> = {},
): Promise<string> {
  const holder = service.holder();
  const token = service.issuer.sign(service.claims(holder, claims), header);
  const { refused } = await holder.exchange(token);
  assert.equal(refused.error, 'invalid_grant');
  return refused.reason;
}

describe('tokens and keys', () => {
  before(async () => {
    // More bad tokens in a second than anybody is forgiven.
    const failed_logins = { count: 1000, window: '15m' };
    service = await startTestService({ policy: { ...TEST_POLICY, failed_logins } });
  });
  after(() => service.stop());

  test('T1 an ID token with alg none, a symmetric alg with our public key, or a lower-case alg is refused', async () => {
    const holder = service.holder();
    const payload = encode(service.claims(holder));
    const none = `${encode({ alg: 'none' })}.${payload}.`;
    assert.equal((await holder.exchange(none)).refused.error, 'invalid_grant');
    const pem = createPublicKey(service.issuer.key).export({ format: 'pem', type: 'spki' });
    const signed = `${encode({ alg: 'HS256', kid: 'static' })}.${payload}`;
    const hmac = createHmac('sha256', pem).update(signed).digest('base64url');
    assert.equal((await holder.exchange(`${signed}.${hmac}`)).refused.reason, 'id_token_signature');
    for (const alg of ['rs256', 'RS1', '', 7, null]) assert.equal(await reasonFor({ alg }), 'id_token_signature');
  });

  test('T1 an ID token of another curve or with an unknown crit header is refused', async () => {
    const holder = service.holder();
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' });
    const signed = `${encode({ alg: 'ES256', kid: 'static' })}.${encode(service.claims(holder))}`;
    const signature = sign('sha384', Buffer.from(signed), { key: privateKey, dsaEncoding: 'ieee-p1363' });
    const answer = await holder.exchange(`${signed}.${signature.toString('base64url')}`);
    assert.equal(answer.refused.reason, 'id_token_signature');
    assert.equal(await reasonFor({ crit: ['x'], x: 1 }), 'id_token_invalid');
  });

  test('T2 a kid that is a path, SQL, a number or huge is refused', async () => {
    for (const kid of ['../../etc/passwd', "' or 1=1 --"]) {
      const reason = await reasonFor({ kid });
      assert.ok(reason === 'id_token_key' || reason === 'id_token_signature', reason);
    }
    for (const kid of [7, { a: 1 }, 'k'.repeat(5000)]) assert.equal(await reasonFor({ kid }), 'id_token_invalid');
    const holder = service.holder();
    const megabyte = service.issuer.sign(service.claims(holder), { kid: 'k'.repeat(1 << 20) });
    assert.equal((await holder.exchange(megabyte)).status, 400);
  });

  test('T2 keys and key addresses in an ID token are ignored and nothing is fetched from them', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const holder = service.holder();
    const own = {
      jwk: publicKey.export({ format: 'jwk' }),
      jku: `${service.issuer.issuer}/evil`,
      x5u: `${service.issuer.issuer}/evil`,
      x5c: ['MIIB'],
      x5t: 'AAAA',
    };
    const signed = `${encode({ alg: 'RS256', kid: 'static', ...own })}.${encode(service.claims(holder))}`;
    const signature = sign('sha256', Buffer.from(signed), privateKey).toString('base64url');
    assert.equal((await holder.exchange(`${signed}.${signature}`)).refused.reason, 'id_token_signature');
    assert.equal(service.issuer.requests.includes('/evil'), false);
    assert.ok(service.issuer.requests.includes('/jwks'));
  });

  test('T3 an ID token for another audience, of another azp, from another issuer or its spelling with a slash is refused', async () => {
    assert.equal(await reasonFor({}, { aud: 'other' }), 'id_token_audience');
    assert.equal(await reasonFor({}, { aud: ['curfew', 'other'] }), 'id_token_azp');
    assert.equal(await reasonFor({}, { aud: ['curfew', 'other'], azp: 'other' }), 'id_token_azp');
    assert.equal(await reasonFor({}, { iss: 'https://idp.example.com' }), 'id_token_issuer');
    assert.equal(await reasonFor({}, { iss: `${service.issuer.issuer}/` }), 'id_token_issuer');
  });

  test('T4 an ID token exchanged 50 times at once opens exactly one session, and only the last handle works', async () => {
    const holder = service.holder();
    const token = service.issuer.sign(service.claims(holder));
    // One after the other has their person: on PostgreSQL who waits for longer than a second is asked to come again.
    const insist = async () => {
      for (;;) {
        const answer = await holder.exchange(token);
        if (answer.status !== 503 || !isPostgres(service.storeFile)) return answer;
      }
    };
    const answers = await Promise.all(Array.from({ length: 50 }, insist));
    const granted = answers.map((answer) => answer.granted);
    assert.equal(new Set(granted.map(({ session }) => session.sid)).size, 1);
    const statuses = await Promise.all(
      granted.map(async ({ refresh_token = '' }) => (await holder.renew(refresh_token, 'dev')).status),
    );
    assert.equal(statuses.filter((status) => status === 200).length, 1);
  });

  test('T4 an ID token taken by another key is refused, though that key knows nonce_random', async () => {
    const holder = service.holder();
    const token = service.issuer.sign(service.claims(holder));
    assert.equal((await holder.exchange(token)).status, 200);
    const thief = service.holder();
    const answer = await thief.exchange(token, { nonce_random: holder.nonce_random });
    assert.equal(answer.refused.reason, 'id_token_nonce');
  });

  test("T4 the holder's own retry is taken within 60 s and refused after", async () => {
    const holder = service.holder();
    const token = service.issuer.sign(service.claims(holder));
    const first = (await holder.exchange(token)).granted;
    service.advance(59);
    assert.equal((await holder.exchange(token)).granted.session.sid, first.session.sid);
    service.advance(1);
    assert.equal((await holder.exchange(token)).refused.reason, 'id_token_used');
  });

  test('T4 a logout within those 60 s stands: the retry does not bring the session back', async () => {
    const holder = service.holder();
    const token = service.issuer.sign(service.claims(holder));
    const { refresh_token = '' } = (await holder.exchange(token)).granted;
    await holder.revoke(refresh_token);
    const { refused } = await holder.exchange(token);
    assert.ok(['id_token_used', 'login_after'].includes(refused.reason));
    service.advance(1);
  });

  test('T4 an ID token re-encoded with padding or other tail bits is refused', async () => {
    const holder = service.holder();
    const token = service.issuer.sign(service.claims(holder));
    assert.equal((await holder.exchange(token)).status, 200);
    const spellings = [`${token}=`, `${token}==`, token.replace('.', '=.'), `${token}\n`, ` ${token}`];
    const last = token.at(-1) ?? '';
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    // 256 bytes leave 4 bits of the last character unused.
    for (let bits = 1; bits < 4; bits++) spellings.push(token.slice(0, -1) + alphabet[alphabet.indexOf(last) ^ bits]);
    for (const spelling of spellings)
      assert.equal((await holder.exchange(spelling)).refused.reason, 'id_token_invalid');
  });

  test('T5 an ID token whose nonce commits to another key, or without nonce, is refused', async () => {
    assert.equal(await reasonFor({}, { nonce: 'x' }), 'id_token_nonce');
    assert.equal(await reasonFor({}, { nonce: service.holder().nonce }), 'id_token_nonce');
    assert.equal(await reasonFor({}, { nonce: undefined }), 'id_token_nonce');
    assert.equal(await reasonFor({}, { nonce: 7 }), 'id_token_nonce');
    const holder = service.holder();
    const token = service.issuer.sign(service.claims(holder));
    const answer = await holder.exchange(token, { nonce_random: randomBytes(32).toString('base64url') });
    assert.equal(answer.refused.reason, 'id_token_nonce');
  });

  test('T5 with device_grant a token without nonce is taken once, and only within 60 s of its iat', async () => {
    const other = await startTestService();
    try {
      await other.restart({ identity_provider: identityProvider(other.issuer.issuer, { device_grant: true }) });
      const holder = other.holder();
      const token = other.issuer.sign(other.claims(holder, { nonce: undefined }));
      assert.equal((await holder.exchange(token)).status, 200);
      assert.equal((await other.holder().exchange(token)).refused.reason, 'id_token_used');
      const late = other.issuer.sign(other.claims(holder, { nonce: undefined, jti: 'late' }));
      other.advance(61);
      assert.equal((await holder.exchange(late)).refused.reason, 'id_token_expired');
      assert.equal((await other.login(holder, { nonce: 'x' })).refused.reason, 'id_token_nonce');
    } finally {
      await other.stop();
    }
  });

  const broken: readonly [string, (holder: Holder) => ProofOptions, string][] = [
    ['of another typ', () => ({ header: { typ: 'JWT' } }), 'proof_invalid'],
    ['of alg none', () => ({ header: { alg: 'none' } }), 'proof_invalid'],
    ['of a symmetric alg', () => ({ header: { alg: 'HS256' } }), 'proof_invalid'],
    ['without a key', () => ({ header: { jwk: undefined } }), 'proof_invalid'],
    ['with a private key', ({ key }) => ({ header: { jwk: key.export({ format: 'jwk' }) } }), 'proof_invalid'],
    ['with a key that did not sign it', () => ({ header: { jwk: otherKey() } }), 'proof_invalid'],
    [
      'with a point that is not on the curve',
      () => ({ header: { jwk: { ...otherKey(), y: otherKey().x } } }),
      'proof_invalid',
    ],
    ['with an unknown crit header', () => ({ header: { crit: ['b64'], b64: false } }), 'proof_invalid'],
    ['for another method', () => ({ method: 'GET' }), 'proof_invalid'],
    ['for another path', () => ({ url: `${ISSUER}/revoke` }), 'proof_invalid'],
    ['for another host', () => ({ url: 'https://other.example.com/token' }), 'proof_invalid'],
    ['without htu', () => ({ claims: { htu: undefined } }), 'proof_invalid'],
    ['without htm', () => ({ claims: { htm: undefined } }), 'proof_invalid'],
    ['without jti', () => ({ claims: { jti: undefined } }), 'proof_invalid'],
    ['with a huge jti', () => ({ claims: { jti: 'j'.repeat(300) } }), 'proof_invalid'],
    ['without iat', () => ({ claims: { iat: undefined } }), 'proof_invalid'],
    ['with a fractional iat', () => ({ iat: service.now + 0.5 }), 'proof_invalid'],
    ['too old', () => ({ iat: service.now - 61 }), 'proof_nonce'],
    ['too far ahead', () => ({ iat: service.now + 61 }), 'proof_nonce'],
    ['with a nonce that is not ours', () => ({ nonce: 'abc.def' }), 'proof_nonce'],
  ];
  for (const [name, options, reason] of broken) {
    test(`T6 a DPoP proof ${name} is refused`, async () => {
      const { holder, handle } = await open();
      const { refused } = await holder.renew(handle, 'dev', {}, holder.proof(options(holder)));
      assert.equal(refused.reason, reason);
      assert.equal(refused.error, reason === 'proof_nonce' ? 'use_dpop_nonce' : 'invalid_dpop_proof');
    });
  }

  test('T6 the same proof twice, also at once, is taken once', async () => {
    const { holder, handle } = await open();
    const proof = holder.proof();
    const answers = await Promise.all(Array.from({ length: 20 }, () => holder.renew(handle, 'dev', {}, proof)));
    assert.equal(answers.filter(({ status }) => status === 200).length, 1);
    const other = answers.find(({ status }) => status !== 200);
    assert.equal(other?.refused.reason, 'proof_replayed');
    service.advance(60);
    assert.equal((await holder.renew(handle, 'dev', {}, proof)).refused.reason, 'proof_replayed');
    service.advance(1);
    assert.equal((await holder.renew(handle, 'dev', {}, proof)).refused.reason, 'proof_nonce');
  });

  test('T6 a proof is still known after a restart', async () => {
    const { holder, handle } = await open();
    const proof = holder.proof();
    assert.equal((await holder.renew(handle, 'dev', {}, proof)).status, 200);
    await service.restart();
    assert.equal((await holder.renew(handle, 'dev', {}, proof)).refused.reason, 'proof_replayed');
  });

  test('T6 a bound handle without proof, or with two, or with the proof of another key, is refused', async () => {
    const { holder, handle } = await open();
    const form = { grant_type: 'refresh_token', refresh_token: handle, audience: 'dev' };
    assert.equal((await holder.post('/token', form, undefined)).refused.error, 'invalid_dpop_proof');
    const two = `${holder.proof()}, ${holder.proof()}`;
    assert.equal((await holder.renew(handle, 'dev', {}, two)).refused.error, 'invalid_dpop_proof');
    const thief = service.holder();
    assert.equal((await thief.renew(handle, 'dev')).refused.reason, 'unknown_session');
    const bearer = await fetch(`${service.url}/token`, {
      method: 'POST',
      headers: { authorization: `Bearer ${handle}` },
      body: new URLSearchParams(form),
    });
    assert.equal(bearer.status, 400);
  });

  test('T6 with a nonce of the broker a wrong clock works, once for each proof', async () => {
    const { holder, handle } = await open();
    const wrong = { iat: service.now - 7200 };
    const answer = await holder.renew(handle, 'dev', {}, holder.proof(wrong));
    const nonce = answer.headers.get('dpop-nonce') ?? '';
    const proof = holder.proof({ ...wrong, nonce });
    assert.equal((await holder.renew(handle, 'dev', {}, proof)).status, 200);
    assert.equal((await holder.renew(handle, 'dev', {}, proof)).refused.reason, 'proof_replayed');
    service.advance(61);
    assert.equal(
      (await holder.renew(handle, 'dev', {}, holder.proof({ ...wrong, nonce }))).refused.reason,
      'proof_nonce',
    );
  });

  test('T7 a Kubernetes token, a handle, an ID token and a proof are each refused in the place of another', async () => {
    const { holder, handle, token } = await open();
    const idToken = service.issuer.sign(service.claims(holder));
    const proof = holder.proof();
    for (const wrong of [token, handle, proof])
      assert.equal((await holder.exchange(wrong)).refused.error, 'invalid_grant');
    for (const wrong of [token, idToken, proof]) {
      assert.equal((await holder.renew(wrong, 'dev')).refused.reason, 'unknown_session');
      assert.equal((await holder.revoke(wrong)).status, 200);
    }
    for (const wrong of [token, idToken])
      assert.equal((await holder.renew(handle, 'dev', {}, wrong)).refused.error, 'invalid_dpop_proof');
    assert.equal((await holder.renew(handle, 'dev')).status, 200, 'none of it ended the session');
    for (const typ of ['dpop+jwt', 'curfew+jwt', 'logout+jwt', 'secevent+jwt', 'at+jwt']) {
      assert.equal(await reasonFor({ typ }), 'id_token_invalid');
    }
    assert.equal(JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString()).typ, 'curfew+jwt');
  });

  test("T8 an unknown cluster, one that does not admit the person and the broker's own audience get the same answer", async () => {
    const holder = service.holder();
    const { granted } = await service.login(holder, { sub: 'dora', email: 'dora@example.com', groups: ['dev'] });
    const handle = granted.refresh_token ?? '';
    const answers = await Promise.all(
      ['nowhere', 'prod-eu', ISSUER, 'curfew', 'dev/gateway', `${ISSUER}/token`, 'constructor', 'DEV', 'dev '].map(
        (audience) => holder.renew(handle, audience),
      ),
    );
    for (const { status, refused } of answers) {
      assert.deepEqual([status, refused.error, refused.reason], [400, 'invalid_target', 'invalid_target']);
      assert.deepEqual(refused, answers[0]?.refused);
    }
    for (const audience of ['prod-eu', 'nowhere', ISSUER, 'curfew', 'dev/gateway']) {
      const login = await service.login(
        service.holder(),
        { sub: 'dora', email: 'dora@example.com', groups: ['dev'] },
        { audience },
      );
      assert.deepEqual(login.refused, answers[0]?.refused, audience);
    }
  });

  test('T8 which clusters do not admit a person is told to the holder of the key, with each token; never to a stranger', async () => {
    const metadata = async () => (await fetch(`${service.url}/.well-known/curfew`)).text();
    const before = await metadata();
    const dora = { sub: 'dora', email: 'dora@example.com', groups: ['dev'] };
    const holder = service.holder();
    const { granted } = await service.login(holder, dora);
    const handle = granted.refresh_token ?? '';
    assert.deepEqual(granted.not_admitted, ['prod-eu']);
    assert.deepEqual((await holder.renew(handle, 'dev')).granted.not_admitted, ['prod-eu']);
    const direct = await service.login(service.holder(), dora, { audience: 'dev' });
    assert.deepEqual(direct.granted.not_admitted, ['prod-eu']);
    const admitted = await service.login(service.holder());
    assert.equal(admitted.granted.not_admitted, undefined, 'all admit this one');

    const strangers = [
      await service.holder().renew(handle, 'dev'),
      await holder.renew('x'.repeat(43), 'dev'),
      await holder.renew(handle, 'dev', {}, holder.proof({ iat: 1 })),
      await holder.renew(handle, 'prod-eu'),
    ];
    for (const { body, refused } of strangers) {
      assert.ok(refused.reason !== '');
      assert.doesNotMatch(JSON.stringify(body), /not_admitted|prod-eu/);
    }
    assert.equal(await metadata(), before);
    assert.doesNotMatch(before, /not_admitted|allowed_groups/);
  });

  test('T9 max_age shortens the token itself; longer than the rest it is cut; zero, negative and absurd are refused', async () => {
    const { holder, handle } = await open();
    service.advance(10);
    assert.equal((await holder.renew(handle, 'dev', { max_age: '60' })).granted.expires_in, 50);
    assert.equal((await holder.renew(handle, 'dev', { max_age: '31000000' })).granted.expires_in, 300);
    assert.equal((await holder.renew(handle, 'dev', { max_age: '10' })).refused.reason, 'login_too_old');
    for (const max_age of ['0', '-1', '1.5', '1e3', '99999999999', 'x', '15m']) {
      const { refused } = await holder.renew(handle, 'dev', { max_age });
      assert.deepEqual([refused.error, refused.error_description.startsWith('max_age: ')], ['invalid_request', true]);
    }
    assert.equal((await holder.renew(handle, 'dev')).status, 200, 'a refused max_age ended nothing');
    // At the login itself likewise.
    for (const max_age of ['0', '-1', '1.5', '1e3', '99999999999', 'x', '15m', ' 60', '60 ']) {
      const { refused } = await service.login(service.holder(), {}, { audience: 'dev', max_age });
      assert.equal(refused.error, 'invalid_request', JSON.stringify(max_age));
    }
    const short = await service.login(service.holder(), {}, { audience: 'dev', max_age: '60' });
    assert.equal(short.granted.expires_in, 60);
    const absurd = await service.login(service.holder(), {}, { audience: 'dev', max_age: '31000000' });
    assert.equal(absurd.granted.expires_in, 300);
  });

  test('T9b a username held by another person, an unverified e-mail and a group overage are refused by name', async () => {
    assert.equal((await service.login(service.holder())).status, 200);
    assert.equal((await service.login(service.holder(), { sub: 'mallory' })).refused.reason, 'username_taken');
    const unverified = { sub: 'eve', email: 'eve@example.com', email_verified: false };
    assert.equal((await service.login(service.holder(), unverified)).refused.reason, 'username');
    const overage = {
      groups: undefined,
      _claim_names: { groups: 'src1' },
      _claim_sources: { src1: { endpoint: `${service.issuer.issuer}/evil` } },
    };
    assert.equal((await service.login(service.holder(), overage)).refused.reason, 'groups');
    assert.equal(service.issuer.requests.includes('/evil'), false);
  });

  test('T9b a person whose name changed at the IdP keeps being the same person, and frees the old name', async () => {
    const sub = 'renamed';
    await service.login(service.holder(), { sub, email: 'maiden@example.com' });
    assert.equal((await service.login(service.holder(), { sub, email: 'married@example.com' })).status, 200);
    assert.equal((await service.login(service.holder(), { sub: 'newcomer', email: 'maiden@example.com' })).status, 200);
    assert.equal(
      (await service.login(service.holder(), { sub: 'newcomer', email: 'married@example.com' })).refused.reason,
      'username_taken',
    );
  });

  test('T10 a username or group that begins with system: in any spelling, is empty or has control characters is refused', async () => {
    for (const email of [
      'system:admin',
      'SYSTEM:admin',
      'ｓystem:admin',
      'ſystem:admin',
      'ⓢystem:admin',
      'sy\u00adstem:admin',
      '\ufeffsystem:admin',
      'system\ufe55admin',
      ' system:admin',
      'sy\u034fstem:admin',
      'sys\u200btem:admin',
      '',
      'a\u0000b',
      'a\nb',
    ]) {
      const { refused } = await service.login(service.holder(), { sub: 'x', email });
      assert.equal(refused.reason, 'username', JSON.stringify(email));
    }
    for (const group of [
      'system:masters',
      'System:Masters',
      'system：masters',
      'ſystem:masters',
      '𝐬ystem:masters',
      '\tsystem:masters',
      'system\u200d:masters',
      '  ',
      'a\u202eb',
      '\u115f',
    ]) {
      const { refused } = await service.login(service.holder(), { sub: 'x', email: 'x@example.com', groups: [group] });
      assert.equal(refused.reason, 'groups', JSON.stringify(group));
    }
  });

  test('a Kubernetes token carries the allowlisted claims and no other', async () => {
    const holder = service.holder();
    const extra = { _claim_names: { other: 'x' }, evil: 'yes', roles: ['admin'], acr: 'mfa' };
    const { granted } = await service.login(holder, extra, { audience: 'dev' });
    const allowed = ['acr', 'aud', 'auth_time', 'exp', 'groups', 'iat', 'iss', 'jti', 'nbf', 'sid', 'sub', 'username'];
    assert.deepEqual(Object.keys(claimsOf(granted.access_token)).sort(), allowed);
  });

  test('I3 no jti is minted twice', async () => {
    const { holder, handle } = await open();
    const answers = await Promise.all(Array.from({ length: 50 }, () => holder.renew(handle, 'dev')));
    assert.equal(new Set(answers.map(({ granted }) => claimsOf(granted.access_token).jti)).size, 50);
  });
});

function otherKey() {
  const { crv, kty, x, y } = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'jwk' });
  return { crv, kty, x, y };
}
