// The store in a real PostgreSQL: chains of several connections, transactions side by side, a server that is killed.

import assert from 'node:assert/strict';
import { createSecretKey, randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { createSealer, genesisOf, linkOf } from '../../broker/audit_log/chain.ts';
import type { AuditEntry, EndEvent } from '../../broker/audit_log/events.ts';
import { verifyAuditLog } from '../../broker/commands/audit_verify.ts';
import { leavesMachine, parseDatabaseAddress } from '../../broker/config/database_address.ts';
import { PostgresStore } from '../../broker/postgres/store.ts';
import { CurfewError } from '../../shared/errors.ts';
import { seconds } from '../../shared/time.ts';
import { until } from '../support/patience.ts';
import { type Postgres, startPostgres } from '../support/postgres.ts';
import { insist } from '../support/stores.ts';

const key = createSecretKey(randomBytes(32));
const sealer = createSealer(key);
const event = (n: number): EndEvent => ({
  event: 'end',
  at: seconds(1_800_000_000 + n),
  sid: `sid-${n}`,
  reason: 'logout',
  ended_at: seconds(1_800_000_000 + n),
});

let server: Postgres;
before(async () => {
  server = await startPostgres();
});
after(() => server?.stop());

async function openOn(url: string, told: AuditEntry[] = [], broken: () => void = () => assert.fail('broken')) {
  const database = {
    address: parseDatabaseAddress(url, 'url'),
    application: 'curfew-test',
    connections: 4,
  };
  return PostgresStore.open(database, { sealer, onAudit: (entry) => void told.push(entry), onBroken: broken });
}

/** Each row follows the one before it, and the sealed head is the last. @returns how many rows there are, but those that open a lane */
async function wholeChains(store: PostgresStore): Promise<number> {
  const rows = await store.read((db) => db.selectFrom('audit').selectAll().orderBy('lane').orderBy('seq').execute());
  const heads = await store.read((db) => db.selectFrom('audit_lane').selectAll().execute());
  for (const { lane, seq, hash, seal } of heads) {
    let link = genesisOf(lane);
    for (const row of rows.filter((one) => one.lane === lane)) {
      link = linkOf(link, row.data);
      assert.deepEqual([row.seq, row.hash], [link.seq, link.hash]);
    }
    assert.deepEqual([seq, hash], [link.seq, link.hash]);
    assert.ok(sealer.isSealed({ lane, seq, hash }, seal));
  }
  return rows.filter((row) => row.event !== 'lane_opened').length;
}

describe('the store in PostgreSQL', () => {
  it('keeps a chain for each connection, whole beside one another; two processes take different ones', async () => {
    const url = await server.createDatabase();
    const told: AuditEntry[] = [];
    const [one, other] = [await openOn(url, told), await openOn(url, told)];
    const write = (store: PostgresStore, n: number) => store.transaction((t) => t.audit(event(n)));
    await Promise.all(Array.from({ length: 100 }, (_, n) => insist(() => write(n % 2 ? one : other, n))));
    assert.equal(await wholeChains(one), 100);
    assert.equal(told.filter((entry) => entry.event.event === 'end').length, 100);
    assert.ok(new Set(told.map(({ lane }) => lane)).size >= 4);
    await Promise.all([one.close(), other.close()]);
    const next = await openOn(url);
    await write(next, 100);
    const lanes = await next.read((db) => db.selectFrom('audit_lane').select('lane').execute());
    assert.ok(lanes.length <= 8, `${lanes.length} lanes`);
    assert.equal(await wholeChains(next), 101);
    await next.close();
  });

  it('undoes what throws, with its rows', async () => {
    const store = await openOn(await server.createDatabase());
    const fails = store.transaction(async (t) => {
      await t.audit(event(1));
      throw new CurfewError('busy', 'no');
    });
    await assert.rejects(fails, { code: 'busy' });
    assert.equal(await wholeChains(store), 0);
    await store.close();
  });

  it('tells of a chain that was changed from outside, and does not seal over it', async () => {
    const name = 'tampered';
    const url = await server.createDatabase(name);
    const first = await openOn(url);
    for (let n = 0; n < 3; n++) await first.transaction((t) => t.audit(event(n)));
    await first.close();
    await server.query(
      `insert into audit select lane, seq + 1, at, event, sid, data, hash from audit where seq = 4`,
      name,
    );
    let broken = 0;
    const told: AuditEntry[] = [];
    const again = await openOn(url, told, () => void broken++);
    for (let n = 3; n < 5; n++) await again.transaction((t) => t.audit(event(n)));
    assert.equal(broken, 1);
    assert.deepEqual(
      told.map(({ seq }) => seq),
      [6, 7, 8],
    );
    await assert.rejects(wholeChains(again), assert.AssertionError);
    await again.close();
  });

  it('holds what it reads: of many that read and then write, each sees the one before', async () => {
    const store = await openOn(await server.createDatabase());
    const key = 'person:x';
    await store.transaction(({ db }) =>
      db
        .insertInto('failed_login')
        .values({ key, count: 0, first_at: seconds(0), last_at: seconds(0), blocked_until: seconds(0) })
        .execute(),
    );
    const oneMore = () =>
      store.transaction(async ({ db }) => {
        const { count } = await db
          .selectFrom('failed_login')
          .select('count')
          .where('key', '=', key)
          .executeTakeFirstOrThrow();
        await db
          .updateTable('failed_login')
          .set({ count: count + 1 })
          .where('key', '=', key)
          .execute();
      });
    await Promise.all(Array.from({ length: 100 }, () => insist(oneMore)));
    const { count } = await store.read((db) =>
      db.selectFrom('failed_login').select('count').where('key', '=', key).executeTakeFirstOrThrow(),
    );
    assert.equal(count, 100);
    await store.close();
  });

  it('holds names of which there is no row: one at a time', async () => {
    const store = await openOn(await server.createDatabase());
    let [inside, most] = [0, 0];
    const work = () =>
      store.transaction(async ({ hold, db }) => {
        await hold(['person:b', 'person:a']);
        most = Math.max(most, ++inside);
        await db.selectFrom('store_state').select('epoch').execute();
        inside -= 1;
      });
    await Promise.all(Array.from({ length: 40 }, () => insist(work)));
    assert.equal(most, 1);
    await store.close();
  });

  it('says so when the server is killed, loses nothing that it acknowledged, and works again by itself', async () => {
    const url = await server.createDatabase();
    const store = await openOn(url);
    let acknowledged = 0;
    const writing = Array.from({ length: 300 }, (_, n) =>
      store
        .transaction((t) => t.audit(event(n)))
        .then(
          () => void acknowledged++,
          (error: unknown) => assert.ok(error instanceof CurfewError && error.code === 'store', String(error)),
        ),
    );
    await until(() => acknowledged > 20, 'nothing is acknowledged');
    const anchoring = store.anchor(seconds(1_800_000_060)).catch(() => undefined);
    await server.end('SIGKILL');
    await Promise.all([...writing, anchoring]);
    await server.start();
    const works = () =>
      store
        .transaction((t) => t.audit(event(1_000)))
        .then(
          () => true,
          () => false,
        );
    await until(works, 'it does not work again');
    const rows = await wholeChains(store);
    assert.ok(rows > acknowledged, `${rows} rows, ${acknowledged} acknowledged`);
    await insist(() => store.anchor(seconds(1_800_000_120)));
    const postgres = { address: parseDatabaseAddress(url, 'url') };
    const { lines } = await verifyAuditLog({ store: { postgres }, encryption_key: key });
    assert.match(lines[0] ?? '', /^ok: /);
    await store.close();
  });

  it('takes no address that means something else than it says', () => {
    const parse = (text: string) => parseDatabaseAddress(text, 'DATABASE_URL');
    assert.deepEqual(parse('postgres://u:p%40s@a:1,[::1]:2,b/db').hosts, [
      { host: 'a', port: 1 },
      { host: '::1', port: 2 },
      { host: 'b', port: 5432 },
    ]);
    assert.equal(parse('postgres://u:p%40s@a/db').password?.export().toString(), 'p@s');
    assert.deepEqual(parse('postgresql://u@/db?host=/run/pg').hosts, [{ host: '/run/pg', port: 5432 }]);
    for (const text of ['', 'postgres://a/db', 'postgres://u@a', 'postgres://u@a/db?sslmode=disable', 'http://u@a/db'])
      assert.throws(() => parse(text), { code: 'configuration' }, text);
    assert.throws(
      () => parse('postgres://u:secret@a/db?target_session_attrs=read-write'),
      (error: Error) => {
        return /target_session_attrs/.test(error.message) && !error.message.includes('secret');
      },
    );
    const leaves = ['127.0.0.1', '::1', 'localhost', '/run', 'db.example.com', '10.0.0.1'].map((host) =>
      leavesMachine({ host, port: 1 }),
    );
    assert.deepEqual(leaves, [false, false, false, false, true, true]);
  });
});
