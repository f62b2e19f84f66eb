// Everybody comes at once: two replicas, a database, people who log in within seconds, from one address, and get in all of them.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type BalancedReplicas, startBalancedReplicas } from '../support/balanced_replicas.ts';
import { spendMorning } from '../support/morning.ts';
import { until } from '../support/patience.ts';

const PEOPLE = 100;

describe('an office behind one address', () => {
  let site: BalancedReplicas;
  before(async () => {
    site = await startBalancedReplicas(4);
  });
  after(() => site?.stop());

  test('everybody gets in, at whichever replica, with a session and a token of their own', async () => {
    const { issuer, key } = site.brokers.issuer;
    const idp = { issuer, kid: 'static', key_pem: String(key.export({ format: 'pem', type: 'pkcs8' })) };
    const { url, ca_file, brokers } = site;
    const how = { people: PEOPLE, seconds: 6, seed: 9, insisting: true };
    const { errors, latencies } = await spendMorning({ url, ca_file, idp, ...how });
    assert.deepEqual(errors, []);
    assert.equal(latencies.length, PEOPLE);
    const logins = () =>
      brokers.replicas.map((one) => one.process?.audit().filter(({ event }) => event === 'login') ?? []);
    // What a process says comes by a pipe.
    await until(() => logins().flat().length >= PEOPLE, 'not all logins are in the audit log');
    assert.equal(new Set(logins().flatMap((some) => some.map(({ username }) => username))).size, PEOPLE);
    assert.equal(logins().flat().length, PEOPLE, 'a login opened more than one session');
    for (const one of logins()) assert.ok(one.length > 0, 'a replica took none');
  });
});
