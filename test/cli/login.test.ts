// Login, get-token, logout from outside: the bundle against a real broker and IdP.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { credentialOf, type Desk, openDesk, refusalOf } from './desk.ts';

describe('a person at the desk', () => {
  let desk: Desk;
  before(async () => {
    desk = await openDesk();
  });
  after(() => desk.stop());

  it('a first call without a terminal is refused: not logged in', async () => {
    const result = await desk.getToken('dev', false);
    assert.equal(result.code, 77);
    const { error, hint } = refusalOf(result);
    assert.equal(error, 'not logged in');
    assert.equal(hint, `run: kubectl curfew login --broker ${desk.url}`);
  });

  it('a first call at a terminal logs in and goes on', async () => {
    const result = await desk.getToken('dev', true);
    const { token, expires } = credentialOf(result);
    assert.ok(token.split('.').length === 3);
    assert.ok(expires > Date.now() / 1000 + 200);
    console.log(result.stderr, desk.browser.visits());
  });

  it('the next call touches neither broker nor IdP', async () => {
    const requests = desk.idp.requests.length;
    const lines = desk.broker.audit().length;
    credentialOf(await desk.getToken('dev', false));
    assert.equal(desk.idp.requests.length, requests);
    assert.equal(desk.broker.audit().length, lines);
  });
});
