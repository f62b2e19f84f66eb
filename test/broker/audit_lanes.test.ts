// The audit log in many chains, on a real PostgreSQL: what each says of the others.

import assert from 'node:assert/strict';
import { createSecretKey, randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { createSealer } from '../../broker/audit_log/chain.ts';
import type { AuditEntry, EndEvent, NamedHead } from '../../broker/audit_log/events.ts';
import { parseDatabaseAddress } from '../../broker/postgres/address.ts';
import { PostgresStore } from '../../broker/postgres/store.ts';
import { seconds } from '../../shared/time.ts';
import { type Postgres, startPostgres } from '../support/postgres.ts';
import { insist } from '../support/stores.ts';

const key = createSecretKey(randomBytes(32));
const T0 = 1_800_000_000;

let server: Postgres;
before(async () => {
  server = await startPostgres();
});
after(() => server?.stop());

const event = (n: number): EndEvent => {
  const at = seconds(T0 + n);
  return { event: 'end', at, sid: `sid-${n}`, reason: 'logout', ended_at: at };
};

interface Opened {
  readonly store: PostgresStore;
  /** What was committed, in order. */
  readonly told: AuditEntry[];
  readonly broken: () => number;
}

async function open(url: string, connections = 3): Promise<Opened> {
  const told: AuditEntry[] = [];
  let broken = 0;
  const store = await PostgresStore.open(
    { address: parseDatabaseAddress(url, 'url'), application: 'curfew-test', connections },
    { sealer: createSealer(key), onAudit: (entry) => void told.push(entry), onBroken: () => void broken++ },
  );
  return { store, told, broken: () => broken };
}

const write = (store: PostgresStore, n: number) => insist(() => store.transaction((t) => t.audit(event(n))));
/** One after the other, by as many connections as there are rows. */
const writeMany = (store: PostgresStore, from: number, count: number) =>
  Promise.all(Array.from({ length: count }, (_, n) => write(store, from + n)));
const anchor = (store: PostgresStore, n: number) => insist(() => store.anchor(seconds(T0 + n)));

const headsOf = ({ event: row }: AuditEntry): readonly NamedHead[] => ('heads' in row ? row.heads : []);
const kindsOf = (told: readonly AuditEntry[]) => told.map(({ event: { event: kind } }) => kind);

describe('anchors', () => {
  test('a connection says in its first row where the other chains are, and each minute two say what has moved', async () => {
    const { store, told } = await open(await server.createDatabase());
    await write(store, 1);
    assert.deepEqual(kindsOf(told), ['lane_opened', 'end']);
    assert.deepEqual(headsOf(told[0] as AuditEntry), []);
    told.length = 0;

    await anchor(store, 60);
    // The first says where the other is that has no row yet: nothing to be lost there, but it is to stay.
    assert.deepEqual(kindsOf(told), ['anchor', 'lane_opened', 'anchor']);
    const [first, opened, second] = told as [AuditEntry, AuditEntry, AuditEntry];
    assert.notEqual(first.lane, second.lane);
    assert.deepEqual(headsOf(first), [[second.lane, 0, '0'.repeat(64)]]);
    assert.deepEqual(headsOf(opened), [[first.lane, first.seq, first.hash]]);
    assert.deepEqual(headsOf(second), [[first.lane, first.seq, first.hash]]);
    told.length = 0;

    await anchor(store, 120);
    assert.equal(told.length, 0, 'nothing has happened but anchors');
    await write(store, 121);
    const row = told.at(-1);
    await anchor(store, 180);
    const named = told.flatMap(headsOf).filter(([lane]) => lane === row?.lane);
    assert.ok(named.some(([, seq]) => seq >= (row?.seq ?? 0)));
    await store.close();
  });

  test('all chains are named, by turns in all: also those of another replica, which anchors beside it without an end', async () => {
    const url = await server.createDatabase();
    const [one, other] = [await open(url), await open(url)];
    await Promise.all([writeMany(one.store, 0, 20), writeMany(other.store, 0, 20)]);
    await anchor(one.store, 60);
    const lanes = new Set([...one.told, ...other.told].map(({ lane }) => lane));
    const anchors = one.told.filter(({ event: row }) => row.event === 'anchor');
    const named = new Set(anchors.flatMap(headsOf).map(([lane]) => lane));
    assert.ok(lanes.size >= 4 && [...lanes].every((lane) => named.has(lane ?? 0)));
    await anchor(other.store, 60);
    const count = one.told.length + other.told.length;
    for (let minute = 2; minute < 5; minute++) for (const { store } of [one, other]) await anchor(store, minute * 60);
    assert.equal(one.told.length + other.told.length, count);
    for (let minute = 5; minute < 9; minute++) {
      await write(one.store, minute * 60);
      await anchor(one.store, minute * 60);
    }
    const holders = one.told.filter(({ event: row }) => row.event === 'anchor').map(({ lane }) => lane);
    assert.ok(new Set(holders).size >= 3);
    await Promise.all([one.store.close(), other.store.close()]);
  });

  test('a chain that is moved from outside under a living connection goes on where that shows, and is told of', async () => {
    const name = 'moved';
    const { store, told, broken } = await open(await server.createDatabase(name), 1);
    for (let n = 0; n < 3; n++) await write(store, n);
    await server.query('create table kept as select * from audit_lane', name);
    for (let n = 3; n < 6; n++) await write(store, n);
    await server.query('delete from audit where seq > (select seq from kept)', name);
    await server.query('update audit_lane set seq = kept.seq, hash = kept.hash, seal = kept.seal from kept', name);
    for (let n = 6; n < 8; n++) await write(store, n);
    assert.equal(broken(), 1);
    assert.deepEqual(
      told.map(({ seq }) => seq),
      [1, 2, 3, 4, 5, 6, 7, 8, 9],
    );
    await server.query('delete from audit_lane', name);
    await write(store, 8);
    assert.deepEqual([broken(), told.at(-1)?.seq], [2, 10]);
    await store.close();
  });
});
