// A laptop whose clock is wrong (P12): the plugin's bundle with a bent `Date`, broker and IdP with a true one.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { claimsOf } from '../support/holder.ts';
import { credentialOf, type Desk, openDesk, refusalOf } from './desk.ts';

describe('a laptop whose clock is wrong', () => {
  let desk: Desk;
  before(async () => {
    desk = await openDesk();
    const bend = 'const now = Date.now, ahead = Number(process.env.AHEAD) * 1000; Date.now = () => now() + ahead;';
    writeFileSync(`${desk.dir}/bend.cjs`, bend);
  });
  after(() => desk.stop());
  const at = (ahead: number) => ({ env: { NODE_OPTIONS: `--require ${desk.dir}/bend.cjs`, AHEAD: String(ahead) } });
  const now = () => Date.now() / 1000;

  for (const ahead of [-7_200, -300, 300, 43_200]) {
    it(`by ${ahead} s all day: logs in, renews, and tells kubectl times of its own clock (P12)`, async () => {
      assert.equal((await desk.curfew(['logout', '--broker', desk.url, '--ca-file', desk.ca_file])).code, 0);
      const first = credentialOf(await desk.getToken('dev', true, at(ahead)));
      assert.ok(Math.abs(first.expires - (now() + ahead + 290)) < 5);
      const { token } = credentialOf(await desk.getToken('prod', false, at(ahead)));
      assert.equal(claimsOf(token).aud, 'prod-audience');
      const again = credentialOf(await desk.getToken('dev', false, at(ahead)));
      assert.ok(again.expires > now() + ahead);
      // A token that is over by this clock is asked for anew: a round trip.
      assert.equal(again.token === first.token, ahead < 300);
    });
  }

  it('by a jump of 2 h back asks the broker, and goes on (P12)', async () => {
    assert.equal((await desk.curfew(['logout', '--broker', desk.url, '--ca-file', desk.ca_file])).code, 0);
    const first = credentialOf(await desk.getToken('dev', true, at(0)));
    const again = credentialOf(await desk.getToken('dev', false, at(-7_200)));
    assert.notEqual(again.token, first.token);
  });

  it('by a jump of 12 h ahead prints no stale credential (P12)', async () => {
    credentialOf(await desk.getToken('dev', true, at(0)));
    const result = await desk.getToken('dev', false, at(43_200));
    assert.equal(result.code, 77);
    assert.match(refusalOf(result).error, /^login is too old: last login 12h ago, limit 1h$/);
    credentialOf(await desk.getToken('dev', false, at(0)));
  });
});
