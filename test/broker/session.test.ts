// What becomes of sessions over time: exchange, renewal, revocation, and all that must not bring one back.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { claimsOf } from '../support/holder.ts';
import { startTestService, T0, type TestService } from '../support/service.ts';

describe('a session', () => {
  let service: TestService;
  before(async () => {
    service = await startTestService();
  });
  after(() => service.stop());

  test('is opened by an ID token and renewed by its handle', async () => {
    const holder = service.holder();
    const { granted } = await service.login(holder, {}, { audience: 'dev' });
    const claims = claimsOf(granted.access_token);
    assert.equal(claims.aud, 'dev');
    assert.equal(claims.username, 'curfew:alice@example.com');
    assert.deepEqual(claims.groups, ['curfew:dev', 'curfew:sre']);
    assert.equal(claims.exp, T0 + 300);
    assert.equal(claims.sid, granted.session.sid);
    service.advance(60);
    const renewed = (await holder.renew(granted.refresh_token ?? '', 'prod-eu')).granted;
    assert.equal(claimsOf(renewed.access_token).exp, T0 + 60 + 120);
    assert.equal(renewed.session.sid, granted.session.sid);
    assert.equal(renewed.refresh_token, undefined);
  });
});
