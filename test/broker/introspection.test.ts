// Introspection (RFC 7662) over real HTTP: by the holder of a key, and by a cluster about its own tokens. Whatever else is
// asked is not active, and nothing more is told.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { type Answer, claimsOf, type Holder, type ProofOptions } from '../support/holder.ts';
import { askAuthorization } from '../support/review.ts';
import { ISSUER, identityProvider, startTestService, type TestService } from '../support/service.ts';
import { openStoreDatabase } from '../support/store_database.ts';

const LIMITS = { max_age: '1h', inactivity_timeout: '30m', token_ttl: '5m' };
const SEGMENTS = [{ name: 'prod', match: { clusters: ['prod-*'] }, limits: { max_age: '15m', token_ttl: '2m' } }];
const webhook = (name: string) => ({ webhook: { token_file: `${name}-hook`, on_failure: 'deny' } });
const CLUSTERS = [
  { name: 'dev', server: 'https://127.0.0.1:1', audience: 'dev', allowed_groups: ['*'], ...webhook('dev') },
  {
    name: 'prod-eu',
    server: 'https://127.0.0.1:2',
    audience: 'prod-eu',
    allowed_groups: ['sre'],
    ...webhook('prod-eu'),
  },
];

let service: TestService;
before(async () => {
  service = await startTestService({ clusters: CLUSTERS, policy: { limits: LIMITS, segments: SEGMENTS } });
});
after(() => service.stop());

interface Open {
  readonly holder: Holder;
  readonly handle: string;
  readonly token: string;
  readonly sid: string;
  readonly username: string;
}

let people = 0;
const person = () => {
  people += 1;
  return { sub: `person-${people}`, email: `person-${people}@example.com` };
};

async function open(claims = {}, audience = 'dev', holder = service.holder()): Promise<Open> {
  const { granted } = await service.login(holder, { ...person(), acr: 'mfa', ...claims }, { audience });
  const { sid, username } = granted.session;
  return { holder, handle: granted.refresh_token ?? '', token: granted.access_token, sid, username };
}

async function asCluster(name: string, token: string, authorization?: string): Promise<Answer['body']> {
  const headers = { authorization: authorization ?? `Bearer ${service.webhook_tokens[name]}` };
  const response = await fetch(`${service.url}/introspect`, {
    method: 'POST',
    headers,
    body: new URLSearchParams({ token }),
  });
  assert.equal(response.status, 200);
  assert.equal(response.headers.get('cache-control'), 'no-store');
  return response.json();
}

const asHolder = async (holder: Holder, token: string) => {
  const { status, body } = await holder.introspect(token);
  assert.equal(status, 200, JSON.stringify(body));
  return body as Record<string, unknown>;
};
const isActive = async (holder: Holder, token: string) => (await asHolder(holder, token)).active;
const INACTIVE = { active: false };

const refusals = () => service.audit.filter(({ event }) => event === 'refusal');
function lastUsed(sid: string): unknown {
  using database = openStoreDatabase(service.storeFile);
  return database.prepare('select last_used from session where sid = ?').get(sid)?.last_used;
}

describe('introspection by the holder of the key', () => {
  test('tells of the handle whose session it is and when limits end it', async () => {
    const { holder, handle, sid, username } = await open();
    const { sub, ...rest } = await asHolder(holder, handle);
    assert.match(String(sub), /^person-/);
    assert.deepEqual(rest, {
      ...{ active: true, token_type: 'N_A', iss: service.issuer.issuer, username, sid, acr: 'mfa' },
      ...{ auth_time: service.now, exp: service.now + 1800 },
    });
  });

  test('tells of a Kubernetes token what stands in it', async () => {
    const { holder, token } = await open();
    const { iss, aud, sub, username, sid, exp, auth_time, acr, jti } = claimsOf(token);
    const claims = { iss, aud, sub, username, sid, exp, auth_time, acr, jti };
    assert.deepEqual(await asHolder(holder, token), { active: true, token_type: 'N_A', ...claims });
  });

  test('S1 is active until one second before the end, for handle and token alike, and is not a use (S7)', async () => {
    const { holder, handle, token, sid } = await open();
    const opened = service.now;
    service.advance(299);
    assert.equal(await isActive(holder, token), true);
    service.advance(1);
    assert.deepEqual(await asHolder(holder, token), INACTIVE);
    service.advance(1499);
    assert.equal(await isActive(holder, handle), true);
    assert.equal(lastUsed(sid), opened, 'asking moves no clock');
    service.advance(1);
    assert.deepEqual(await asHolder(holder, handle), INACTIVE);
  });

  test('a use that the webhook saw counts before it is written', async () => {
    const { holder, handle, sid, username } = await open();
    service.advance(1000);
    await askAuthorization(service.url, service.webhook_tokens.dev ?? '', {
      user: username,
      sid,
      jti: service.tokenId(sid),
    });
    service.advance(1000);
    assert.equal((await asHolder(holder, handle)).exp, service.now + 800);
  });

  test('S6 of an ended session neither handle nor token is active', async () => {
    const { holder, handle, token } = await open();
    assert.equal((await holder.revoke(handle)).status, 200);
    for (const one of [handle, token]) assert.deepEqual(await asHolder(holder, one), INACTIVE);
  });

  test('after a newer login of the same person a token that is out is judged by it; of another person it is over (S15)', async () => {
    const claims = person();
    const first = await open(claims);
    service.advance(1);
    const second = await open(claims, 'dev', first.holder);
    assert.deepEqual(await asHolder(first.holder, first.handle), INACTIVE);
    assert.equal(await isActive(first.holder, first.token), true);
    await open({}, 'dev', first.holder);
    for (const { token, handle } of [first, second]) {
      for (const one of [token, handle]) assert.deepEqual(await asHolder(first.holder, one), INACTIVE);
    }
  });

  test('a segment denies tokens of its clusters alone', async () => {
    const { holder, handle } = await open();
    service.advance(890);
    const prod = (await holder.renew(handle, 'prod-eu')).granted.access_token;
    const dev = (await holder.renew(handle, 'dev')).granted.access_token;
    assert.equal(await isActive(holder, prod), true);
    await service.reload({ policy: { limits: LIMITS, segments: [{ ...SEGMENTS[0], limits: { max_age: '5m' } }] } });
    assert.deepEqual(await asHolder(holder, prod), INACTIVE);
    assert.equal(await isActive(holder, dev), true);
    await service.reload();
  });

  test('S11 whose groups are admitted no more has nothing active', async () => {
    const { holder, handle, token } = await open();
    await service.reload({ identity_provider: identityProvider(service.issuer.issuer, { allowed_groups: ['x'] }) });
    for (const one of [handle, token]) assert.deepEqual(await asHolder(holder, one), INACTIVE);
    await service.reload();
    for (const one of [handle, token]) assert.equal(await isActive(holder, one), true, 'and nothing was ended');
  });

  test("S12 another key's handle or token is not active, tells nothing, and is in the audit log", async () => {
    const [one, thief] = [await open(), await open()];
    for (const token of [one.handle, one.token]) {
      const before = refusals().length;
      assert.deepEqual(await asHolder(thief.holder, token), INACTIVE);
      const [row, ...more] = refusals().slice(before);
      assert.equal(more.length, 0);
      assert.deepEqual(row?.event === 'refusal' && [row.grant, row.reason, row.sid, row.jkt], [
        'introspection',
        'unknown_session',
        one.sid,
        thief.holder.jkt,
      ]);
      assert.equal(await isActive(one.holder, token), true);
    }
  });

  test('T7 what is no handle and no token of ours is not active, and not worth a row', async () => {
    const { holder, token } = await open();
    const before = refusals().length;
    const idToken = service.issuer.sign(service.claims(holder));
    const edited = `${token.slice(0, -4)}AAAA`;
    for (const other of [idToken, holder.proof(), edited, `${token}=`, 'x', randomBytes(32).toString('base64url')]) {
      assert.deepEqual(await asHolder(holder, other), INACTIVE);
    }
    assert.equal(refusals().length, before);
  });

  const broken: readonly [string, ProofOptions | undefined, string][] = [
    ['without a proof', undefined, 'proof_invalid'],
    ['with a proof for another endpoint', { url: `${ISSUER}/token` }, 'proof_invalid'],
    ['with a proof for another method', { method: 'GET' }, 'proof_invalid'],
    ['with a proof that is too old', { iat: 1_700_000_000 }, 'proof_nonce'],
  ];
  for (const [name, options, reason] of broken) {
    test(`T6 ${name}: 401, and nothing is told`, async () => {
      const { holder, handle } = await open();
      const url = `${ISSUER}/introspect`;
      const proof = options && holder.proof({ url, ...options });
      const { status, refused, headers } = await holder.post('/introspect', { token: handle }, proof);
      assert.deepEqual([status, refused.reason], [401, reason]);
      assert.match(headers.get('www-authenticate') ?? '', /^DPoP /);
      assert.equal(headers.has('dpop-nonce'), reason === 'proof_nonce');
    });
  }

  test('T6 the same proof twice: 401 and a row in the audit log', async () => {
    const { holder, handle } = await open();
    const proof = holder.proof({ url: `${ISSUER}/introspect` });
    assert.equal((await holder.introspect(handle, proof)).status, 200);
    const { status, refused } = await holder.introspect(handle, proof);
    assert.deepEqual([status, refused.reason], [401, 'proof_replayed']);
    const last = refusals().at(-1);
    assert.deepEqual(last?.event === 'refusal' && [last.grant, last.reason], ['introspection', 'proof_replayed']);
  });

  test('H1 without token, with two, or as JSON: 4xx', async () => {
    const { holder } = await open();
    const url = `${ISSUER}/introspect`;
    assert.equal((await holder.post('/introspect', {}, holder.proof({ url }))).refused.reason, 'request_invalid');
    const send = (body: string, type = 'application/x-www-form-urlencoded') =>
      fetch(`${service.url}/introspect`, {
        method: 'POST',
        headers: { 'content-type': type, dpop: holder.proof({ url }) },
        body,
      });
    assert.equal((await send('token=a&token=b')).status, 400);
    assert.ok((await send('{"token":"a"}', 'application/json')).status >= 400);
    assert.equal((await fetch(`${service.url}/introspect?token=a`)).status, 405);
  });
});

describe('introspection by a cluster', () => {
  test('tells of a token for it what stands in it, while its session lives', async () => {
    const { holder, handle, token } = await open();
    const { iss, aud, sub, username, sid, exp, auth_time, acr, jti } = claimsOf(token);
    const active = { active: true, token_type: 'N_A', iss, aud, sub, username, sid, exp, auth_time, acr, jti };
    assert.deepEqual(await asCluster('dev', token), active);
    await holder.revoke(handle);
    assert.deepEqual(await asCluster('dev', token), INACTIVE);
  });

  test('S12 tells nothing of a token for another cluster, nor of a handle', async () => {
    const { handle, token } = await open();
    assert.deepEqual(await asCluster('prod-eu', token), INACTIVE);
    assert.deepEqual(await asCluster('dev', handle), INACTIVE);
  });

  test('S7 a token is not active at its exp', async () => {
    const { token } = await open();
    service.advance(299);
    assert.notDeepEqual(await asCluster('dev', token), INACTIVE);
    service.advance(1);
    assert.deepEqual(await asCluster('dev', token), INACTIVE);
  });

  test('S11 a cluster that admits the person no more has nothing active', async () => {
    const { token } = await open({}, 'prod-eu');
    assert.notDeepEqual(await asCluster('prod-eu', token), INACTIVE);
    await service.reload({ clusters: CLUSTERS.map((cluster) => ({ ...cluster, allowed_groups: ['x'] })) });
    assert.deepEqual(await asCluster('prod-eu', token), INACTIVE);
    await service.reload();
  });

  test('H6 with another bearer token, or a handle as one, is refused by 401, recorded, and tells nothing', async () => {
    const { holder, handle, token } = await open();
    const hook = service.webhook_tokens.dev ?? '';
    const from = service.audit.length;
    const strangers = () =>
      service.audit
        .slice(from)
        .filter((row) => row.event === 'refusal' && row.grant === 'introspection' && row.reason === 'webhook_token');
    for (const authorization of [
      `Bearer ${randomBytes(32).toString('base64url')}`,
      ...[`Bearer ${handle}`, `Basic ${hook}`, `Bearer ${hook}=`, 'Bearer', `DPoP ${handle}`],
    ]) {
      // A good proof beside it does not help.
      const headers = { authorization, dpop: holder.proof({ url: `${ISSUER}/introspect` }) };
      const response = await fetch(`${service.url}/introspect`, {
        method: 'POST',
        headers,
        body: new URLSearchParams({ token }),
      });
      assert.equal(response.status, 401);
      const body = (await response.json()) as Record<string, unknown>;
      assert.deepEqual([body.error, body.reason, 'active' in body], ['invalid_token', 'webhook_token', false]);
      // Further ones alike are only counted.
      assert.ok(strangers().length > 0);
    }
  });
});
