// The verification of an audit log in many chains, alone: whatever is done to any one row or chain of any log is found.

import assert from 'node:assert/strict';
import { createSecretKey, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { createSealer, genesisOf, type Link, linkOf } from '../../broker/audit_log/chain.ts';
import type { NamedHead } from '../../broker/audit_log/events.ts';
import { merged } from '../../broker/audit_log/merge.ts';
import type { Moment, Place } from '../../broker/audit_log/reader.ts';
import type { AuditRow, SealedHead } from '../../broker/audit_log/verify.ts';
import { verifyLanes } from '../../broker/audit_log/verify_lanes.ts';

const sealer = createSealer(createSecretKey(randomBytes(32)));

interface Chain {
  readonly rows: AuditRow[];
  /** After each number of rows, as they were sealed then. */
  readonly heads: readonly SealedHead[];
  head: SealedHead | undefined;
}
type Log = Map<number, Chain>;

function* chainsOf(log: Log) {
  for (const [lane, chain] of [...log].sort(([one], [other]) => one - other)) yield { lane, ...chain };
}

/** As if it were in a database. */
function momentOf(log: Log): Moment {
  const at = ({ lane, seq }: Place) => log.get(lane)?.rows.find((row) => row.seq === seq)?.hash;
  return {
    lanes: async () => [...chainsOf(log)].map(({ lane }) => lane),
    sealedHead: async (lane) => log.get(lane)?.head,
    async *rows(lane) {
      yield* [...(log.get(lane)?.rows ?? [])].sort((one, other) => one.seq - other.seq);
    },
    hashesAt: async (places) => places.map(at),
  };
}

const faultsOf = async (log: Log, anchors: readonly Link[] = []) =>
  (await verifyLanes(momentOf(log), { sealer, anchors, several: true })).faults;

class Writer {
  readonly log: Log = new Map();
  #heads = new Map<number, { rows: AuditRow[]; heads: SealedHead[] }>();
  #at = 1_800_000_000;

  write(lane: number, event: Readonly<Record<string, unknown>> & { readonly event: string }): void {
    const { rows, heads } = this.#of(lane);
    const at = this.#at++;
    const data = JSON.stringify({ at, ...event });
    const link = linkOf(rows.at(-1) ?? genesisOf(lane), data);
    rows.push({ ...link, at, event: event.event, sid: event.sid ?? null, data: Buffer.from(data) });
    heads.push({ ...link, seal: sealer.seal(link) });
    this.log.set(lane, { rows, heads, head: heads.at(-1) });
  }

  /** Where all others are. */
  anchor(lane: number): void {
    const heads = [...this.log].filter(([other]) => other !== lane);
    this.write(lane, {
      event: 'anchor',
      heads: heads.map(([other, { head }]): NamedHead => [other, head?.seq ?? 0, head?.hash ?? '']),
    });
  }

  #of(lane: number) {
    const known = this.#heads.get(lane);
    if (known) return known;
    const genesis = genesisOf(lane);
    const chain = { rows: [], heads: [{ ...genesis, seal: sealer.seal(genesis) }] };
    this.#heads.set(lane, chain);
    return chain;
  }
}

/** Of 2 to 4 chains, in any order, with anchors here and there, and two at the end. */
const LOG = fc
  .array(fc.record({ lane: fc.integer({ min: 0, max: 3 }), anchor: fc.boolean() }), { minLength: 2, maxLength: 40 })
  .map((steps) => {
    const writer = new Writer();
    for (const lane of [1, 2]) writer.write(lane, { event: 'end', sid: `first-${lane}` });
    for (const [n, { lane, anchor }] of steps.entries()) {
      if (anchor) writer.anchor(lane);
      else writer.write(lane, { event: 'mint', sid: `sid-${n}` });
    }
    for (const lane of [1, 2]) writer.anchor(lane);
    return writer.log;
  });

interface Target {
  readonly log: Log;
  readonly lane: number;
  readonly chain: Chain;
  /** One of its rows. */
  readonly n: number;
  readonly row: AuditRow;
  readonly pick: number;
}

const TARGET = fc.tuple(LOG, fc.nat(), fc.nat(), fc.nat()).map(([log, one, other, pick]): Target => {
  const lanes = [...log.keys()];
  const lane = lanes[one % lanes.length] ?? 0;
  const chain = log.get(lane) as Chain;
  const n = other % chain.rows.length;
  return { log, lane, chain, n, row: chain.rows[n] as AuditRow, pick };
});

/** What is done to it. @returns whether anything was */
const ATTACKS: Readonly<Record<string, (target: Target) => boolean>> = {
  'a byte of a row changed'({ row, pick }) {
    const data = row.data as Buffer;
    const at = pick % data.length;
    data[at] = (data[at] ?? 0) ^ 1;
    return true;
  },
  'a column of a row changed'({ chain, n, row, pick }) {
    const changes = [{ at: 1 }, { event: 'list' }, { sid: 'nobody' }, { hash: 'e'.repeat(64) }];
    chain.rows[n] = { ...row, ...changes[pick % changes.length] };
    return true;
  },
  'a row removed'({ chain, n }) {
    chain.rows.splice(n, 1);
    return true;
  },
  'a row added at the end, with the hash that it must have'({ lane, chain }) {
    const data = JSON.stringify({ at: 1, event: 'end' });
    const link = linkOf({ ...genesisOf(lane), ...chain.rows.at(-1) }, data);
    chain.rows.push({ ...link, at: 1, event: 'end', sid: null, data: Buffer.from(data) });
    return true;
  },
  'a row twice'({ chain, row }) {
    chain.rows.push({ ...row });
    return true;
  },
  'two rows of any chains exchanged'({ log, chain, n, row, pick }) {
    const others = [...log.values()].flatMap((other) => other.rows.map((_, m) => ({ other, m })));
    const { other, m } = others[pick % others.length] ?? { other: chain, m: n };
    const swapped = other.rows[m] as AuditRow;
    if (swapped === row) return false;
    chain.rows[n] = { ...swapped, seq: row.seq };
    other.rows[m] = { ...row, seq: swapped.seq };
    return true;
  },
  'the end cut off'({ chain, n }) {
    chain.rows.splice(n);
    return true;
  },
  'the end cut off, and the row before it said to be the sealed one'({ chain, n }) {
    if (n === 0) return false;
    chain.rows.splice(n);
    chain.head = { ...(chain.head as SealedHead), ...(chain.rows.at(-1) as AuditRow) };
    return true;
  },
  'a chain put back to what it was, with its head of then, by more than its last anchor'({ chain, n }) {
    // The last anchor of each of the two is younger than what the other says of it.
    const { event } = chain.rows.at(-1) as AuditRow;
    if (n === chain.rows.length - 1 && event === 'anchor') return false;
    chain.rows.splice(n);
    chain.head = chain.heads[n];
    return true;
  },
  'a chain put back, and written on'({ lane, chain, n }) {
    if (n === chain.rows.length - 1) return false;
    const before = chain.heads[n] as SealedHead;
    const count = chain.rows.length - n;
    chain.rows.splice(n);
    let link: Link = before;
    for (let left = count; left > 0; left--) {
      const data = JSON.stringify({ at: 7, event: 'end' });
      link = linkOf({ ...genesisOf(lane), seq: link.seq, hash: link.hash }, data);
      chain.rows.push({ ...link, at: 7, event: 'end', sid: null, data: Buffer.from(data) });
    }
    chain.head = { ...link, seal: sealer.seal(link) };
    return true;
  },
  'a chain removed with its head'({ log, lane }) {
    return log.delete(lane);
  },
  'the head of a chain removed'({ chain }) {
    chain.head = undefined;
    return true;
  },
  'the numbers of two chains exchanged'({ log }) {
    const [one, other] = [log.get(1) as Chain, log.get(2) as Chain];
    log.set(1, other).set(2, one);
    return true;
  },
};

test('a log that nobody touched is as it was written', async () => {
  await fc.assert(fc.asyncProperty(LOG, async (log) => assert.deepEqual(await faultsOf(log), [])));
});

for (const [what, attack] of Object.entries(ATTACKS)) {
  test(`found: ${what}`, async () => {
    await fc.assert(
      fc.asyncProperty(TARGET, async (target) => {
        fc.pre(attack(target));
        assert.notDeepEqual(await faultsOf(target.log), []);
      }),
    );
  });
}

test('all chains put back together are found by any anchor that was noted elsewhere', async () => {
  await fc.assert(
    fc.asyncProperty(LOG, async (log) => {
      const noted = [...chainsOf(log)].map(
        ({ lane, head }): Link => ({ lane, seq: head?.seq ?? 0, hash: head?.hash ?? '' }),
      );
      assert.deepEqual(await faultsOf(log, noted), []);
      for (const chain of log.values()) {
        chain.rows.splice(0);
        chain.head = chain.heads[0];
      }
      assert.deepEqual(await faultsOf(log), []);
      for (const link of noted) assert.equal((await faultsOf(log, [link])).length, 1);
    }),
  );
});

test('of a chain that is lost each is told once, with the first of what was named', async () => {
  const writer = new Writer();
  writer.write(1, { event: 'end' });
  for (let n = 0; n < 300; n++) {
    writer.write(1, { event: 'end' });
    writer.anchor(2);
  }
  const [one, other] = [writer.log.get(1) as Chain, await faultsOf(writer.log)];
  assert.deepEqual(other, []);
  one.rows.splice(5);
  one.head = one.heads[5];
  assert.deepEqual(await faultsOf(writer.log), [
    'lane 1: row 6, which row 5 of lane 2 names, is not there (the first of 296 that are named and not so): ' +
      'it was removed, or the lane taken back to an earlier state',
  ]);
  writer.log.delete(1);
  assert.deepEqual(await faultsOf(writer.log), ['lane 1: removed as a whole: row 1 of lane 2 names its row 2']);
});

test('rows of several chains come by time, and each chain in its own order', async () => {
  const ROWS = fc.array(fc.array(fc.nat(20), { maxLength: 8 }), { maxLength: 4 });
  await fc.assert(
    fc.asyncProperty(ROWS, async (times) => {
      const rows = times.map((own, lane) => own.map((at, n) => ({ lane, at, seq: n + 1 }) as unknown as AuditRow));
      const all: AuditRow[] = [];
      const read = async function* (lane: number) {
        yield* rows[lane] ?? [];
      };
      for await (const row of merged([...rows.keys()], read)) all.push(row);
      for (const [lane, own] of rows.entries())
        assert.deepEqual(
          all.filter((row) => row.lane === lane),
          own,
        );
      assert.equal(all.length, times.flat().length);
      // What a chain tells late, for its clock or its turn, does not hold up the others.
      const latest = new Map<number, number>();
      let before = 0;
      for (const { lane = 0, at } of all) {
        const own = Math.max(latest.get(lane) ?? 0, Number(at));
        latest.set(lane, own);
        assert.ok(own >= before);
        before = own;
      }
    }),
  );
});
