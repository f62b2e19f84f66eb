// One address asks for many times what a broker can answer, and nothing of it is any good; somebody at another address logs in, renews and
// logs out meanwhile.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Agent, fetch } from 'undici';
import { type Brokers, makeBrokers } from '../support/brokers.ts';
import { Holder } from '../support/holder.ts';
import { makeNoise, type Noise } from '../support/noise.ts';
import { until } from '../support/patience.ts';
import { ISSUER } from '../support/service.ts';

/** Each has its next request under way as soon as the one before is answered: no broker is ever done with them. */
const CONNECTIONS = 256;
const LOGINS = 4;
const RENEWALS = 15;

describe('a noisy address', () => {
  let brokers: Brokers;
  let noise: Noise | undefined;
  const agent = new Agent({ localAddress: '127.0.0.2', pipelining: 0 });
  before(async () => {
    brokers = await makeBrokers({ count: 1 });
    for (const replica of brokers.replicas) await replica.start();
  });
  after(async () => {
    await noise?.stop();
    await agent.destroy();
    await brokers?.remove();
  });

  test('H13 is sent away; another address has all that it asks for served', async () => {
    const [url = ''] = brokers.urls();
    noise = makeNoise(url, ISSUER, '127.0.0.1', CONNECTIONS);
    const { answered } = noise;
    await until(async () => ((await answered())[429] ?? 0) > 1_000, 'the noise is not sent away');
    const before = (await answered())[429] ?? 0;

    const { issuer } = brokers;
    const send = (to: string, init: object) =>
      fetch(to, { ...init, dispatcher: agent }) as unknown as Promise<Response>;
    const statuses: number[] = [];
    for (let n = 0; n < LOGINS; n++) {
      const holder = new Holder({ url, issuer: ISSUER, send });
      const now = holder.now();
      const who = { sub: `quiet-${n}`, email: `quiet-${n}@example.com`, email_verified: true, groups: ['dev'] };
      const times = { iat: now, exp: now + 300, auth_time: now };
      const token = issuer.sign({ iss: issuer.issuer, aud: 'curfew', ...times, ...who, nonce: holder.nonce });
      const login = await holder.exchange(token, { audience: 'dev' });
      const { refresh_token: handle = '' } = login.granted;
      statuses.push(login.status);
      for (let m = 0; m < RENEWALS; m++) statuses.push((await holder.renew(handle, 'dev')).status);
      statuses.push((await holder.revoke(handle)).status);
    }
    assert.deepEqual(new Set(statuses), new Set([200]));
    assert.equal(statuses.length, LOGINS * (RENEWALS + 2));
    assert.ok(((await answered())[429] ?? 0) > before, 'it was quiet meanwhile');
  });
});
