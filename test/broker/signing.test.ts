// When a Kubernetes token is signed: after the commit of all that allows it.

import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import { after, before, describe, mock, test } from 'node:test';
import { startTestService, type TestService } from '../support/service.ts';

describe('signing', () => {
  let service: TestService;
  /** For each token of ours that was signed: whether the row of its mint was on disk by then. */
  const recorded: boolean[] = [];
  before(async () => {
    service = await startTestService();
    const sign = crypto.sign.bind(crypto) as (...given: readonly unknown[]) => Buffer;
    mock.method(crypto, 'sign', (...given: readonly unknown[]) => {
      const [header = '', payload = ''] = String(given[1]).split('.');
      const { typ } = JSON.parse(Buffer.from(header, 'base64url').toString()) as { typ?: string };
      if (typ === 'curfew+jwt') {
        const { jti } = JSON.parse(Buffer.from(payload, 'base64url').toString()) as { jti: string };
        recorded.push(service.audit.some((event) => event.event === 'mint' && event.jti === jti));
      }
      return sign(...given);
    });
    syncBuiltinESMExports();
  });
  after(async () => {
    mock.restoreAll();
    syncBuiltinESMExports();
    await service.stop();
  });

  test('a token is signed after the commit that allows it, at a login and at each renewal', async () => {
    const holder = service.holder();
    const { refresh_token = '' } = (await service.login(holder, {}, { audience: 'dev' })).granted;
    assert.equal((await holder.renew(refresh_token, 'dev')).status, 200);
    const many = await Promise.all(Array.from({ length: 20 }, () => holder.renew(refresh_token, 'dev')));
    assert.deepEqual(new Set(many.map(({ status }) => status)), new Set([200]));
    assert.deepEqual(
      recorded,
      Array.from({ length: 22 }, () => true),
    );
  });

  test('nothing is signed for what is refused', async () => {
    const before = recorded.length;
    const holder = service.holder();
    const { refresh_token = '' } = (await service.login(holder, {})).granted;
    assert.equal((await holder.renew(refresh_token, 'nowhere')).status, 400);
    await holder.revoke(refresh_token);
    assert.equal((await holder.renew(refresh_token, 'dev')).status, 400);
    assert.equal(recorded.length, before);
  });
});
