// The threat model: everything before now is declared over (S20, S22): by `curfew-broker clock accept` and `store accept`, beside a broker that runs.

import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createClusterApis } from '../../broker/api_servers/apis.ts';
import { type AcceptCommand, accept } from '../../broker/commands/administration_commands.ts';
import { verifyAuditLog } from '../../broker/commands/audit_verify.ts';
import { loadConfig } from '../../broker/config/load.ts';
import { EXIT } from '../../shared/errors.ts';
import { type Seconds, seconds } from '../../shared/time.ts';
import { type FakeApiServer, startFakeApiServer } from '../support/fake_api_server.ts';
import type { Holder } from '../support/holder.ts';
import { askAuthorization, jtiOf } from '../support/review.ts';
import { startTestService, T0, type TestService } from '../support/service.ts';
import { openStoreDatabase } from '../support/store_database.ts';

const CLUSTERS = [
  {
    ...{ name: 'dev', server: 'https://127.0.0.1:1', audience: 'dev', allowed_groups: ['*'] },
    webhook: { token_file: 'dev-hook', on_failure: 'deny', authentication: true },
  },
];
const YEARS = 70 * 365 * 86_400;
const QUIET = { info: () => undefined, warn: () => undefined, error: () => undefined };

describe('everything before now is over', () => {
  let service: TestService;
  before(async () => {
    service = await startTestService({ clusters: CLUSTERS });
  });
  after(() => service.stop());

  async function say(command: AcceptCommand, now: () => Seconds = () => service.now) {
    const config = await loadConfig(service.configFile, { env: process.env });
    const apis = createClusterApis();
    try {
      return await accept(command, config, { now, by: 'root', apis, log: QUIET });
    } finally {
      await apis.close();
    }
  }
  let people = 0;
  const person = () => ({ sub: `over-${++people}`, email: `over-${people}@example.com` });
  async function open(who = person()) {
    const holder = service.holder();
    const id_token = service.issuer.sign(service.claims(holder, who));
    const { granted } = await holder.exchange(id_token, { audience: 'dev' });
    const { access_token: token, refresh_token: handle = '', session } = granted;
    return { who, holder, id_token, handle, token, sid: session.sid };
  }
  const authenticated = async (token: string) => {
    const response = await fetch(`${service.url}/webhooks/authenticate`, {
      method: 'POST',
      headers: { authorization: `Bearer ${service.webhook_tokens.dev}`, 'content-type': 'application/json' },
      body: JSON.stringify({ apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec: { token } }),
    });
    return ((await response.json()) as { status: { authenticated: boolean } }).status.authenticated;
  };
  const kids = async () => {
    const response = await fetch(`${service.url}/jwks`);
    return ((await response.json()) as { keys: { kid: string }[] }).keys.map(({ kid }) => kid);
  };
  /** The first request after it may meet the change itself. */
  const settled = async (holder: Holder) => {
    await holder.renew('x'.repeat(43), 'dev');
    await service.sweep().catch(() => undefined);
    await service.sweep();
  };

  test('S22 sessions, tokens, signing keys and ID tokens of before are over, a newer login is not', async () => {
    const [one, two] = [await open(), await open()];
    const unused = service.holder();
    const early = service.issuer.sign(service.claims(unused, person()));
    const before = await kids();
    assert.equal(await authenticated(one.token), true);

    const { lines, exit } = await say('store accept');
    assert.equal(exit, 0, lines.join('\n'));
    assert.ok(
      lines.some((line) => line.includes('2 active sessions ended')),
      lines.join('\n'),
    );
    await settled(one.holder);

    for (const { holder, handle, token, id_token, sid, who } of [one, two]) {
      assert.equal((await holder.renew(handle, 'dev')).refused.reason, 'session_ended');
      assert.equal(await authenticated(token), false);
      const asked = { user: `curfew:${who.email}`, sid, jti: jtiOf(token) };
      assert.equal((await askAuthorization(service.url, service.webhook_tokens.dev ?? '', asked)).denied, true);
      assert.notEqual((await holder.exchange(id_token)).status, 200);
    }
    const after = await kids();
    assert.equal(after.length, 1);
    assert.ok(!before.includes(after[0] ?? ''), 'no key of before is published');
    assert.equal((await unused.exchange(early)).refused.reason, 'login_after');
    // Single sign-on brings nobody back either: an ID token of now, with an authentication of before.
    const sso = service.holder();
    const at = service.now;
    service.advance(10);
    const silent = service.claims(sso, { ...one.who, auth_time: at });
    assert.equal((await sso.exchange(service.issuer.sign(silent))).refused.reason, 'login_after');
    // Nor an ID token of before that speaks of an authentication to come.
    const odd = service.holder();
    const forged = service.claims(odd, { ...person(), iat: at, auth_time: service.now });
    assert.notEqual((await odd.exchange(service.issuer.sign(forged))).status, 200);
    const { holder, handle, token } = await open(one.who);
    assert.equal((await holder.renew(handle, 'dev')).status, 200);
    assert.equal(await authenticated(token), true);
  });

  test('S22 it is in the audit log, with who said it, and the audit log is whole', async () => {
    const config = await loadConfig(service.configFile, { env: process.env });
    const { exit, lines } = await verifyAuditLog(config);
    assert.equal(exit, 0, lines.join('\n'));
    const database = openStoreDatabase(service.storeFile);
    const row = database.prepare("select data from audit where event = 'administration'").get();
    database.close();
    const { command, by, sessions } = JSON.parse(String(row?.data)) as Record<string, unknown>;
    assert.deepEqual({ command, by, sessions }, { command: 'store accept', by: 'root', sessions: 2 });
  });

  test('S22 a store is not accepted by a clock that is behind it', async () => {
    service.advance(2);
    await assert.rejects(
      say('store accept', () => seconds(service.now - 60)),
      { code: 'clock' },
    );
  });

  test('S20 a store that has seen 2099 is brought back by clock accept: nothing that lies ahead is left in it', async () => {
    service.advance(2);
    const returning = await open();
    service.advance(YEARS);
    await service.restart();
    const far = [await open(), await open(), await open()];
    service.advance(100);
    assert.equal((await far[0]?.holder.renew(far[0].handle, 'dev'))?.status, 200);
    await far[1]?.holder.revoke(far[1].handle);
    for (let i = 0; i < 10; i++) {
      const holder = service.holder();
      await holder.exchange(service.issuer.sign(service.claims(holder, { ...returning.who, auth_time: T0 })));
    }
    service.now = seconds(T0 + 10_000);
    await service.restart();
    assert.equal((await fetch(`${service.url}/readyz`)).status, 503);
    assert.equal((await service.login(service.holder(), person())).refused.reason, 'clock');

    const { exit, lines } = await say('clock accept');
    assert.equal(exit, 0, lines.join('\n'));
    await settled(returning.holder);
    assert.equal((await fetch(`${service.url}/readyz`)).status, 200);
    service.advance(2);
    const { holder, handle } = await open(returning.who);
    assert.equal((await holder.renew(handle, 'dev')).status, 200, 'nobody is locked out until 2099');
    for (const { holder, handle, token } of far) {
      assert.notEqual((await holder.renew(handle, 'dev')).status, 200);
      assert.equal(await authenticated(token), false);
    }

    const database = openStoreDatabase(service.storeFile);
    let columns = 0;
    const ahead: string[] = [];
    // Of rows of the audit log what they say of the time is what was believed then.
    for (const { table, name, whole_number } of database.columns('audit')) {
      if (!whole_number) continue;
      columns += 1;
      const limit = name === 'minute' ? (service.now + 86_400) / 60 : service.now + 60 * 86_400;
      const { most } = database.prepare(`select max("${name}") as most from "${table}"`).get() ?? {};
      if (Number(most) > limit) ahead.push(`${table}.${name}: ${most}`);
    }
    database.close();
    assert.ok(columns > 20, `looked at ${columns} columns`);
    assert.deepEqual(ahead, []);
  });
});

describe('S22 store accept at a cluster whose own tokens are used', () => {
  let dir: string;
  let api: FakeApiServer;
  let service: TestService;
  before(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'curfew-over-'));
    api = await startFakeApiServer(dir);
    const broker_token_file = path.join(dir, 'broker-token');
    await writeFile(broker_token_file, 'the-brokers-own-token-at-the-cluster', { mode: 0o600 });
    const service_accounts = [{ group: '*', namespace: 'people', name: 'readers' }];
    const own = { credential: 'service-account', service_accounts, broker_token_file };
    const managed = { name: 'managed', server: api.url, ca_file: api.caFile, audience: 'managed' };
    service = await startTestService({ clusters: [{ ...managed, allowed_groups: ['*'], ...own }] });
  });
  after(async () => {
    await service?.stop();
    await api?.stop();
    await rm(dir, { recursive: true, force: true });
  });

  async function acceptStore() {
    const config = await loadConfig(service.configFile, { env: process.env });
    const apis = createClusterApis();
    try {
      return await accept('store accept', config, { now: () => service.now, by: 'root', apis, log: QUIET });
    } finally {
      await apis.close();
    }
  }

  test('S22 with the API server out of reach it does not say that all is done, though this store knows of no Secret', async () => {
    const { granted } = await service.login(service.holder(), {}, { audience: 'managed' });
    await service.halt();
    for (const part of ['', '-wal', '-shm']) rmSync(service.storeFile + part, { force: true });
    api.before = () => {
      throw new Error('away');
    };
    const away = await acceptStore();
    assert.equal(away.exit, EXIT.try_again, away.lines.join('\n'));
    assert.ok(api.isGood(granted.access_token));
    assert.ok(
      away.lines.includes('warning: cluster managed: Secrets that this store does not know could not be looked for'),
      away.lines.join('\n'),
    );

    api.before = () => undefined;
    service.advance(2);
    const there = await acceptStore();
    assert.equal(there.exit, EXIT.done, there.lines.join('\n'));
    assert.equal(api.secrets.size, 0);
    await service.restart();
  });
});
