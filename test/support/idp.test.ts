// The test IdP with a real relying party and the scripted browser: logins, SSO, ages, and keys.
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { createRemoteJWKSet, decodeProtectedHeader, jwtVerify } from 'jose';
import { type Browser, makeBrowser } from './browser.ts';
import { type Idp, startIdp } from './idp.ts';
import { logIn } from './idp_login.ts';

let dir = '';
let idp: Idp;
let alice: Browser;
let jars = 0;

const users = {
  alice: {
    password: "a'lice $pw",
    otp: '123456',
    email: 'alice@example.com',
    groups: ['dev', 'sre'],
    name: 'Alice A.',
  },
  bob: { password: 'bob', email: 'bob@example.com', email_verified: false, groups: [], acr: 'bronze', amr: ['face'] },
};
const now = () => Math.floor(Date.now() / 1000);

/** True of an `auth_time` between `since` and now, however long this machine took. */
const isSince = (since: number, auth_time: unknown) => Number(auth_time) >= since && Number(auth_time) <= now();

function browserOf(user: keyof typeof users, extra: Partial<Parameters<typeof makeBrowser>[1]> = {}): Browser {
  jars += 1;
  return makeBrowser(dir, { user, password: users[user].password, ...extra }, `${user}-${jars}`);
}

before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'curfew-idp-'));
  idp = await startIdp({ users });
});
after(async () => {
  await idp.stop();
  await rm(dir, { recursive: true, force: true });
});
beforeEach(() => {
  alice = browserOf('alice');
  idp.misbehave({});
  idp.setAuthTimeOffset(null, 0);
  idp.resetCounts();
});

test('a login gives an ID token with the claims, auth_time, acr and nonce, signed by a key of the JWKS', async () => {
  const start = now();
  const { id_token, claims } = await logIn(idp, alice, { max_age: '60', nonce: 'n-1' });
  const { payload } = await jwtVerify(id_token, createRemoteJWKSet(new URL(`${idp.issuer}/jwks`)), {
    issuer: idp.issuer,
    audience: 'curfew',
    algorithms: ['RS256'],
  });
  assert.deepEqual(payload, claims);
  const { sub, email, email_verified, groups, preferred_username, name, nonce, acr, amr } = claims;
  assert.deepEqual(
    { sub, email, email_verified, groups, preferred_username, name, nonce, acr, amr },
    {
      sub: 'sub-alice',
      email: 'alice@example.com',
      email_verified: true,
      groups: ['dev', 'sre'],
      preferred_username: 'alice',
      name: 'Alice A.',
      nonce: 'n-1',
      acr: 'pwd',
      amr: ['pwd'],
    },
  );
  assert.ok(isSince(start, claims.auth_time));
  assert.equal(claims.sid, undefined);
  assert.deepEqual([idp.logins, idp.forms, idp.tokenRequests, idp.discoveryRequests], [1, 1, 1, 1]);
  assert.equal(idp.requests.find(({ path }) => path === '/auth')?.query.max_age, '60');
});

test('auth_time is in the ID token also when nobody asked for max_age, and SSO does not move it', async () => {
  const first = await logIn(idp, alice);
  idp.ageSessions('alice', 40);
  const second = await logIn(idp, alice);
  assert.equal(idp.forms, 1);
  assert.equal(second.claims.auth_time, Number(first.claims.auth_time) - 40);
  assert.deepEqual(
    alice.visits().map(({ form, ended }) => [form, ended]),
    [
      [true, 'callback'],
      [false, 'callback'],
    ],
  );
});

test('prompt=login brings the form although the SSO session lives, and a new auth_time', async () => {
  await logIn(idp, alice);
  idp.ageSessions('alice', 40);
  const start = now();
  const again = await logIn(idp, alice, { prompt: 'login' });
  assert.equal(idp.forms, 2);
  assert.ok(isSince(start, again.claims.auth_time));
});

test('max_age brings the form once the SSO session is older, and not before', async () => {
  await logIn(idp, alice);
  idp.ageSessions('alice', 40);
  await logIn(idp, alice, { max_age: '100' });
  assert.equal(idp.forms, 1);
  const start = now();
  const again = await logIn(idp, alice, { max_age: '30' });
  assert.equal(idp.forms, 2);
  assert.ok(isSince(start, again.claims.auth_time));
});

test('an offset lets the IdP issue an earlier auth_time, for fresh logins and for SSO sessions, and only to that person', async () => {
  const start = now();
  idp.setAuthTimeOffset('alice', 1000);
  for (let login = 0; login < 2; login += 1) {
    const { claims } = await logIn(idp, alice);
    assert.ok(isSince(start, Number(claims.auth_time) + 1000));
  }
  assert.equal(idp.forms, 1);
  const { claims } = await logIn(idp, browserOf('bob'));
  assert.ok(isSince(start, claims.auth_time));
  await assert.rejects(logIn(idp, alice, { max_age: '60', prompt: 'login' }), {
    code: 'OAUTH_JWT_TIMESTAMP_CHECK_FAILED',
  });
});

test('acr_values asks for the second factor even during SSO, and who has none stays weak', async () => {
  await logIn(idp, alice);
  alice.set({ otp: '123456' });
  const strong = await logIn(idp, alice, { acr_values: 'mfa' });
  assert.deepEqual([strong.claims.acr, idp.forms], ['mfa', 2]);
  await logIn(idp, alice, { acr_values: 'mfa' });
  assert.equal(idp.forms, 2);
  const bob = await logIn(idp, browserOf('bob'), { acr_values: 'mfa' });
  assert.deepEqual([bob.claims.acr, bob.claims.amr, bob.claims.email_verified], ['bronze', ['face'], false]);
});

test('a wrong password and a wrong second factor are refused, with the form again', async () => {
  for (const wrong of [{ password: 'guess' }, { otp: '000000' }]) {
    const browser = browserOf('alice', wrong);
    const login = logIn(idp, browser);
    login.catch(() => undefined);
    const [visit] = await browser.waitForVisits(1);
    assert.deepEqual([visit?.ended, visit?.status], ['refused', 401]);
  }
  assert.deepEqual([idp.logins, idp.refusedLogins], [0, 2]);
});

test('what is known of a person can change between logins, and sessions at the IdP can end', async () => {
  idp.setUser('carol', { password: 'c', groups: ['dev'], email: 'carol@example.com' });
  const carol = makeBrowser(dir, { user: 'carol', password: 'c' });
  assert.deepEqual((await logIn(idp, carol)).claims.groups, ['dev']);
  idp.setUser('carol', { groups: ['sre'] });
  assert.deepEqual((await logIn(idp, carol)).claims.groups, ['sre']);
  assert.equal(idp.forms, 1);
  idp.endSessions('carol');
  await logIn(idp, carol);
  assert.equal(idp.forms, 2);
});

test('after a rotation new ID tokens carry a new kid, and the JWKS shows the old key only if told', async () => {
  const first = await logIn(idp, alice);
  await idp.rotateKeys();
  const second = await logIn(idp, alice);
  const kids = [first, second].map(({ id_token }) => decodeProtectedHeader(id_token).kid);
  assert.notEqual(kids[0], kids[1]);
  const shown = async () => {
    const jwks = (await (await fetch(`${idp.issuer}/jwks`)).json()) as { keys: { kid: string; d?: string }[] };
    assert.ok(jwks.keys.every(({ d }) => d === undefined));
    return jwks.keys.map(({ kid }) => kid);
  };
  assert.deepEqual(await shown(), [kids[1], kids[0]]);
  await idp.rotateKeys({ keep_old: false });
  assert.equal((await shown()).length, 1);
});

test('ES256, PS256 and sid can be had', async () => {
  for (const alg of ['ES256', 'PS256'] as const) {
    const other = await startIdp({ users, alg, sid: true });
    try {
      const { id_token, claims } = await logIn(other, browserOf('alice'));
      assert.equal(decodeProtectedHeader(id_token).alg, alg);
      assert.match(String(claims.sid), /^\S{10,}$/);
    } finally {
      await other.stop();
    }
  }
});

test('a client with a secret must send it', async () => {
  const other = await startIdp({ users, clientId: 'with-secret', client_secret: 'not really secret' });
  try {
    const errorOf = async (more: Record<string, string>) => {
      const body = {
        grant_type: 'authorization_code',
        client_id: other.clientId,
        code: 'x',
        redirect_uri: 'x',
        ...more,
      };
      const response = await fetch(`${other.issuer}/token`, { method: 'POST', body: new URLSearchParams(body) });
      return ((await response.json()) as { error: string }).error;
    };
    assert.equal(await errorOf({}), 'invalid_client');
    assert.equal(await errorOf({ client_secret: 'wrong' }), 'invalid_client');
    assert.equal(await errorOf({ client_secret: 'not really secret' }), 'invalid_grant');
  } finally {
    await other.stop();
  }
});

test('a code is refused without the right PKCE verifier', async () => {
  const body = {
    grant_type: 'authorization_code',
    client_id: 'curfew',
    code: 'x',
    redirect_uri: 'http://127.0.0.1/callback',
  };
  const response = await fetch(`${idp.issuer}/token`, { method: 'POST', body: new URLSearchParams(body) });
  assert.equal(response.status, 400);
  const start = new URL(`${idp.issuer}/auth`);
  start.search = String(
    new URLSearchParams({
      client_id: 'curfew',
      response_type: 'code',
      scope: 'openid',
      redirect_uri: body.redirect_uri,
    }),
  );
  const answer = await fetch(start, { redirect: 'manual' });
  assert.match(answer.headers.get('location') ?? '', /error=invalid_request.*PKCE/);
});

test('an unregistered redirect_uri is refused at the IdP itself', async () => {
  const query = {
    client_id: 'curfew',
    response_type: 'code',
    scope: 'openid',
    redirect_uri: 'https://evil.example/callback',
  };
  const answer = await fetch(`${idp.issuer}/auth?${new URLSearchParams(query)}`, { redirect: 'manual' });
  assert.deepEqual([answer.status, answer.headers.get('location')], [400, null]);
});

test('the log of a browser shows no state, nonce, code or password', async () => {
  await logIn(idp, alice, { max_age: '60', nonce: 'very-secret-nonce' });
  const [visit] = await alice.waitForVisits(1);
  assert.match(visit?.url ?? '', /max_age=60/);
  const text = await readFile(alice.command.replace(/sh$/, 'log'), 'utf8');
  for (const secret of ['very-secret-nonce', 'state=', 'code_challenge', 'code=', users.alice.password]) {
    assert.ok(!text.includes(secret), secret);
  }
  assert.equal(visit?.text, 'you are logged in');
});
