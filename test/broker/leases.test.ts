// Leases, in both databases: one holder at a time; taken over when the holder is gone; and who comes back is found out.

import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { takeTurns } from '../../broker/leases/turn.ts';
import { type Lease, requireLease } from '../../broker/store/lease.ts';
import type { Store } from '../../broker/store/store.ts';
import { CurfewError } from '../../shared/errors.ts';
import { seconds } from '../../shared/time.ts';
import { until } from '../support/patience.ts';
import { DATABASES, type Stores, startStores } from '../support/stores.ts';

const stopwatch = () => performance.now() / 1_000;
const log = { info: () => undefined, warn: () => undefined };

/** As a service uses it. */
async function serve(store: Store): Promise<void> {
  const standing = await store.standing();
  const clock = { observe: () => undefined, newest: () => undefined };
  const guard = { fault: undefined, check: () => undefined, committed: () => undefined, undone: () => undefined };
  store.serve({ clock, guard, onEpoch: async () => undefined }, standing);
}

for (const database of DATABASES) {
  describe(`a lease in ${database}`, () => {
    let stores: Stores;
    before(async () => {
      stores = await startStores(database);
    });
    after(() => stores?.stop());
    beforeEach(() => stores.renew());

    /** Takes over from a holder that is gone: after its time by the database's clock; in a file, as the next broker that serves it. */
    const takeOver = async (name: string, length: number): Promise<Lease> => {
      const next = await stores.open();
      await serve(next);
      let lease: Lease | undefined;
      await until(async () => {
        lease = await next.lease(name, length);
        return lease !== undefined;
      }, 'it is not taken over');
      assert.ok(lease);
      return lease;
    };
    const use = (store: Store, lease: Lease) => store.transaction((transaction) => requireLease(transaction, lease));

    test('is held by one at a time, whoever asks, and is the next one’s as soon as it is given back', async () => {
      const [one, other] = [await stores.open(), await stores.open()];
      const asked = await Promise.all(Array.from({ length: 12 }, (_, n) => (n % 2 ? one : other).lease('work', 60)));
      const [lease, ...more] = asked.filter((found) => found !== undefined);
      assert.ok(lease);
      assert.equal(more.length, 0);
      assert.equal(lease.fence, 1);
      assert.ok(await other.lease('other work', 60));
      assert.equal(await lease.renew(), true);
      assert.equal(await one.lease('work', 60), undefined);
      await lease.giveBack();
      assert.equal(await lease.renew(), false);
      const next = await other.lease('work', 60);
      assert.equal(next?.fence, 2);
      assert.equal(await lease.renew(), false);
      await lease.giveBack();
      assert.equal(await next?.renew(), true, 'nobody gives back what is another’s');
    });

    test('is taken over from a holder that is gone; who comes back has it no more, and what it writes is refused (R5)', async () => {
      const store = await stores.open();
      await serve(store);
      const lease = await store.lease('work', 1);
      assert.ok(lease);
      await use(store, lease);
      const next = await takeOver('work', 60);
      assert.equal(next.fence, lease.fence + 1);
      assert.equal(await lease.renew(), false);
      await assert.rejects(use(store, lease), { code: 'busy' });
      await use(await stores.open(), next);
      await lease.giveBack();
      assert.equal(await store.lease('work', 60), undefined, 'it does not come back by asking');
      assert.equal(await next.renew(), true);
    });

    if (database === 'postgres')
      test('its holder is in one transaction or another: nobody takes it over while one that needs it runs (R5)', async () => {
        const [store, other] = [await stores.open(), await stores.open()];
        const lease = await store.lease('work', 1);
        assert.ok(lease);
        const order: string[] = [];
        let taking: Promise<unknown> | undefined;
        await store.transaction(async (transaction) => {
          await requireLease(transaction, lease);
          await sleep(2_100);
          taking = other.lease('work', 60).then((next) => order.push(`taken ${next?.fence}`));
          // It waits, and this transaction goes on all the same.
          for (let i = 0; i < 5; i++) {
            await transaction.db.selectFrom('store_state').select('epoch').execute();
            await sleep(50);
          }
          order.push('done');
        });
        await taking;
        assert.deepEqual(order, ['done', 'taken 2']);
      });

    if (database === 'postgres')
      test('one that seems to be held until long after is nobody’s: the clock of the database went back', async () => {
        const [store, other] = [await stores.open(), await stores.open()];
        assert.ok(await store.lease('work', 10));
        await store.transaction(
          async ({ db }) =>
            void (await db
              .updateTable('lease')
              .set((eb) => ({ until: eb('until', '+', 3_600 as never) }))
              .execute()),
        );
        assert.equal((await other.lease('work', 10))?.fence, 2);
      });

    test('a turn passes on at a stop', async () => {
      const [one, other] = [await stores.open(), await stores.open()];
      const first = takeTurns({ store: one, stopwatch, log }, 'turn', 20);
      assert.ok(await first.mine());
      const second = takeTurns({ store: other, stopwatch, log }, 'turn', 20);
      assert.equal(await second.mine(), undefined);
      await first.stop();
      assert.equal(await first.mine(), undefined);
      await until(() => second.held, 'it does not pass on');
      assert.equal((await second.mine())?.fence, 2);
      await second.stop();
    });

    test('a turn of a process that stood still is asked for again before it is believed (R5)', async () => {
      const store = await stores.open();
      await serve(store);
      let stood = 0;
      const turn = takeTurns({ store, stopwatch: () => stopwatch() + stood, log }, 'turn', 3_600_000);
      assert.ok(await turn.mine());
      await store.transaction(({ db }) =>
        db
          .updateTable('lease')
          .set({ until: seconds(0) })
          .execute(),
      );
      const next = await takeOver('turn', 60);
      stood = 100;
      assert.equal(await turn.mine(), undefined);
      assert.equal(await next.renew(), true);
      await turn.stop();
    });

    test('a turn is nobody’s while the store fails', async () => {
      const store = await stores.open();
      let elapsed = 0;
      let failing = false;
      const broken: Pick<Store, 'lease'> = {
        async lease(name, length) {
          const lease = await store.lease(name, length);
          if (!lease) return undefined;
          const renew = async () => {
            if (failing) throw new CurfewError('store', 'away');
            return lease.renew();
          };
          return { ...lease, renew };
        },
      };
      const turn = takeTurns({ store: broken, stopwatch: () => elapsed, log }, 'turn', 20);
      assert.ok(await turn.mine());
      failing = true;
      elapsed = 4.9;
      assert.ok(await turn.mine());
      elapsed = 5;
      assert.equal(await turn.mine(), undefined);
      assert.equal(turn.held, false);
      failing = false;
      assert.ok(await turn.mine());
      await turn.stop();
    });
  });
}
