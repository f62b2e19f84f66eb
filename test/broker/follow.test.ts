// What a replica learns by the feed: at once where it is woken, in order, each change once it has taken effect; and what it does where the
// feed itself cannot be right.

import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { type FollowedFeed, followFeed } from '../../broker/feed/follow.ts';
import { Policies } from '../../broker/feed/policies.ts';
import { joinReplicas } from '../../broker/feed/replicas.ts';
import type { Change } from '../../broker/store/changes.ts';
import { forgetChanges } from '../../broker/store/feed.ts';
import { type Presence, presenceOf, standardOf } from '../../broker/store/presence.ts';
import type { Store } from '../../broker/store/store.ts';
import { CurfewError } from '../../shared/errors.ts';
import { seconds } from '../../shared/time.ts';
import { assertKept, until } from '../support/patience.ts';
import { DATABASES, insist, type Stores, startStores } from '../support/stores.ts';

const T0 = seconds(1_800_000_000);
const end = (sid: string): Change => ({ kind: 'end', at: T0, sid, reason: 'logout', since: T0 });
const publish = (store: Store, ...changes: Change[]) =>
  store.transaction(async (transaction) => {
    for (const change of changes) transaction.publish(change);
  });
const stopwatch = () => performance.now() / 1_000;
/** Milliseconds: nothing is learned by looking now and then within a test. */
const NEVER = 3_600_000;

for (const database of DATABASES) {
  describe(`who follows the feed in ${database}`, () => {
    let stores: Stores;
    const following: FollowedFeed[] = [];
    const lines: string[] = [];
    before(async () => {
      stores = await startStores(database);
    });
    after(async () => {
      await Promise.all(following.map((feed) => feed.stop()));
      await stores?.stop();
    });
    beforeEach(() => stores.renew());

    const say = (level: string) => (fields: unknown, text?: string) =>
      void lines.push(`${level} ${JSON.stringify(fields)} ${text ?? ''}`);
    const log = { info: say('info'), warn: say('warn'), error: say('error') };
    const follow = (
      store: Store,
      learn: (change: Change) => void | Promise<void>,
      more: { place?: number; every_ms?: number; readAgain?: () => void } = {},
    ) => {
      const learning = {
        learn: async (change: Change) => learn(change),
        readAgain: async () => more.readAgain?.(),
      };
      const feed = followFeed({ store, stopwatch, log }, learning, more.place ?? 0, more.every_ms ?? NEVER);
      following.push(feed);
      return feed;
    };
    /** A statement beside the broker, as whoever changes the database by hand. */
    const meddle = (store: Store, seqs: readonly number[]) =>
      store.transaction(async ({ db }) => void (await db.deleteFrom('feed').where('seq', 'in', seqs).execute()));

    test('learns by being woken, in order, also what came before it listened', async () => {
      const [store, other] = [await stores.open(), await stores.open()];
      await publish(store, end('before'));
      const seen: string[] = [];
      const feed = follow(store, (change) => void seen.push(change.kind === 'end' ? change.sid : change.kind));
      await until(() => seen.length === 1, 'what was there is not learned');
      const writing = database === 'postgres' ? other : store;
      for (let n = 0; n < 20; n++) await publish(writing, end(`${n}`));
      await publish(writing, { kind: 'keys', at: T0 });
      await until(() => seen.length === 22, 'nothing wakes it');
      assert.deepEqual(seen, ['before', ...Array.from({ length: 20 }, (_, n) => `${n}`), 'keys']);
      assert.deepEqual([feed.behind, feed.fault], [0, undefined]);
    });

    test('learns of another process by looking, where nothing wakes', async () => {
      const [store, other] = [await stores.open(), await stores.open()];
      const seen: Change[] = [];
      const deaf = {
        after: store.feed.after.bind(store.feed),
        announce: () => undefined,
        onWake: () => () => undefined,
      };
      follow(
        { ...store, feed: deaf, distrust: store.distrust.bind(store) } as Store,
        (change) => void seen.push(change),
        { every_ms: 50 },
      );
      await publish(other, end('elsewhere'));
      await until(() => seen.length === 1, 'it does not look');
    });

    test('what could not take effect is told again, and nothing after it before that', async () => {
      const store = await stores.open();
      let refusing = true;
      const seen: string[] = [];
      const feed = follow(
        store,
        (change) => {
          const name = change.kind === 'end' ? change.sid : change.kind;
          if (name === 'b' && refusing) throw new CurfewError('store', 'not now');
          seen.push(name);
        },
        { every_ms: 50 },
      );
      await publish(store, end('a'), end('b'), end('c'));
      await until(() => feed.behind === 2, 'a is not learned');
      assert.deepEqual(seen, ['a']);
      refusing = false;
      await until(() => seen.length === 3, 'b is not told again');
      assert.deepEqual(seen, ['a', 'b', 'c']);
    });

    test('what was forgotten before it was read: all is read again, and it continues from there', async () => {
      const store = await stores.open();
      await publish(store, end('a'), end('b'), end('c'));
      await store.transaction(({ db }) => forgetChanges(db, seconds(T0 + 1)));
      let again = 0;
      const seen: Change[] = [];
      follow(store, (change) => void seen.push(change), { readAgain: () => void again++ });
      await until(() => again === 1, 'nothing is read again');
      await publish(store, end('d'));
      await until(() => seen.length === 1, 'it does not go on');
      assert.equal(again, 1);
      assert.equal(store.fault, undefined);
    });

    for (const [what, seqs, words] of [
      ['in the middle', [2], /change 2 is missing/],
      ['at the end', [3, 4], /changes 3 to 4 are missing/],
      ['all', [1, 2, 3, 4], /changes 1 to 4 are missing/],
    ] as const) {
      test(`a gap ${what} is a fault of the store: it is used no more, and that is said (R2)`, async () => {
        const store = await stores.open();
        await publish(store, end('a'), end('b'), end('c'), end('d'));
        await meddle(store, seqs);
        const feed = follow(store, () => undefined);
        await until(() => store.fault !== undefined, 'the gap is not noticed');
        assert.match(store.fault ?? '', words);
        assert.match(feed.fault ?? '', words);
        await assert.rejects(publish(store, end('e')), { code: 'store', message: words });
        await assert.rejects(
          store.read((db) => db.selectFrom('feed').select('seq').execute()),
          { code: 'store' },
        );
        assert.ok(lines.some((line) => line.startsWith('error') && words.test(line)));
      });
    }

    test('a number that went back is a fault of the store: it was put back to an earlier state (R2)', async () => {
      const [store, other] = [await stores.open(), await stores.open()];
      await publish(store, end('a'), end('b'), end('c'));
      let learned = 0;
      const feed = follow(store, () => void learned++, { every_ms: 50 });
      await until(() => learned === 3, 'it does not follow');
      await other.transaction(async ({ db }) => {
        await db.deleteFrom('feed').where('seq', '>', 1).execute();
        await db.updateTable('feed_head').set({ seq: 1 }).execute();
      });
      await until(() => store.fault !== undefined, 'it is not noticed');
      assert.match(store.fault ?? '', /went back from 3 to 1/);
      assert.match(feed.fault ?? '', /went back from 3 to 1/);
    });

    test('times that are brought back, as by clock accept, are no fault', async () => {
      const [store, other] = [await stores.open(), await stores.open()];
      await publish(store, end('a'));
      const seen: Change[] = [];
      follow(store, (change) => void seen.push(change), { every_ms: 50 });
      await until(() => seen.length === 1, 'it does not follow');
      await other.transaction(
        async ({ db }) =>
          void (await db
            .updateTable('feed')
            .set({ at: seconds(1) })
            .execute()),
      );
      await publish(other, end('b'));
      await until(() => seen.length === 2, 'it does not go on');
      assert.equal(store.fault, undefined);
    });

    test('a store that was put back, and written on since, is noticed though its number is no lower (R2)', async () => {
      const [store, other] = [await stores.open(), await stores.open()];
      await publish(store, end('a'), end('b'));
      const seen: Change[] = [];
      follow(store, (change) => void seen.push(change), { every_ms: 50 });
      await until(() => seen.length === 2, 'it does not follow');
      await other.transaction(async ({ db }) => {
        await db.updateTable('feed').set({ sid: 'of another history' }).where('seq', '=', 2).execute();
      });
      await publish(other, end('c'));
      await until(() => store.fault !== undefined, 'it is not noticed');
      assert.match(store.fault ?? '', /change 2 .* is another one than it was/);
      assert.equal(seen.length, 2, 'nothing of that history is believed');
    });

    test('a replica reads its keys again, and finds that all was declared over, as it hears of it', async () => {
      const [store, other] = [await stores.open(), await stores.open()];
      let [keys, epochs] = [0, 0];
      const { newest } = await store.standing();
      const clock = { observe: () => undefined, newest: () => newest };
      const guard = { fault: undefined, check: () => undefined, committed: () => undefined, undone: () => undefined };
      store.serve({ clock, guard, onEpoch: async () => void epochs++ }, { epoch: 0 });
      const heard: string[] = [];
      const replicas = joinReplicas(
        {
          ...{ store, stopwatch, log, now: () => T0, digest: () => 'ours' },
          heard: ({ kind }) => void heard.push(kind),
          readKeys: async () => void keys++,
        },
        0,
      );
      await other.transaction(async ({ db, publish }) => {
        await db
          .updateTable('store_state')
          .set((eb) => ({ epoch: eb('epoch', '+', 1) }))
          .execute();
        publish({ kind: 'keys', at: T0 });
        publish({ kind: 'all_over', at: T0 });
        publish({ kind: 'policy', at: T0, digest: 'theirs' });
      });
      await until(() => heard.length === 3, 'it does not hear');
      assert.deepEqual([keys, epochs, heard], [1, 1, ['keys', 'all_over', 'policy']]);
      assert.equal(replicas.policies.inStep, true, 'what somebody told once moves nothing');
      await replicas.stop();
    });
  });
}

describe('who follows the feed in postgres, while the server is away', () => {
  test('is a fault after 5 s without an answer, not before; after the restart all is learned that came meanwhile (R2)', async () => {
    const stores = await startStores('postgres');
    const log = { info: () => undefined, warn: () => undefined, error: () => undefined };
    try {
      const store = await stores.open();
      const seen: string[] = [];
      let slept = 0;
      const learning = {
        learn: async (change: Change) => void seen.push(change.kind === 'end' ? change.sid : change.kind),
        readAgain: async () => assert.fail('nothing was forgotten'),
      };
      const feed = followFeed({ store, log, stopwatch: () => stopwatch() + slept }, learning, 0, 100);
      await publish(store, end('a'));
      await until(() => seen.length === 1, 'it does not follow');
      await stores.server?.end('SIGKILL');
      slept = 6;
      await until(() => feed.fault !== undefined, 'it does not notice');
      await stores.server?.start();
      await insist(async () => {
        await publish(store, end('b')).catch(async (error: unknown) => {
          await sleep(50);
          throw error;
        });
      });
      await until(() => seen.length === 2, 'it does not go on');
      await until(() => feed.fault === undefined, 'it is still a fault');
      assert.deepEqual(seen, ['a', 'b']);
      await feed.stop();
    } finally {
      await stores.stop();
    }
  });

  test('a change that comes while the listening connection stands still is learned within the deadline all the same (R2)', async () => {
    const stores = await startStores('postgres');
    const log = { info: () => undefined, warn: () => undefined, error: () => undefined };
    const stopped: number[] = [];
    try {
      const [store, other] = [await stores.open(), await stores.open()];
      const seen: string[] = [];
      const learning = {
        learn: async (change: Change) => void seen.push(change.kind === 'end' ? change.sid : change.kind),
        readAgain: async () => assert.fail('nothing was forgotten'),
      };
      const feed = followFeed({ store, log, stopwatch }, learning, 0);
      await publish(other, end('a'));
      await until(() => seen.length === 1, 'it does not follow');
      const listening = (await stores.server?.query(
        `select pid from pg_stat_activity where query like '%left join feed on%' and pid <> pg_backend_pid()`,
      )) as { pid: number }[];
      for (const { pid } of listening) {
        process.kill(pid, 'SIGSTOP');
        stopped.push(pid);
      }
      assert.equal(stopped.length, 1);
      const begin = performance.now();
      await insist(() => publish(other, end('b')));
      await until(() => seen.length === 2, 'it does not learn');
      assertKept(performance.now() - begin, 5_000, 'learning');
      assert.equal(store.fault, undefined);
      await feed.stop();
    } finally {
      for (const pid of stopped) process.kill(pid, 'SIGCONT');
      await stores.stop();
    }
  });
});

test('a replica has a minute to take the configuration that all are to have; then it is not ready, and that is said once (R6)', () => {
  const lines: string[] = [];
  const say = (_fields: unknown, text?: string) => void lines.push(text ?? '');
  const [a, b] = ['a'.repeat(64), 'b'.repeat(64)];
  let [own, elapsed] = [a, 0];
  const policies = new Policies(
    () => own,
    () => elapsed,
    { info: say, error: say },
  );
  const others = (digest: string) => [presenceOf(digest, T0, T0), presenceOf(own, seconds(T0 + 1), seconds(0))];
  assert.deepEqual([policies.inStep, policies.fault()], [true, undefined]);
  policies.found(others(a));
  elapsed = 100;
  assert.deepEqual([policies.inStep, policies.fault()], [true, undefined]);
  policies.found(others(b));
  elapsed = 160;
  assert.deepEqual([policies.inStep, policies.fault()], [false, undefined]);
  elapsed = 161;
  policies.found(others(b));
  assert.match(policies.fault() ?? '', /another configuration/);
  policies.fault();
  own = b;
  assert.deepEqual([policies.inStep, policies.fault()], [true, undefined]);
  assert.equal(lines.length, 2);
});

describe('the configuration that all replicas are to have (R6)', () => {
  const replica = (digest: string, since: number, reloaded = 0) =>
    presenceOf(digest.repeat(16), seconds(since), seconds(reloaded));
  const cases: Readonly<Record<string, readonly [Presence[], string | undefined]>> = {
    'none where nobody is known': [[], undefined],
    'that of the only one': [[replica('a', 1)], 'a'],
    'not that of one that has just started': [[replica('a', 1), replica('b', 2)], 'a'],
    'nor of one that has restarted, though it was there first': [
      [replica('b', 3), replica('a', 1), replica('a', 4)],
      'a',
    ],
    'that of most, where it comes by restarts': [[replica('a', 1), replica('b', 2), replica('b', 3)], 'b'],
    'that which was taken by a reload, whoever has started since': [
      [replica('a', 1, 5), replica('b', 6), replica('b', 7)],
      'a',
    ],
    'of two reloads the later one': [[replica('a', 1, 5), replica('b', 2, 6), replica('a', 3, 5)], 'b'],
    'not that of a reload that nobody has any more': [[replica('b', 6), replica('b', 7)], 'b'],
  };
  for (const [name, [replicas, expected]] of Object.entries(cases)) {
    test(`is ${name}`, () => assert.equal(standardOf(replicas), expected?.repeat(16)));
  }

  test('is the same for all, in whatever order they are read', () => {
    const one = fc.record({ digest: fc.constantFrom('a', 'b', 'c'), since: fc.nat(3), reloaded: fc.nat(3) });
    const some = fc.array(one, { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(
        some.chain((all) => fc.tuple(fc.constant(all), fc.shuffledSubarray(all, { minLength: all.length }))),
        ([all, shuffled]) => {
          const standard = (list: typeof all) =>
            standardOf(list.map(({ digest, since, reloaded }) => replica(digest, since, reloaded)));
          assert.equal(standard(all), standard(shuffled));
          assert.ok(all.some(({ digest }) => digest.repeat(16) === standard(all)));
        },
      ),
    );
  });
});
