// Security events that are polled (RFC 8936), from a transmitter with real signatures: what is acknowledged, what is refused, and
// what fails.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createSealer } from '../../broker/audit_log/chain.ts';
import { loadConfig } from '../../broker/config/load.ts';
import { openSqlite } from '../../broker/store/sqlite.ts';
import { SqliteStore } from '../../broker/store/sqlite_store.ts';
import { until } from '../support/patience.ts';
import { startTestService, type TestService } from '../support/service.ts';
import { sessionRow } from '../support/store_row.ts';
import { keycloakSubject, startTransmitter, type Transmitter } from '../support/transmitter.ts';

let service: TestService;
let transmitter: Transmitter;
let dir: string;
before(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'curfew-polling-'));
  service = await startTestService();
  transmitter = await startTransmitter();
  await writeFile(path.join(dir, 'token'), transmitter.poll_token, { mode: 0o600 });
  await service.reload(polling());
});
after(async () => {
  await service.stop();
  await transmitter.stop();
  await rm(dir, { recursive: true });
});

const polling = () => {
  const { issuer, audience, poll_url: url } = transmitter;
  const poll = { url, token_file: path.join(dir, 'token') };
  return { ssf: [{ issuer, audience, issuers: [service.issuer.issuer], poll }] };
};

/** A person with a session, and the event that ends it. */
async function open() {
  const id = randomUUID();
  const { granted } = await service.login(service.holder(), { sub: `sub-${id}`, email: `${id}@example.com` });
  const subject = { format: 'iss_sub', iss: service.issuer.issuer, sub: `sub-${id}` };
  // The broker's clock is the test's.
  const event = (claims = {}) =>
    transmitter.set('session-revoked', subject, { claims: { iat: service.now, ...claims } });
  return { sid: granted.session.sid, event, sub: subject.sub };
}

const endOf = (sid: string) => sessionRow(service.storeFile, sid).end_reason;

test('an event is acknowledged after it took effect; one that is wrong is refused by setErrs, in the audit log too', async () => {
  const [good, bad] = [await open(), await open()];
  const [fine, wrong] = [good.event(), bad.event({ aud: 'another' })];
  transmitter.queue(wrong, fine);
  await until(() => transmitter.acknowledged.includes(fine.jti), 'not acknowledged');
  assert.equal(endOf(good.sid), 'session_revoked');
  await until(() => transmitter.errors.has(wrong.jti), 'not refused');
  assert.equal(transmitter.errors.get(wrong.jti)?.err, 'invalid_audience');
  assert.equal(endOf(bad.sid), null);
  assert.ok(
    service.audit.some((row) => row.event === 'refusal' && row.grant === 'poll' && row.reason === 'set_audience'),
  );
});

test('duplicates, wrong order and small batches: each acts once, and all are acknowledged', async () => {
  const people = await Promise.all(Array.from({ length: 7 }, open));
  const sets = people.map(({ event }) => event());
  transmitter.reversed = true;
  transmitter.batch = 3;
  transmitter.queue(...sets);
  await until(() => transmitter.pending.length === 0, 'not all acknowledged');
  transmitter.queue(...sets);
  await until(() => transmitter.pending.length === 0 && transmitter.polls > 0, 'duplicates not acknowledged');
  transmitter.reversed = false;
  transmitter.batch = 100;
  assert.deepEqual(
    people.map(({ sid }) => endOf(sid)),
    Array(7).fill('session_revoked'),
  );
  for (const { sub } of people) {
    assert.equal(service.audit.filter((row) => row.event === 'signal' && row.sub === sub).length, 1);
  }
});

for (const fault of ['500', 'html', 'refuse', 'redirect'] as const) {
  test(`a transmitter that answers polls with ${fault} is asked again, and nothing is lost`, async () => {
    const person = await open();
    const event = person.event();
    transmitter.fault = fault;
    const before = service.log.filter((line) => /could not be polled/.test(line)).length;
    transmitter.queue(event);
    await until(
      () => service.log.filter((line) => /could not be polled/.test(line)).length > before,
      'no failure seen',
    );
    assert.equal(endOf(person.sid), null);
    transmitter.fault = undefined;
    await until(() => transmitter.acknowledged.includes(event.jti), 'not acknowledged');
    assert.equal(endOf(person.sid), 'session_revoked');
  });
}

test('a token that was taken back is said, and a new one in the file is used without a reload', async () => {
  const person = await open();
  await writeFile(path.join(dir, 'token'), 'other');
  const event = person.event();
  transmitter.queue(event);
  await until(() => service.log.some((line) => /answered HTTP 401 to a poll/.test(line)), 'no 401 seen');
  await writeFile(path.join(dir, 'token'), transmitter.poll_token);
  await until(() => transmitter.acknowledged.includes(event.jti), 'not acknowledged');
});

test('taken out of the configuration it is asked no more', async () => {
  await service.reload({});
  await sleep(1_500);
  const person = await open();
  const { polls } = transmitter;
  transmitter.queue(person.event());
  await sleep(1_500);
  assert.ok(transmitter.polls <= polls);
  assert.equal(endOf(person.sid), null);
});

test('L3 as Keycloak does it: beneath a path, polled with client credentials, a user with the session ALL', async () => {
  const client = { id: 'curfew+signals', secret: 'p+ss: wörd%' };
  const keycloak = await startTransmitter('RS256', { path: '/auth/realms/corp', client });
  const secret = path.join(dir, 'secret');
  try {
    await writeFile(secret, `${client.secret}\n`, { mode: 0o600 });
    const { issuer, audience, poll_url: url } = keycloak;
    const poll = { url, client_id: client.id, client_secret_file: secret, scopes: ['ssf.read'] };
    await service.reload({ ssf: [{ issuer, audience, issuers: [service.issuer.issuer], poll }] });
    const end = async () => {
      const person = await open();
      const subject = keycloakSubject(service.issuer.issuer, person.sub);
      const set = keycloak.set('session-revoked', subject, { claims: { iat: service.now } });
      keycloak.queue(set);
      await until(() => keycloak.acknowledged.includes(set.jti), 'not acknowledged');
      assert.equal(endOf(person.sid), 'session_revoked');
    };
    await end();
    await end();
    assert.equal(keycloak.tokens_issued, 1, 'one token for many polls');
    keycloak.revokeTokens();
    await end();
    assert.equal(keycloak.tokens_issued, 2, 'another once it is refused');
    await writeFile(secret, 'another', { mode: 0o600 });
    const lines = service.log.length;
    keycloak.revokeTokens();
    const wake = await open();
    keycloak.queue(
      keycloak.set('session-revoked', keycloakSubject(service.issuer.issuer, wake.sub), {
        claims: { iat: service.now },
      }),
    );
    await until(
      () => service.log.slice(lines).some((line) => /invalid_client.*client_secret_file/.test(line)),
      'not said',
    );
    await writeFile(secret, client.secret, { mode: 0o600 });
    await until(() => endOf(wake.sid) !== null, 'it does not come again');
    for (const line of service.log) assert.ok(!line.includes('wörd') && !line.includes('Basic '));
  } finally {
    await service.reload(polling());
    await keycloak.stop();
  }
});

test('a token that lasts no longer than a moment is got again for each poll', async () => {
  const client = { id: 'curfew', secret: 'secret', expires_in: 5 };
  const short = await startTransmitter('ES256', { client });
  try {
    const secret = path.join(dir, 'short-secret');
    await writeFile(secret, client.secret, { mode: 0o600 });
    const { issuer, audience, poll_url: url } = short;
    const poll = { url, client_id: client.id, client_secret_file: secret, token_endpoint: `${issuer}/token` };
    await service.reload({ ssf: [{ issuer, audience, issuers: [service.issuer.issuer], poll }] });
    for (let n = 1; n <= 2; n++) {
      const person = await open();
      const subject = { format: 'iss_sub', iss: service.issuer.issuer, sub: person.sub };
      const set = short.set('session-revoked', subject, { claims: { iat: service.now } });
      short.queue(set);
      await until(() => endOf(person.sid) === 'session_revoked', 'not ended');
    }
    assert.ok(short.tokens_issued >= 2);
  } finally {
    await service.reload(polling());
    await short.stop();
  }
});

test('one replica polls: where another has taken over nothing is acknowledged, and what was received acts once (R5)', async () => {
  const options = {
    sealer: createSealer((await loadConfig(service.configFile, { env: process.env })).encryption_key),
    onAudit: () => undefined,
    onBroken: () => undefined,
  };
  const other = await SqliteStore.open(openSqlite(service.storeFile, { checkpoints: false }), options);
  try {
    const clock = { observe: () => undefined, newest: () => undefined };
    const guard = { fault: undefined, check: () => undefined, committed: () => undefined, undone: () => undefined };
    other.serve({ clock, guard, onEpoch: async () => undefined }, await other.standing());
    const lease = await other.lease('background', 60);
    assert.ok(lease);
    await until(() => service.log.some((line) => /another replica has taken over/.test(line)), 'it is not noticed');
    const person = await open();
    const event = person.event();
    transmitter.queue(event);
    await sleep(1_500);
    const { polls } = transmitter;
    await sleep(1_500);
    assert.equal(transmitter.polls, polls, 'it polls');
    assert.ok(!transmitter.acknowledged.includes(event.jti));
    await lease.giveBack();
    await until(() => transmitter.acknowledged.includes(event.jti), 'it does not poll again');
    assert.equal(endOf(person.sid), 'session_revoked');
    assert.equal(service.audit.filter((row) => row.event === 'signal' && row.sub === person.sub).length, 1);
  } finally {
    await other.close();
  }
});
