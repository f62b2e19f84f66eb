// Renewals past transactions, with a store in PostgreSQL: read, decide, and one call that holds only if all is still as it was read.

import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { Client } from 'pg';
import { verifyAuditLog } from '../../broker/commands/audit_verify.ts';
import { loadConfig } from '../../broker/config/load.ts';
import { LOCK } from '../../broker/postgres/locks.ts';
import { type Answer, Holder } from '../support/holder.ts';
import { until } from '../support/patience.ts';
import { type Scrape, scrape } from '../support/scrape.ts';
import { startTestService, TEST_POLICY, type TestService } from '../support/service.ts';

/** As many connections as a broker has: the first row of each takes a transaction. */
const CONNECTIONS = 8;

describe('a renewal with a store in PostgreSQL', () => {
  let service: TestService;
  let second: { readonly issuer: string; readonly url: string };
  /** A client of the database that is no broker: for what it holds a broker waits. */
  let other: Client;
  let holder: Holder;
  let handle: string;
  let sid: string;
  let people = 0;
  before(async () => {
    const metrics = { address: '127.0.0.1', port: 0 };
    service = await startTestService({ metrics, policy: TEST_POLICY }, { postgres: true });
    other = new Client({ connectionString: service.storeFile });
    await other.connect();
  });
  after(async () => {
    await other?.end();
    await service?.stop();
  });
  beforeEach(async () => {
    holder = service.holder();
    const sub = `direct-${++people}`;
    const { granted } = await service.login(holder, { sub, email: `${sub}@example.com` });
    handle = granted.refresh_token ?? '';
    sid = granted.session.sid;
    await useAllConnections();
    service.advance(1);
  });
  afterEach(() => other.query('rollback'));

  /** While the first waits for what is held here, the next takes another connection. */
  const useAllConnections = async () => {
    await other.query('begin');
    await other.query('select from session where sid = $1 for update', [sid]);
    const renewing = Array.from({ length: CONNECTIONS }, () => holder.renew(handle, 'dev'));
    await untilWaiting('%', CONNECTIONS);
    await other.query('commit');
    for (const { status } of await Promise.all(renewing)) assert.equal(status, 200);
  };
  const untilWaiting = async (query: string, count = 1) => {
    await until(async () => {
      // What was seen once is kept in the transaction.
      await other.query('select pg_stat_clear_snapshot()');
      const { rows } = await other.query(
        `select from pg_stat_activity where wait_event_type = 'Lock' and query like $1 and datname = current_database()`,
        [query],
      );
      return rows.length >= count;
    }, `nobody waits in ${query}`);
  };
  const WAY = 'curfew_store_renewals_total';
  const ways = async (from: Scrape) => {
    const now = await scrape(service.metrics_url);
    return {
      direct: now.since(from, WAY, { way: 'direct' }),
      transaction: now.since(from, WAY, { way: 'transaction' }),
    };
  };
  const stored = async (text: string) => (await other.query(text, [sid])).rows;
  const mints = async () => (await stored(`select seq from audit where event = 'mint' and sid = $1`)).length;
  /** What `text` does happens after the broker has read and decided: its commit waits for that to be committed. */
  const meanwhile = async (
    text: string,
    { act = async () => {}, ask = () => holder.renew(handle, 'dev'), at = '%renew_commit%' } = {},
  ): Promise<Answer> => {
    await other.query('begin');
    await other.query(text);
    const asking = ask();
    await untilWaiting(at);
    await act();
    await other.query('commit');
    return asking;
  };

  test('is one call: session, proof, audit row and the head of its lane', async () => {
    const [from, before] = [await scrape(service.metrics_url), await mints()];
    for (let n = 0; n < 20; n++) {
      service.advance(1);
      assert.equal((await holder.renew(handle, 'dev')).status, 200);
    }
    assert.deepEqual(await ways(from), { direct: 20, transaction: 0 });
    assert.equal(await mints(), before + 20);
    assert.deepEqual(await stored('select last_used from session where sid = $1'), [
      { last_used: String(service.now) },
    ]);
  });

  test('R1 of a session that ends between its reading and its commit is refused', async () => {
    const [from, before] = [await scrape(service.metrics_url), await mints()];
    const end = `update session set ended_at = ${service.now}, end_reason = 'administrator' where sid = '${sid}'`;
    const { refused } = await meanwhile(end);
    assert.equal(refused.end_reason, 'administrator');
    assert.deepEqual([await ways(from), await mints()], [{ direct: 0, transaction: 1 }, before]);
  });

  test('S17 of a session whose groups change between is decided again, on those', async () => {
    const from = await scrape(service.metrics_url);
    const { granted } = await meanwhile(`update session set groups = '["other"]' where sid = '${sid}'`);
    assert.deepEqual(granted.session.groups, ['other']);
    assert.deepEqual(await ways(from), { direct: 0, transaction: 1 });
  });

  test('L2 of a session that a signal marks between ends it', async () => {
    const mark = `update session set end_at_renewal = 'session_revoked' where sid = '${sid}'`;
    const { refused } = await meanwhile(mark);
    assert.equal(refused.end_reason, 'session_revoked');
    assert.equal((await stored('select ended_at from session where sid = $1'))[0]?.ended_at, String(service.now));
  });

  test('R6 by a key that is revoked between grants nothing, and says when to come again', async () => {
    const before = await mints();
    const revoke = `select pg_advisory_xact_lock(${LOCK.store}, 0); update signing_key set kid = 'revoked ' || kid`;
    const { status, headers } = await meanwhile(revoke);
    await other.query(`update signing_key set kid = replace(kid, 'revoked ', '')`);
    assert.deepEqual([status, headers.get('retry-after'), await mints()], [503, '1', before]);
    assert.equal((await holder.renew(handle, 'dev')).status, 200);
  });

  test('R3 with a proof that another broker has taken is refused, and is not a use of the session', async () => {
    second ??= await service.replica();
    const place = { issuer: second.issuer, url: service.url };
    const moving = new Holder(place, () => service.now);
    const proof = holder.proof();
    assert.equal((await moving.renew(handle, 'dev', {}, proof)).status, 200);
    place.url = second.url;
    // So that its connection takes the direct way as well.
    for (let n = 0; n < 3; n++) assert.equal((await moving.renew(handle, 'dev', {}, holder.proof())).status, 200);
    const [used] = await stored('select last_used from session where sid = $1');
    service.advance(1);
    const before = await mints();
    for (const url of [second.url, service.url]) {
      place.url = url;
      assert.equal((await moving.renew(handle, 'dev', {}, proof)).refused.reason, 'proof_replayed');
    }
    assert.deepEqual([await stored('select last_used from session where sid = $1'), await mints()], [[used], before]);
  });

  test('F6 whose connection is lost in its commit is not acknowledged; the next one is', async () => {
    const before = await mints();
    const { status, headers } = await meanwhile(`select from session where sid = '${sid}' for update`, {
      async act() {
        await other.query(
          `select pg_terminate_backend(pid) from pg_stat_activity where wait_event_type = 'Lock' and query like '%renew_commit%'`,
        );
      },
    });
    assert.deepEqual([status, headers.get('retry-after'), await mints()], [503, '1', before]);
    assert.equal((await holder.renew(handle, 'dev')).status, 200);
  });

  test('I2 the audit log is whole, lane by lane', async () => {
    const { lines, exit } = await verifyAuditLog(await loadConfig(service.configFile, { env: process.env }));
    assert.equal(exit, 0, lines.join('\n'));
  });

  for (const [what, ask, at] of [
    ['a renewal', () => holder.renew(handle, 'dev'), '%renew_commit%'],
    [
      'a login',
      () => service.login(service.holder(), { sub: 'late', email: 'late@example.com' }, { audience: 'dev' }),
      '%insert into audit (%',
    ],
  ] as const) {
    test(`R1 ${what} that was decided more than 2 s ago is not signed: the broker may have stood still meanwhile`, async () => {
      const begin = service.elapsed;
      service.elapsed = begin;
      const hold = 'select from audit_lane for update';
      const act = async () => {
        service.elapsed = begin + 2.5;
      };
      const { status, headers, body } = await meanwhile(hold, { ask, at, act });
      assert.deepEqual([status, headers.get('retry-after')], [503, '1'], JSON.stringify(body));
      assert.equal((await holder.renew(handle, 'dev')).status, 200);
    });
  }

  test('I2 whose lane was moved by another writes nothing there; that shows for good', async () => {
    const from = await scrape(service.metrics_url);
    assert.equal((await meanwhile('update audit_lane set hash = reverse(hash)')).status, 200);
    assert.deepEqual(await ways(from), { direct: 0, transaction: 1 });
    assert.ok(service.log.some((line) => line.includes('the audit log was changed from outside')));
    const { exit } = await verifyAuditLog(await loadConfig(service.configFile, { env: process.env }));
    assert.notEqual(exit, 0);
  });
});
