// Everybody comes at once: two replicas, a database, people who log in within seconds, from one address, and get in all of them.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { spendMorning } from '../support/morning.ts';
import { type ReplicasWithTls, startReplicasWithTls } from '../support/replicas_with_tls.ts';

const PEOPLE = 120;

describe('an office behind one address', () => {
  let site: ReplicasWithTls;
  before(async () => {
    site = await startReplicasWithTls(4);
  });
  after(() => site?.stop());

  test('everybody gets in, at whichever replica, with a session and a token of their own', async () => {
    const { issuer, key } = site.brokers.issuer;
    const idp = { issuer, kid: 'static', key_pem: String(key.export({ format: 'pem', type: 'pkcs8' })) };
    const { url, ca_file, brokers } = site;
    const { errors, latencies } = await spendMorning({ url, ca_file, idp, people: PEOPLE, seconds: 3, seed: 9 });
    assert.deepEqual(errors, []);
    assert.equal(latencies.length, PEOPLE);
    const logins = brokers.replicas.map((one) => one.process?.audit().filter(({ event }) => event === 'login') ?? []);
    assert.equal(new Set(logins.flat().map(({ username }) => username)).size, PEOPLE);
    assert.equal(logins.flat().length, PEOPLE, 'a login opened more than one session');
    for (const one of logins) assert.ok(one.length > 0, 'a replica took none');
  });
});
