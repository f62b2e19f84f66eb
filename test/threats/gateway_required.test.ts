// Where a gateway is required nobody walks around it: people get tokens for the gateway alone, and it alone swaps them for the cluster's.

import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import type { AuditEvent } from '../../broker/audit_log/events.ts';
import { isSwapReply } from '../../shared/gateway_wire.ts';
import { GATEWAY_TOKEN_TYP, TOKEN_TYP } from '../../shared/token_typ.ts';
import { GRANT, TOKEN_TYPE } from '../../shared/wire.ts';
import { GATEWAY_CLUSTERS } from '../support/gateway.ts';
import { claimsOf, type Holder } from '../support/holder.ts';
import { askAuthentication, askAuthorization, jtiOf } from '../support/review.ts';
import { startTestService, TEST_POLICY, type TestService } from '../support/service.ts';
import { openStoreDatabase } from '../support/store_database.ts';

const HOOK = { on_failure: 'deny', authentication: true };
const [DEV, PROD] = GATEWAY_CLUSTERS;
const clustersWith = (required: boolean) => [
  { ...DEV, gateway: { ...DEV?.gateway, required }, webhook: { ...HOOK, token_file: 'dev-hook' } },
  { ...PROD, gateway: { ...PROD?.gateway, required }, webhook: { ...HOOK, token_file: 'prod-eu-hook' } },
];
const USER = 'curfew:alice@example.com';

let service: TestService;
let holder: Holder;
let handle: string;
let sid: string;
/** Of the person, for the gateway. */
let token: string;

before(async () => {
  service = await startTestService({ clusters: clustersWith(true) });
});
after(() => service.stop());
beforeEach(async () => {
  service.advance(7200);
  holder = service.holder();
  const { granted } = await service.login(holder, {}, { audience: 'dev' });
  [handle, sid, token] = [granted.refresh_token ?? '', granted.session.sid, granted.access_token];
});

const headOf = (jws: string) => JSON.parse(Buffer.from(jws.split('.')[0] ?? '', 'base64url').toString());
const stored = () => {
  using database = openStoreDatabase(service.storeFile);
  return Number(database.prepare('select last_used from session where sid = ?').get(sid)?.last_used);
};

async function askSwap(
  subject_token: string,
  { by = service.gateway_tokens.dev, ...more }: Readonly<Record<string, string | undefined>> = {},
) {
  const form = {
    ...{ grant_type: GRANT.exchange, subject_token, subject_token_type: TOKEN_TYPE.jwt, audience: 'dev', ...more },
  };
  const headers = { authorization: `Bearer ${by}`, 'content-type': 'application/x-www-form-urlencoded' };
  const response = await fetch(`${service.url}/token`, { method: 'POST', headers, body: new URLSearchParams(form) });
  const body = (await response.json()) as { readonly reason?: string };
  return { status: response.status, body, reason: body.reason };
}
async function swap(subject_token = token) {
  const { status, body } = await askSwap(subject_token);
  assert.ok(status === 200 && isSwapReply(body), JSON.stringify(body));
  return body;
}
const authenticated = async (jws: string) =>
  (await askAuthentication(service.url, service.webhook_tokens.dev ?? '', jws)).authenticated;
const denied = async (jws: string) => {
  const asked = { user: USER, sid, jti: jtiOf(jws) };
  return (await askAuthorization(service.url, service.webhook_tokens.dev ?? '', asked)).denied;
};
async function introspected(jws: string) {
  const headers = { authorization: `Bearer ${service.webhook_tokens.dev}` };
  const body = new URLSearchParams({ token: jws });
  const response = await fetch(`${service.url}/introspect`, { method: 'POST', headers, body });
  return (await response.json()) as { readonly active: boolean };
}
const rows = (event: AuditEvent['event']) => service.audit.filter((row) => row.event === event && row.sid === sid);

describe('where a gateway is required', () => {
  test('G4 login and renewal give tokens for the gateway alone, with a typ of their own', async () => {
    const renewed = (await holder.renew(handle, 'dev')).granted.access_token;
    for (const jws of [token, renewed]) {
      assert.equal(claimsOf(jws).aud, 'dev/gateway');
      assert.equal(headOf(jws).typ, GATEWAY_TOKEN_TYP);
    }
    assert.equal((await holder.renew(handle, 'dev/gateway')).refused.reason, 'invalid_target');
  });

  test('G4 such a token is nothing to the API server: not by TokenReview, not by introspection, and its id is not a use', async () => {
    const before = stored();
    service.advance(60);
    assert.equal(await authenticated(token), false);
    assert.deepEqual(await introspected(token), { active: false });
    assert.equal(await denied(token), true);
    assert.equal(stored(), before);
  });

  test('the gateway swaps it for one that the API server takes: of the same session, no longer, and no use', async () => {
    const before = stored();
    service.advance(60);
    const { access_token, expires_in } = await swap();
    const [own, theirs] = [claimsOf(token), claimsOf(access_token)];
    assert.equal(headOf(access_token).typ, TOKEN_TYP);
    assert.deepEqual(
      { ...theirs, jti: '', iat: 0, nbf: 0, aud: '' },
      { ...own, jti: '', iat: 0, nbf: 0, aud: '' },
      'no later end, and nobody else',
    );
    assert.equal(theirs.aud, 'dev');
    assert.equal(expires_in, Number(own.exp) - service.now);
    assert.equal(stored(), before, 'moves no clock');
    assert.equal(await authenticated(access_token), true);
    assert.deepEqual((await introspected(access_token)).active, true);
    assert.equal(await denied(access_token), false);
    const [, mint] = rows('mint');
    assert.ok(mint?.event === 'mint');
    assert.deepEqual([mint.swapped_from, mint.jti, mint.cluster], [jtiOf(token), theirs.jti, 'dev']);
  });

  test('I1 there is a new decision each time: none after the end, for another limit, or for who is not admitted any more', async () => {
    await service.reload({ policy: { ...TEST_POLICY, limits: { ...TEST_POLICY.limits, max_age: '2m' } } });
    service.advance(119);
    assert.equal(Number((await swap()).expires_in), 1);
    service.advance(1);
    assert.equal((await askSwap(token)).reason, 'login_too_old');
    const [end] = rows('end');
    assert.equal(end?.event === 'end' && end.reason, 'max_age', 'which ends the session');
    await service.reload();

    const { granted } = await service.login(holder, {}, { audience: 'dev' });
    const [second, next] = [granted.session.sid, granted.access_token];
    await swap(next);
    const [dev, prod] = clustersWith(true);
    await service.reload({ clusters: [{ ...dev, allowed_groups: ['others'] }, prod] });
    assert.equal((await askSwap(next)).reason, 'not_admitted');
    await service.reload();
    await holder.revoke(granted.refresh_token ?? '');
    assert.equal((await askSwap(next)).reason, 'session_ended');
    const refusals = service.audit.filter((row) => row.event === 'refusal' && row.sid === second);
    assert.deepEqual(
      refusals.map((row) => row.event === 'refusal' && [row.grant, row.reason]),
      [
        ['gateway', 'not_admitted'],
        ['gateway', 'session_ended'],
      ],
    );
  });

  test('S7 is refused at exp itself, and what came of it is over then too', async () => {
    const { access_token } = await swap();
    service.advance(299);
    await swap();
    assert.equal(await authenticated(access_token), true);
    service.advance(1);
    assert.deepEqual([(await askSwap(token)).status, await authenticated(access_token)], [400, false]);
  });

  test('G4 only that very gateway does it, and only for what is its own', async () => {
    const { access_token } = await swap();
    const prod = (await holder.renew(handle, 'prod-eu')).granted.access_token;
    for (const [what, status, reason, ask] of [
      ['no gateway', 401, 'gateway_token', () => askSwap(token, { by: 'x' })],
      ['an API server', 401, 'gateway_token', () => askSwap(token, { by: service.webhook_tokens.dev })],
      ['another gateway', 400, 'invalid_target', () => askSwap(token, { by: service.gateway_tokens['prod-eu'] })],
      [
        "another gateway for its own cluster, by this one's token",
        ...([400, 'request_invalid'] as const),
        () => askSwap(token, { by: service.gateway_tokens['prod-eu'], audience: 'prod-eu' }),
      ],
      ['for another cluster', 400, 'invalid_target', () => askSwap(token, { audience: 'prod-eu' })],
      ['for itself', 400, 'invalid_target', () => askSwap(token, { audience: 'dev/gateway' })],
      ['of another cluster', 400, 'request_invalid', () => askSwap(prod)],
      ['once more', 400, 'request_invalid', () => askSwap(access_token)],
      ['a handle', 400, 'request_invalid', () => askSwap(handle)],
      ['a token that was changed', 400, 'request_invalid', () => askSwap(`${token.slice(0, -4)}AAAA`)],
      ['as an ID token', 400, 'request_invalid', () => askSwap(token, { subject_token_type: TOKEN_TYPE.id_token })],
      ['a renewal', 400, 'grant_type', () => askSwap(token, { grant_type: GRANT.renewal })],
    ] as const) {
      const answer = await ask();
      assert.deepEqual([answer.status, answer.reason], [status, reason], what);
    }
  });

  test('T7 the token for the gateway is no handle, no ID token and no logout token', async () => {
    assert.equal((await holder.renew(token, 'dev')).refused.reason, 'unknown_session');
    assert.notEqual((await holder.exchange(token)).status, 200);
    const body = new URLSearchParams({ logout_token: token });
    assert.equal((await fetch(`${service.url}/backchannel-logout`, { method: 'POST', body })).status, 400);
    assert.equal(((await holder.introspect(token)).body as { aud?: string }).aud, 'dev/gateway');
    const { access_token } = await swap();
    assert.deepEqual((await holder.introspect(access_token)).body, { active: false }, 'which no person has');
  });

  test('tokens that are out when it is switched on go on, without a way to get another; switched off it all goes on', async () => {
    await service.reload({ clusters: clustersWith(false) });
    const plain = (await holder.renew(handle, 'dev')).granted.access_token;
    assert.deepEqual([claimsOf(plain).aud, headOf(plain).typ], ['dev', TOKEN_TYP]);
    const swapped = (await swap()).access_token;
    await service.reload();
    assert.equal(await denied(plain), false, 'until they are over');
    assert.equal(await authenticated(plain), false, 'asked about itself, it is a token that no person may have');
    assert.deepEqual(await introspected(plain), { active: false });
    assert.equal(claimsOf((await holder.renew(handle, 'dev')).granted.access_token).aud, 'dev/gateway');
    service.advance(431);
    assert.equal(await denied(plain), true);
    await service.reload({ clusters: clustersWith(false) });
    assert.equal(await denied(swapped), true, 'over');
    await service.reload();
  });

  test('S20 nothing is swapped while the clock of the broker is not believed', async () => {
    service.setClock(-600);
    const { status, reason } = await askSwap(token);
    service.setClock(600);
    assert.deepEqual([status, reason], [503, 'clock']);
  });
});
