// The threat model: a person whose name changes at the IdP (S19): never two people under one name.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import type { EndEvent } from '../../broker/audit_log/events.ts';
import { claimsOf, type Holder } from '../support/holder.ts';
import { startTestService, type TestService } from '../support/service.ts';

let service: TestService;
before(async () => {
  service = await startTestService();
});
after(() => service.stop());

type Person = { readonly sub: string; readonly email: string };
const person = (): Person => {
  const id = randomUUID();
  return { sub: id, email: `${id}@example.com` };
};

interface Open {
  readonly holder: Holder;
  readonly handle: string;
  readonly sid: string;
  readonly token: string;
}

async function open(claims: object, holder = service.holder(), audience = 'dev'): Promise<Open> {
  const { granted } = await service.login(holder, { jti: randomUUID(), ...claims }, { audience });
  const { refresh_token: handle = '', access_token: token, session } = granted;
  return { holder, handle, sid: session.sid, token };
}

const endOf = (sid: string) =>
  service.audit.find((event): event is EndEvent => event.event === 'end' && event.sid === sid)?.reason;
const refused = async (claims: object) =>
  (await service.login(service.holder(), { jti: randomUUID(), ...claims }, { audience: 'dev' })).refused;
const idToken = ({ holder }: Open, claims: object) =>
  service.issuer.sign(service.claims(holder, { jti: randomUUID(), ...claims }));

describe('a person whose name changes at the identity provider', () => {
  for (const key of ['another key', 'the same key'] as const) {
    test(`S19 a login by another name on ${key} ends the sessions under the old one, without login_after, and no others`, async () => {
      const [who, other] = [person(), person()];
      const auth_time = service.now;
      const [first, second, foreign] = [await open(who), await open(who), await open(other)];
      const renamed = { ...who, email: `new-${who.email}`, auth_time };
      service.advance(5);
      const third = await open(renamed, key === 'the same key' ? first.holder : service.holder());
      assert.deepEqual([endOf(first.sid), endOf(second.sid), endOf(foreign.sid)], ['renamed', 'renamed', undefined]);
      assert.equal(claimsOf(third.token).username, `curfew:new-${who.email}`);
      assert.deepEqual((await first.holder.introspect(first.token)).body, { active: false });
      const again = (await second.holder.renew(second.handle, 'dev')).refused;
      assert.deepEqual([again.reason, again.end_reason], ['session_ended', 'renamed']);
      assert.match(again.error_description, /name of the account .* was changed/);
    });
  }

  test('S19 a name that becomes free is nobody else’s until the last token that bears it is over: exp + 10 s', async () => {
    const [who, newcomer] = [person(), person()];
    const first = await open(who);
    service.advance(100);
    const renewed = (await first.holder.renew(first.handle, 'dev')).granted;
    const exp = Number(claimsOf(renewed.access_token).exp);
    service.advance(10);
    await open({ ...who, email: `new-${who.email}` });
    const taken = { ...newcomer, email: who.email };
    const answer = await refused(taken);
    assert.equal(answer.reason, 'username_taken');
    assert.equal(answer.retry_after, exp + 10 - service.now);
    service.advance(exp + 9 - service.now);
    await service.sweep();
    assert.equal((await refused(taken)).reason, 'username_taken');
    service.advance(1);
    assert.equal(claimsOf((await open(taken)).token).username, `curfew:${who.email}`);
    assert.equal((await refused(who)).reason, 'username_taken');
  });

  test('S19 also where an earlier session of the person bears it, replaced or ended', async () => {
    const who = person();
    const first = await open(who);
    const second = await open(who, first.holder);
    await second.holder.revoke(second.handle);
    service.advance(2);
    await open({ ...who, email: `new-${who.email}` });
    assert.equal((await refused({ ...person(), email: who.email })).reason, 'username_taken');
    service.advance(308);
    await open({ ...person(), email: who.email });
  });

  test('S19 the person can have the name back at once, and where no token bears it anybody can', async () => {
    const who = person();
    await open(who);
    await open({ ...who, email: `new-${who.email}` });
    assert.equal(claimsOf((await open(who)).token).username, `curfew:${who.email}`);
    const silent = person();
    await service.login(service.holder(), silent);
    await service.login(service.holder(), { ...silent, email: `new-${silent.email}`, jti: randomUUID() });
    await open({ ...person(), email: silent.email });
  });

  test('S19 an ID token with another name ends the session also where that name is taken, or is no name to be had', async () => {
    for (const email_verified of [true, false]) {
      const [who, other] = [person(), person()];
      const [first, foreign] = [await open(who), await open(other)];
      const answer = await refused({ ...who, email: other.email, email_verified });
      assert.equal(answer.reason, email_verified ? 'username_taken' : 'username');
      assert.deepEqual([endOf(first.sid), endOf(foreign.sid)], ['renamed', undefined]);
      service.advance(310);
      await open({ ...person(), email: who.email });
    }
  });

  for (const [what, claims] of [
    ['without the claim', { email: undefined }],
    ['with null for it', { email: null }],
    ['with an empty text for it', { email: '' }],
    ['with the name of the session, not verified', { email_verified: false }],
  ] as const) {
    test(`S19 an ID token ${what} ends nothing`, async () => {
      const who = person();
      const first = await open(who);
      assert.equal((await refused({ ...who, ...claims })).reason, 'username');
      service.advance(5);
      const vouching = idToken(first, { ...who, auth_time: service.now - 5, ...claims });
      assert.equal((await first.holder.renew(first.handle, 'dev', { id_token: vouching })).refused.reason, 'username');
      assert.equal((await first.holder.renew(first.handle, 'dev')).status, 200);
    });
  }

  for (const taken of [false, true]) {
    test(`S19 a newer ID token at a renewal with another name${taken ? ', which is taken,' : ''} ends the session and those beside it`, async () => {
      const [who, other] = [person(), person()];
      const auth_time = service.now;
      const [first, second] = [await open(who), await open(who)];
      await open(other);
      service.advance(60);
      const email = taken ? other.email : `new-${who.email}`;
      const answer = await first.holder.renew(first.handle, 'dev', {
        id_token: idToken(first, { ...who, auth_time, email }),
      });
      assert.deepEqual([answer.refused.reason, answer.refused.end_reason], ['session_ended', 'renamed']);
      assert.deepEqual([endOf(first.sid), endOf(second.sid)], ['renamed', 'renamed']);
      assert.equal((await refused({ ...person(), email: who.email })).reason, 'username_taken');
    });
  }

  test('S19 names are compared as Kubernetes sees them: another case is another name', async () => {
    const who = person();
    const first = await open(who);
    await open({ ...who, email: who.email.toUpperCase() });
    assert.equal(endOf(first.sid), 'renamed');
  });

  test('S19 a session that is over by itself ends for that, so that single sign-on does not bring it back', async () => {
    const who = { ...person(), auth_time: service.now };
    const first = await open(who);
    service.advance(1800);
    assert.equal((await refused({ ...who, email: `new-${who.email}` })).reason, 'login_after');
    assert.equal(endOf(first.sid), 'inactivity_timeout');
  });

  test('S19 of two who take a name that becomes free at once, one has it', async () => {
    const who = person();
    await service.login(service.holder(), who);
    await service.login(service.holder(), { ...who, email: `new-${who.email}`, jti: randomUUID() });
    const answers = await Promise.all(
      Array.from({ length: 8 }, () =>
        service.login(service.holder(), { ...person(), email: who.email }, { audience: 'dev' }),
      ),
    );
    assert.equal(answers.filter(({ status }) => status === 200).length, 1);
  });
});
