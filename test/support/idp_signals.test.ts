// What the test IdP says of its people after a login: refreshed ID tokens, disabled accounts, and logout tokens by oidc-provider's
// own sender.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { createRemoteJWKSet, decodeProtectedHeader, jwtVerify } from 'jose';
import { type Browser, makeBrowser } from './browser.ts';
import { type Idp, startIdp } from './idp.ts';
import { claimsOf } from './idp_keys.ts';
import { logIn } from './idp_login.ts';

let dir = '';
let idp: Idp;
let receiver: Server;
let jars = 0;
const received: string[] = [];

const users = { alice: { password: 'alice-pw', email: 'alice@example.com', groups: ['dev', 'sre'] } };

function browser(): Browser {
  jars += 1;
  return makeBrowser(dir, { user: 'alice', password: 'alice-pw' }, `alice-${jars}`);
}

/** The token endpoint, as a native client asks it. */
async function refresh(refresh_token: string | undefined) {
  const form = { grant_type: 'refresh_token', refresh_token: refresh_token ?? '', client_id: 'curfew' };
  const response = await fetch(`${idp.issuer}/token`, { method: 'POST', body: new URLSearchParams(form) });
  return { status: response.status, body: (await response.json()) as Record<string, string> };
}

before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'curfew-idp-'));
  receiver = createServer(async (request, response) => {
    const token = new URLSearchParams(await text(request)).get('logout_token') ?? '';
    received.push(token);
    response.writeHead(200).end();
  });
  receiver.listen(0, '127.0.0.1');
  await once(receiver, 'listening');
  const uri = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/logout`;
  idp = await startIdp({ users, sid: true, refreshTokens: true, backchannel: { uri, session_required: true } });
});
after(async () => {
  await idp.stop();
  receiver.close();
  await rm(dir, { recursive: true, force: true });
});

test('a refresh brings a newer ID token of the same login: same auth_time whatever its age, new iat, groups of now', async () => {
  idp.setAuthTimeOffset('alice', 1000);
  const { claims, refresh_token } = await logIn(idp, browser(), {
    nonce: 'n',
    scope: 'openid email groups offline_access',
  });
  idp.setAuthTimeOffset('alice', 0);
  assert.ok(refresh_token);
  idp.setUser('alice', { groups: ['dev'] });
  const { status, body } = await refresh(refresh_token);
  assert.equal(status, 200, JSON.stringify(body));
  const fresh = claimsOf(body.id_token ?? '');
  assert.deepEqual([fresh.sub, fresh.auth_time, fresh.sid], [claims.sub, claims.auth_time, claims.sid]);
  assert.ok(Number(fresh.iat) >= Number(claims.iat));
  assert.deepEqual([fresh.nonce, fresh.groups], ['n', ['dev']]);
  await jwtVerify(body.id_token ?? '', createRemoteJWKSet(new URL(`${idp.issuer}/jwks`)), { issuer: idp.issuer });
  // Rotated: the first is used up, and whoever uses it takes the grant with it.
  assert.notEqual(body.refresh_token, refresh_token);
  assert.deepEqual([(await refresh(refresh_token)).body.error], ['invalid_grant']);
  assert.deepEqual([(await refresh(body.refresh_token)).body.error], ['invalid_grant']);
});

test('a disabled account gets no refresh, no single sign-on and no login, until it is enabled', async () => {
  const alice = browser();
  const { refresh_token } = await logIn(idp, alice);
  idp.setUser('alice', { disabled: true });
  assert.equal((await refresh(refresh_token)).body.error, 'invalid_grant');
  const login = logIn(idp, alice);
  login.catch(() => undefined);
  const visits = await alice.waitForVisits(2);
  assert.deepEqual([visits[1]?.ended, visits[1]?.status], ['refused', 401]);
  idp.setUser('alice', { disabled: false });
  await logIn(idp, browser());
});

test('logging somebody out sends a logout token with the sid of the ID token, and ends the single sign-on', async () => {
  idp.endSessions('alice');
  const alice = browser();
  const { claims } = await logIn(idp, alice);
  received.length = 0;
  assert.deepEqual(await idp.logOut('alice'), [{ status: 200, body: '' }]);
  const [token = ''] = received;
  assert.equal(decodeProtectedHeader(token).typ, 'logout+jwt');
  const { payload } = await jwtVerify(token, createRemoteJWKSet(new URL(`${idp.issuer}/jwks`)), {
    issuer: idp.issuer,
    audience: 'curfew',
  });
  assert.deepEqual([payload.sub, payload.sid], [claims.sub, claims.sid]);
  assert.deepEqual(payload.events, { 'http://schemas.openid.net/event/backchannel-logout': {} });
  const forms = idp.forms;
  await logIn(idp, alice);
  assert.equal(idp.forms, forms + 1);
});
