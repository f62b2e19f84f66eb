// The audit log in many chains, on a real PostgreSQL: what each says of the others.

import assert from 'node:assert/strict';
import { createSecretKey, randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createSealer, GENESIS, linkOf } from '../../broker/audit_log/chain.ts';
import type { AuditEntry, EndEvent, NamedHead } from '../../broker/audit_log/events.ts';
import { exportAuditLog, tailAuditLog } from '../../broker/commands/audit_commands.ts';
import { verifyAuditLog } from '../../broker/commands/audit_verify.ts';
import { parseDatabaseAddress } from '../../broker/config/database_address.ts';
import { PostgresStore } from '../../broker/postgres/store.ts';
import { startAnchors } from '../../broker/store/anchors.ts';
import { openSqlite } from '../../broker/store/sqlite.ts';
import { SqliteStore } from '../../broker/store/sqlite_store.ts';
import { seconds } from '../../shared/time.ts';
import { until } from '../support/patience.ts';
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

  test('two replicas that anchor at once, while both write: whenever it is verified, it is whole', async () => {
    const url = await server.createDatabase();
    const [one, other] = [await open(url), await open(url)];
    const busy = [one, other].map(async ({ store }, n) => {
      for (let round = 0; round < 8; round++)
        await Promise.all([writeMany(store, round * 60, 12), anchor(store, round * 60 + n)]);
    });
    let writing = true;
    const written = Promise.all(busy).finally(() => {
      writing = false;
    });
    let count = 0;
    for (; writing; count++) {
      const { lines } = await verify(url);
      assert.match(lines[0] ?? '', /^ok: /);
    }
    await written;
    assert.ok(count > 0);
    assert.ok(kindsOf(one.told).includes('anchor') && kindsOf(other.told).includes('anchor'));
    assert.match((await verify(url)).lines[0] ?? '', /^ok: /);
    await Promise.all([one.store.close(), other.store.close()]);
  });

  test('a graceful stop writes a last one; where there is one chain, or no database any more, it ends all the same', async () => {
    const faults: string[] = [];
    const log = { error: (text: unknown) => void faults.push(String(text)) };
    const now = () => seconds(T0 + 60);
    const { store, told } = await open(await server.createDatabase());
    await write(store, 1);
    await startAnchors({ store, now }, log)();
    assert.deepEqual(kindsOf(told).slice(2), ['anchor', 'lane_opened', 'anchor']);
    await store.close();
    await startAnchors({ store, now }, log)();
    assert.deepEqual(faults, ['the audit log could not be anchored: trying again']);

    const rows: AuditEntry[] = [];
    const folder = await mkdtemp(path.join(tmpdir(), 'curfew-lanes-'));
    const sqlite = await SqliteStore.open(openSqlite(path.join(folder, 'one.db')), {
      sealer: createSealer(key),
      onAudit: (entry) => void rows.push(entry),
      onBroken: () => undefined,
    });
    await sqlite.transaction((t) => t.audit(event(1)));
    await startAnchors({ store: sqlite, now }, log)();
    assert.deepEqual(kindsOf(rows), ['end']);
    assert.equal(faults.length, 1);
    await sqlite.close();
    await rm(folder, { recursive: true });
  });

  test('a chain that is moved from outside under an open connection continues where that shows, and it is reported', async () => {
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

const places = (url: string) => ({ postgres: { address: parseDatabaseAddress(url, 'url') } });
const verify = (url: string, ...anchors: readonly string[]) =>
  verifyAuditLog({ store: places(url), encryption_key: key }, anchors);

describe('verify, after somebody was there who may do anything in the database but has no key', () => {
  const WHOLE = 'whole';
  /** All of them, that which was taken over from SQLite among them. */
  let lanes: readonly number[];
  /** Where the newest anchors are. */
  let anchoring: readonly number[];
  let whole: string;
  let copies = 0;

  before(async () => {
    whole = await server.createDatabase(WHOLE);
    await (await open(whole, 1)).store.close();
    await takeOver();
    const [one, other] = [await open(whole), await open(whole)];
    await Promise.all([writeMany(one.store, 0, 20), writeMany(other.store, 0, 20)]);
    await anchor(one.store, 60);
    // What anybody may keep who can read.
    await server.query('create table kept as select * from audit_lane', WHOLE);
    await Promise.all([writeMany(one.store, 20, 20), writeMany(other.store, 20, 20)]);
    await anchor(one.store, 120);
    await Promise.all([one.store.close(), other.store.close()]);
    const told = [...one.told, ...other.told];
    lanes = [...new Set([0, ...told.map(({ lane = 0 }) => lane)])].sort((a, b) => a - b);
    anchoring = told.flatMap(({ lane = 0, event: { event: kind, at } }) =>
      kind === 'anchor' && at > T0 + 100 ? [lane] : [],
    );
    assert.ok(lanes.length >= 5);
    assert.equal(new Set(anchoring).size, 2);
  });

  /** Lane 0, as it is when a store of SQLite was copied: its hashes have no lane in them. */
  async function takeOver(): Promise<void> {
    let link = GENESIS;
    for (let n = 1; n <= 3; n++) {
      const data = JSON.stringify(event(n));
      link = linkOf(link, data);
      const row = `0, ${n}, ${T0 + n}, 'end', 'sid-${n}', '${data}', '${link.hash}'`;
      await server.query(`insert into audit values (${row})`, WHOLE);
      const head = `0, ${link.seq}, '${link.hash}', '${createSealer(key).seal(link)}'`;
      if (n === 2) await server.query(`create table taken_over as select * from (values (${head})) as head`, WHOLE);
      if (n === 3) await server.query(`insert into audit_lane values (${head})`, WHOLE);
    }
  }

  /** What is said of a copy to which this was done. */
  async function verifyAfter(statements: readonly string[], ...anchors: readonly string[]): Promise<readonly string[]> {
    const name = `copy_${++copies}`;
    await server.query(`create database ${name} template ${WHOLE}`);
    for (const statement of statements) await server.query(statement, name);
    const { lines, exit } = await verify(whole.replace(WHOLE, name), ...anchors);
    assert.equal(exit, lines[0]?.startsWith('ok: ') ? 0 : 78);
    return lines;
  }

  /** The first fault that is told. */
  const faultAfter = async (...statements: readonly string[]) => (await verifyAfter(statements))[0] ?? '';

  const ADDED = (seq: string) => `insert into audit select lane, ${seq}, at, event, sid, data,
    encode(sha256(convert_to(hash || chr(10) || lane || chr(10) || seq + 1 || chr(10) || data, 'UTF8')), 'hex') from audit`;
  const putBack = (lane: number) => [
    `delete from audit where lane = ${lane} and seq > (select seq from kept where lane = ${lane})`,
    `update audit_lane set seq = kept.seq, hash = kept.hash, seal = kept.seal from kept
      where audit_lane.lane = ${lane} and kept.lane = ${lane}`,
  ];

  test('nothing: it says the newest row of each lane, and takes them as anchors, together or one by one', async () => {
    const { lines } = await verify(whole);
    const [, rows, count, anchors = ''] = /^ok: (\d+) rows in (\d+) lanes, anchor (\S+)$/.exec(lines[0] ?? '') ?? [];
    assert.ok(Number(rows) > 80);
    assert.equal(Number(count), lanes.length);
    const each = anchors.split(',');
    assert.deepEqual(
      each.map((text) => Number(text.split(':')[0])),
      lanes,
    );
    const held = lanes.map((lane, n) => `ok: row ${each[n]?.split(':')[1]} of lane ${lane} is the one of the anchor`);
    assert.deepEqual((await verify(whole, anchors)).lines, [...lines, ...held]);
    assert.deepEqual((await verify(whole, ...each)).lines, [...lines, ...held]);
    // One that was noted while it was in SQLite.
    assert.deepEqual((await verify(whole, (each[0] ?? '').slice(2))).lines, [...lines, held[0]]);
    await assert.rejects(verify(whole, `${anchors},12`), { code: 'usage' });
  });

  test('a row changed, or a column of it', async () => {
    assert.match(
      await faultAfter(`update audit set data = replace(data, 'logout', 'policy') where lane = 2 and seq = 3`),
      /^error: lane 2: row 3 \(end, .*\) was changed, or a row before it: its hash does not follow from row 2$/,
    );
    assert.match(
      await faultAfter('update audit set at = 9223372036854775807 where lane = 2 and seq = 3'),
      /^error: lane 2: row 3 \(end, at no known time\) was changed: its column at differs/,
    );
  });

  test('a row removed; two exchanged; one moved to another lane', async () => {
    assert.match(
      await faultAfter('delete from audit where lane = 2 and seq = 3'),
      /^error: lane 2: row 3 was removed: after row 2 comes row 4/,
    );
    const exchanged = await faultAfter(
      'update audit set seq = -1 where lane = 2 and seq = 3',
      'update audit set seq = 3 where lane = 2 and seq = 4',
      'update audit set seq = 4 where lane = 2 and seq = -1',
    );
    assert.match(exchanged, /^error: lane 2: row 3 .* its hash does not follow from row 2$/);
    const moved = await faultAfter(
      'delete from audit where lane = 3 and seq = 3',
      'update audit set lane = 3 where lane = 2 and seq = 3',
    );
    assert.match(moved, /^error: lane 2: row 3 was removed/);
  });

  test('a row added: at the end with the hash that it must have, before the first, beside another of its number, in a lane of its own', async () => {
    assert.match(
      await faultAfter(`${ADDED('seq + 1')} where lane = 2 order by seq desc limit 1`),
      /^error: lane 2: row \d+ was added at the end: the seal is of row \d+$/,
    );
    assert.match(
      await faultAfter(`${ADDED('-7')} where lane = 2 order by seq limit 1`),
      /^error: lane 2: row -7 .* is before the first: it was added$/,
    );
    const twice = [2, 200].map((seq) => `${ADDED('seq')} where lane = 2 and seq <= ${seq} order by seq desc limit 1`);
    for (const again of twice)
      assert.match(
        await faultAfter('alter table audit drop constraint audit_pkey', again),
        /^error: lane 2: row \d+ .* is there twice: one of them was added$/,
      );
    assert.match(
      await faultAfter(`insert into audit select 77, seq, at, event, sid, data, hash from audit where lane = 2`),
      /^error: lane 77: row 1 /,
    );
    assert.match(
      await faultAfter(`insert into audit select 2, 9007199254740993, at, event, sid, data, hash from audit limit 1`),
      /^error: lane 2: the store cannot be read after row \d+/,
    );
  });

  test('a tail cut off, also with a head for what is left', async () => {
    const cut = 'delete from audit where lane = 2 and seq > 3';
    assert.match(await faultAfter(cut), /^error: lane 2: rows 4 to \d+ were cut off at the end/);
    const forged = `update audit_lane set (seq, hash) = (select seq, hash from audit where lane = 2 and seq = 3) where lane = 2`;
    assert.match(await faultAfter(cut, forged), /^error: lane 2: the seal of the newest row does not fit/);
  });

  test('a lane put back to an earlier state with its head of then: each, also those that the anchors are in', async () => {
    for (const lane of lanes.filter((one) => one > 0)) {
      const [fault = '', ...more] = await verifyAfter(putBack(lane));
      assert.match(
        fault,
        new RegExp(`^error: lane ${lane}: row \\d+, which row \\d+ of lane \\d+ names, is not there`),
      );
      assert.deepEqual(more, [], 'in itself it is whole');
    }
    const old = await faultAfter(
      'delete from audit where lane = 0 and seq > 2',
      'update audit_lane set (seq, hash, seal) = (select column2, column3, column4 from taken_over) where lane = 0',
    );
    assert.match(old, /^error: lane 0: row 3, which row \d+ of lane \d+ names, is not there/);
  });

  test('a whole lane removed, rows and head: each', async () => {
    for (const lane of lanes) {
      const lines = await verifyAfter([
        `delete from audit where lane = ${lane}`,
        `delete from audit_lane where lane = ${lane}`,
      ]);
      assert.equal(lines.length, 1);
      assert.match(lines[0] ?? '', new RegExp(`^error: lane ${lane}: removed as a whole: row \\d+ of lane \\d+ names`));
    }
    assert.match(await faultAfter('delete from audit', 'delete from audit_lane'), /^error: there is no lane/);
  });

  test('two lanes exchanged; a seal removed, or replaced by one of another lane', async () => {
    const exchanged = ['audit', 'audit_lane'].flatMap((table) =>
      [
        [2, -1],
        [3, 2],
        [-1, 3],
      ].map(([from, to]) => `update ${table} set lane = ${to} where lane = ${from}`),
    );
    assert.match(
      await faultAfter(...exchanged),
      /^error: lane 2: row 1 .* its hash does not follow from the beginning/,
    );
    assert.match(await faultAfter('delete from audit_lane where lane = 2'), /^error: lane 2: the seal .* is missing/);
    assert.match(
      await faultAfter(
        'update audit_lane set seal = other.seal from audit_lane other where audit_lane.lane = 2 and other.lane = 3',
      ),
      /^error: lane 2: the seal of the newest row does not fit/,
    );
  });

  test('all lanes put back together: by an anchor that was noted elsewhere, of any lane that has moved', async () => {
    const [line = ''] = (await verify(whole)).lines;
    const anchors = (/anchor (\S+)$/.exec(line)?.[1] ?? '').split(',').slice(1);
    const all = lanes.filter((lane) => lane > 0).flatMap(putBack);
    assert.match((await verifyAfter(all))[0] ?? '', /^ok: /);
    for (const text of [anchors[0], anchors.at(-1)]) {
      const [lane, seq] = (text ?? '').split(':');
      assert.deepEqual(await verifyAfter(all, text ?? ''), [
        `error: lane ${lane}: row ${seq}, which the anchor names, is not there: the audit log was cut off, or taken back to an earlier state`,
      ]);
    }
    const foreign = `99:1:${'a'.repeat(64)}`;
    assert.deepEqual((await verify(whole, foreign)).lines, [
      'error: lane 99, of which the anchor names row 1, is not there',
    ]);
  });

  test('all lanes of one replica and some of another put back together, while one stays that an anchor is in', async () => {
    const name = 'together';
    const url = await server.createDatabase(name);
    const replicas = [await open(url), await open(url)];
    const minute = async (n: number) => {
      for (const { store } of replicas) await writeMany(store, n * 60, 6);
      for (const { store } of replicas) await anchor(store, n * 60);
    };
    await minute(1);
    await server.query('create table kept as select * from audit_lane', name);
    for (let n = 2; n < 5; n++) await minute(n);
    await Promise.all(replicas.map(({ store }) => store.close()));
    const [own, others] = replicas.map(({ told }) => [...new Set(told.map(({ lane = 0 }) => lane))]);
    assert.ok(own && others && own.length > 1 && others.length > 1);
    assert.match((await verify(url)).lines[0] ?? '', /^ok: /);
    const told = replicas.flatMap((replica) => replica.told);
    const last = told.findLast(({ event: row }) => row.event === 'anchor')?.lane ?? 0;
    for (const lane of [...own, ...others].filter((one) => one !== last).concat(last)) {
      for (const statement of putBack(lane)) await server.query(statement, name);
      const [line = ''] = (await verify(url)).lines;
      if (lane !== last) assert.match(line, /which row \d+ of lane \d+ names, is not there/);
      // No database can tell of what is in none of its rows.
      else assert.match(line, /^ok: /);
    }
  });

  test('what was changed while it was anchored shows also where it was put right again', async () => {
    const name = 'restored';
    const { store, broken } = await open(await server.createDatabase(name));
    await writeMany(store, 0, 10);
    await anchor(store, 60);
    await server.query('create table kept as select * from audit_lane', name);
    await store.close();
    const again = await open(whole.replace(WHOLE, name), 2);
    await server.query(`update audit_lane set hash = '${'a'.repeat(64)}' where lane = 3`, name);
    await write(again.store, 20);
    await anchor(again.store, 120);
    await server.query(
      'update audit_lane set hash = kept.hash from kept where kept.lane = 3 and audit_lane.lane = 3',
      name,
    );
    const { lines } = await verify(whole.replace(WHOLE, name));
    assert.match(lines[0] ?? '', /^error: lane 3: row \d+ is not the one that row \d+ of lane \d+ names/);
    assert.equal(broken() + again.broken(), 0);
    await again.store.close();
  });
});

interface Line {
  readonly lane: number;
  readonly seq: number;
  readonly hash: string;
  readonly at: number;
  readonly event: string;
}

const lineOf = (text: string) => JSON.parse(text) as Line;
const placeOf = ({ lane, seq, hash }: Pick<AuditEntry, 'lane' | 'seq' | 'hash'>) => `${lane}:${seq}:${hash}`;

async function exported(url: string, since?: string): Promise<readonly Line[]> {
  const lines: Line[] = [];
  const print = async (text: string) => lines.push(lineOf(text)) > 0;
  await exportAuditLog({ store: places(url) }, { since, now: seconds(T0 + 1_000) }, print);
  return lines;
}

function assertInOrder(lines: readonly Line[]): void {
  for (const lane of new Set(lines.map((line) => line.lane)))
    assert.deepEqual(
      lines.filter((line) => line.lane === lane).map(({ seq }) => seq),
      lines
        .filter((line) => line.lane === lane)
        .map(({ seq }) => seq)
        .sort((a, b) => a - b),
    );
}

describe('tail and export', () => {
  test('tail --follow prints each row of two replicas once, also of lanes that come later and after a lost connection, whatever their clocks say', async () => {
    const url = await server.createDatabase();
    const [one, behind] = [await open(url), await open(url)];
    await Promise.all([writeMany(one.store, 500, 30), writeMany(behind.store, 0, 30)]);
    const before = [...one.told, ...behind.told];
    const lines: Line[] = [];
    let more = true;
    const tail = tailAuditLog({ store: places(url) }, { follow: true }, async (text) => {
      lines.push(lineOf(text));
      return more;
    });
    await until(() => lines.length >= 20, 'it does not begin');
    assert.deepEqual(lines.slice(0, 20).map(placeOf), (await exported(url)).slice(-20).map(placeOf));
    const cut = `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'curfew-broker audit'`;
    assert.equal((await server.query(cut)).length, 1);
    const later = await open(url);
    await Promise.all([one, behind, later].map(({ store }, n) => writeMany(store, 500 - 200 * n, 40)));
    const told = [...one.told, ...behind.told, ...later.told];
    await until(() => lines.length >= 20 + told.length - before.length, 'rows are missing');
    assert.ok(new Set(later.told.map(({ lane }) => lane)).size > 0);
    const old = new Set(before.map(placeOf));
    assert.deepEqual(
      lines.slice(20).map(placeOf).sort(),
      told
        .map(placeOf)
        .filter((place) => !old.has(place))
        .sort(),
    );
    assertInOrder(lines);
    more = false;
    await write(one.store, 600);
    await tail;
    await Promise.all([one, behind, later].map(({ store }) => store.close()));
  });

  test('export has all rows: by time, where two clocks differ, and those of a lane in its own order, where its clock went back', async () => {
    const name = 'exported';
    const url = await server.createDatabase(name);
    const [ahead, behind] = [await open(url, 1), await open(url, 1)];
    for (let n = 0; n < 450; n++) {
      await write(ahead.store, 30 + n);
      await write(behind.store, n);
    }
    await write(ahead.store, 100);
    const lines = await exported(url);
    assert.deepEqual(lines.map(placeOf).sort(), [...ahead.told, ...behind.told].map(placeOf).sort());
    assertInOrder(lines);
    const last = lines.at(-1);
    assert.equal(last?.at, T0 + 100, 'told late, behind what its lane had told before');
    const times = lines.slice(0, -1).map(({ at }) => at);
    assert.deepEqual(
      times,
      [...times].sort((a, b) => a - b),
    );
    const since = new Date((T0 + 90) * 1_000).toISOString();
    assert.deepEqual((await exported(url, since)).map(placeOf), lines.filter(({ at }) => at >= T0 + 90).map(placeOf));
    assert.equal((await exported(url, '2099-01-01T00:00:00Z')).length, 0);
    await Promise.all([ahead.store.close(), behind.store.close()]);
    assert.match((await verify(url)).lines[0] ?? '', /^ok: 903 rows in 2 lanes, anchor 1:452:[0-9a-f]{64},2:451:/);

    // Wherever it is read on.
    await server.query('alter table audit drop constraint audit_pkey', name);
    await server.query(
      'insert into audit select lane, seq, at, event, sid, data, hash from audit where lane = 1 and seq > 50',
      name,
    );
    const { lines: faults } = await verify(url);
    assert.match(faults.at(-1) ?? '', /^error: and 302 more$/);
    assert.match(faults[0] ?? '', /^error: lane 1: row 51 .* is there twice/);
  });

  test('a database that is not a store, or out of reach, is named; nothing is written to it', async () => {
    const name = 'empty';
    const url = await server.createDatabase(name);
    await assert.rejects(verify(url), {
      code: 'configuration',
      message: /^store\.postgres: the database is not a store/,
    });
    assert.deepEqual(await server.query(`select 1 from pg_tables where schemaname = 'public'`, name), []);
    await assert.rejects(verify(url.replace(name, 'nowhere')), { code: 'store', message: /there is no such database/ });
  });

  test('who reads needs nothing but the right to, and the broker nothing but a database of its own', async () => {
    const name = 'readable';
    const url = await server.createDatabase(name);
    for (const role of ['broker', 'reader']) await server.query(`create role ${role} login`, name);
    await server.query(`alter database ${name} owner to broker`, name);
    const as = (role: string) => url.replace('postgres@', `${role}@`);
    const { store } = await open(as('broker'));
    await writeMany(store, 0, 10);
    await anchor(store, 60);
    await assert.rejects(verify(as('reader')), { code: 'store', message: /user may not do that/ });
    await server.query('grant select on all tables in schema public to reader', name);
    assert.match((await verify(as('reader'))).lines[0] ?? '', /^ok: /);
    assert.ok((await exported(as('reader'))).length > 10);
    await store.close();
  });
});
