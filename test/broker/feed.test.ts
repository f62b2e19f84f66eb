// The feed of changes, in both databases: numbers without gaps, whatever runs side by side; a reader that misses nothing.

import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import type { Change } from '../../broker/store/changes.ts';
import { forgetChanges } from '../../broker/store/feed.ts';
import type { Store } from '../../broker/store/store.ts';
import { CurfewError } from '../../shared/errors.ts';
import { seconds } from '../../shared/time.ts';
import { until } from '../support/patience.ts';
import { openStoreDatabase } from '../support/store_database.ts';
import { DATABASES, insist, type Stores, startStores } from '../support/stores.ts';

const T0 = seconds(1_800_000_000);
const end = (sid: string, at = T0): Change => ({ kind: 'end', at, sid, reason: 'logout', since: at });
const publish = (store: Store, ...changes: Change[]) =>
  store.transaction(async (transaction) => {
    for (const change of changes) transaction.publish(change);
  });

for (const database of DATABASES) {
  describe(`the feed in ${database}`, () => {
    let stores: Stores;
    before(async () => {
      stores = await startStores(database);
    });
    after(() => stores?.stop());
    beforeEach(() => stores.renew());

    test('numbers have no gaps under 12 transactions at a time over two stores, 1 in 20 undone; a reader beside them misses nothing', async () => {
      const [one, other, reading] = [await stores.open(), await stores.open(), await stores.open()];
      const acknowledged: string[] = [];
      let repeated = 0;
      const write = async (n: number) => {
        const sids = n % 7 === 0 ? [`${n}-a`, `${n}-b`, `${n}-c`] : [`${n}`];
        const work = (n % 2 ? one : other).transaction(async (transaction) => {
          const { db, publish, audit } = transaction;
          for (const sid of sids) publish(end(sid));
          await db.selectFrom('store_state').select('epoch').where('id', '=', 1).execute();
          await audit({ event: 'end', at: T0, sid: `${n}`, reason: 'logout', ended_at: T0 });
          if (n % 20 === 0) throw new CurfewError('busy', 'undone');
        });
        await work.then(
          () => void acknowledged.push(...sids),
          (error: unknown) => {
            if (error instanceof CurfewError && error.message === 'undone') return;
            // Whether it was committed is not always known: then it may be there twice.
            repeated += sids.length;
            throw error;
          },
        );
      };
      const seen: string[] = [];
      let place = 0;
      let writing = true;
      const read = async () => {
        const { entries } = await reading.feed.after(place, 10);
        for (const { seq, change } of entries) {
          assert.equal(seq, place + 1);
          place = seq;
          seen.push(change?.kind === 'end' ? change.sid : '');
        }
        return entries.length;
      };
      const reader = (async () => {
        // SQLite answers without waiting for anything: others need their turn.
        while ((await read()) > 0 || writing) await new Promise((resolve) => setImmediate(resolve));
      })();
      let next = 0;
      const writer = async () => {
        for (let n = next++; n < 240; n = next++) await insist(() => write(n));
      };
      await Promise.all(Array.from({ length: 12 }, writer));
      writing = false;
      await reader;
      assert.equal(acknowledged.length, 228 + 2 * (35 - 2));
      assert.deepEqual([...new Set(seen)].sort(), [...acknowledged].sort());
      assert.ok(seen.length <= acknowledged.length + repeated);
      const { head } = await reading.feed.after(place, 0);
      assert.equal(head, seen.length);
    });

    test('what is published comes out as it was, those of one transaction in order', async () => {
      const store = await stores.open();
      const changes: readonly Change[] = [
        { kind: 'end', at: T0, sid: 'a', reason: 'replaced', since: seconds(T0 - 5), replaced_by: 'b' },
        { kind: 'policy', at: T0, digest: 'ab'.repeat(32) },
        { kind: 'keys', at: T0 },
        { kind: 'all_over', at: T0 },
      ];
      await publish(store, ...changes);
      const { head, forgotten, entries, at_place } = await store.feed.after(0, 10);
      assert.deepEqual({ head, forgotten, at_place }, { head: 4, forgotten: 0, at_place: undefined });
      assert.deepEqual(
        entries.map(({ seq, change }) => ({ seq, change })),
        changes.map((change, i) => ({ seq: i + 1, change })),
      );
      const [, , third, fourth] = entries;
      assert.notEqual(third?.text, fourth?.text);
      const page = { head: 4, forgotten: 0, at_place: third?.text };
      assert.deepEqual(await store.feed.after(3, 1), { ...page, entries: [fourth] });
      assert.deepEqual(await store.feed.after(3, 0), { ...page, entries: [] });
    });

    test('a kind of a later version is passed over; what no version has written is a fault', async () => {
      const store = await stores.open();
      await publish(store, end('a'), end('b'));
      const rewrite = (row: { kind?: string; data?: string }) =>
        store.transaction(
          async ({ db }) => void (await db.updateTable('feed').set(row).where('seq', '=', 1).execute()),
        );
      await rewrite({ kind: 'of-tomorrow' });
      const { entries } = await store.feed.after(0, 10);
      assert.deepEqual([entries[0]?.seq, entries[0]?.change], [1, undefined]);
      await rewrite({ kind: 'end', data: '{"reason":1}' });
      await assert.rejects(store.feed.after(0, 10), { code: 'store' });
    });

    test('the oldest changes are forgotten without a gap, though clocks disagree, and the head says up to where', async () => {
      const store = await stores.open();
      const at = [100, 103, 101, 200, 99, 210].map((s) => seconds(T0 + s));
      for (const [i, instant] of at.entries()) await publish(store, end(`${i}`, instant));
      const forget = (s: number) => store.transaction(({ db }) => forgetChanges(db, seconds(T0 + s)));
      assert.equal(await forget(150), false);
      const { forgotten, entries } = await store.feed.after(0, 10);
      assert.deepEqual([forgotten, entries.map(({ seq }) => seq)], [3, [4, 5, 6]]);
      assert.equal(await forget(150), false);
      await forget(1_000);
      const none = { head: 6, forgotten: 6, at_place: undefined, entries: [] };
      assert.deepEqual(await store.feed.after(6, 10), none);
      await publish(store, end('more'));
      const last = await store.feed.after(6, 10);
      assert.deepEqual([last.head, last.entries[0]?.seq], [7, 7]);
    });

    test('many are forgotten in several transactions', async () => {
      const store = await stores.open();
      await publish(store, ...Array.from({ length: 1_500 }, (_, n) => end(`${n}`)));
      const forget = () => store.transaction(({ db }) => forgetChanges(db, seconds(T0 + 1)));
      assert.deepEqual([await forget(), await forget(), await forget()], [true, false, false]);
      assert.equal((await store.feed.after(0, 1)).forgotten, 1_500);
    });

    test('who listens is woken by a commit, also by one of another store in PostgreSQL; not by one that is undone', async () => {
      const [store, other] = [await stores.open(), await stores.open()];
      const listening = database === 'postgres' ? other : store;
      let woken = 0;
      const stop = listening.feed.onWake(() => void woken++);
      await listening.feed.after(0, 0);
      await assert.rejects(
        store.transaction(async (transaction) => {
          transaction.publish(end('undone'));
          throw new CurfewError('busy', 'undone');
        }),
      );
      await store.transaction((transaction) =>
        transaction.audit({ event: 'end', at: T0, sid: 'x', reason: 'logout', ended_at: T0 }),
      );
      await publish(store, end('a'), end('b'));
      await until(() => woken > 0, 'nobody was woken');
      assert.equal(woken, 1);
      stop();
    });
  });
}

describe('the feed in postgres, while the server is away', () => {
  let stores: Stores;
  before(async () => {
    stores = await startStores('postgres');
  });
  after(() => stores?.stop());

  test('a killed server is an error at once, and after its restart the next question is answered, and wakes again', async () => {
    const store = await stores.open();
    let woken = 0;
    store.feed.onWake(() => void woken++);
    await publish(store, end('before'));
    assert.equal((await store.feed.after(0, 10)).head, 1);
    await stores.server?.end('SIGKILL');
    await assert.rejects(store.feed.after(1, 10), { code: 'store' });
    await assert.rejects(store.feed.after(1, 10), { code: 'store' });
    await stores.server?.start();
    const answered = () =>
      store.feed.after(0, 10).then(
        ({ head }) => head >= 1,
        () => false,
      );
    await until(answered, 'the feed does not answer again');
    const before = woken;
    await insist(() => publish(store, end('after')));
    await until(() => woken > before, 'nobody was woken after the restart');
  });

  test('a listening connection whose other end stands still is given up, and another one asked (R2)', async () => {
    const store = await stores.open();
    await store.feed.after(0, 0);
    const found = (await stores.server?.query(
      `select pid from pg_stat_activity where query like '%left join feed on%' and pid <> pg_backend_pid()`,
    )) as { pid: number }[];
    assert.ok(found.length > 0);
    for (const { pid } of found) process.kill(pid, 'SIGSTOP');
    try {
      await insist(() => publish(store, end('meanwhile')));
      await assert.rejects(store.feed.after(0, 10), { code: 'store' });
      const { entries } = await store.feed.after(0, 10);
      assert.ok(entries.some(({ change }) => change?.kind === 'end' && change.sid === 'meanwhile'));
    } finally {
      for (const { pid } of found) process.kill(pid, 'SIGCONT');
    }
  });

  test('the feed of an old primary is not read (R4)', async () => {
    const store = await stores.open();
    await store.feed.after(0, 0);
    using database = openStoreDatabase(stores.place);
    // As if another had been promoted since.
    database.exec('update store_state set timeline = timeline + 1');
    database.exec(`select pg_terminate_backend(pid) from pg_stat_activity where query like '%left join feed on%'
      and pid <> pg_backend_pid()`);
    await until(
      () =>
        store.feed.after(0, 10).then(
          () => false,
          (error: unknown) => String(error).includes('is an old primary'),
        ),
      'it is read',
    );
    database.exec('update store_state set timeline = timeline - 1');
    assert.ok(await store.feed.after(0, 10));
  });
});
