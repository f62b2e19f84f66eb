// What judges sessions, as webhooks read it: many at once in few questions, each with its own answer.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { JudgedSessions } from '../../broker/sessions/judged.ts';
import type { Store } from '../../broker/store/store.ts';
import { CurfewError } from '../../shared/errors.ts';
import { seconds } from '../../shared/time.ts';
import { rowOf } from '../bench/store.ts';
import { DATABASES, type Stores, startStores } from '../support/stores.ts';

const NOW = seconds(1_800_000_000);
const LIMITS = { max_age: seconds(3600), inactivity_timeout: seconds(1800), token_ttl: seconds(300) };

for (const database of DATABASES) {
  describe(`sessions that webhooks ask for, in ${database}`, () => {
    let stores: Stores;
    let store: Store;
    let questions = 0;
    const counted: Pick<Store, 'read'> = {
      read(work) {
        questions += 1;
        return store.read(work);
      },
    };
    before(async () => {
      stores = await startStores(database);
      await stores.renew();
      store = await stores.open();
      const rows = Array.from({ length: 40 }, (_, n) => {
        const held = { sid: `s${n}`, username: `p${n}`, jkt: `k${n}`, handle_hash: randomBytes(32) };
        const row = rowOf(n, held, { iss: 'https://idp.example.com', limits: LIMITS, now: NOW });
        // s0 was replaced by s1, and that by s2.
        return n < 2 ? { ...row, ended_at: NOW, end_reason: 'replaced' as const, replaced_by: `s${n + 1}` } : row;
      });
      await store.transaction(async ({ db }) => {
        await db.insertInto('session').values(rows).execute();
      });
    });
    after(() => stores?.stop());

    test('each is told of the session that judges it, and of none where there is none', async () => {
      const judged = new JudgedSessions(counted, true);
      questions = 0;
      const asked = [...Array.from({ length: 40 }, (_, n) => `s${n}`), 'unknown', 's7'];
      const found = await Promise.all(asked.map((sid) => judged.find(sid)));
      const expected = asked.map((sid) => (sid === 'unknown' ? undefined : sid === 's0' || sid === 's1' ? 's2' : sid));
      assert.deepEqual(
        found.map((session) => session?.sid),
        expected,
      );
      assert.ok(questions <= 4, `${questions} questions`);
      assert.deepEqual([(await judged.find('s0'))?.sid, await judged.find('unknown')], ['s2', undefined]);
    });

    test('an end is seen by whoever asks after it was acknowledged, also while others ask', async () => {
      const judged = new JudgedSessions(store, database === 'postgres');
      let asking = true;
      const others = Array.from({ length: 6 }, async (_, n) => {
        for (; asking; await setImmediate()) await judged.find(`s${10 + n}`);
      });
      for (let n = 20; n < 40; n++) {
        await store.transaction(async ({ db }) => {
          const change = { ended_at: NOW, end_reason: 'logout' } as const;
          await db.updateTable('session').set(change).where('sid', '=', `s${n}`).execute();
        });
        assert.equal((await judged.find(`s${n}`))?.end_reason, 'logout');
      }
      asking = false;
      await Promise.all(others);
    });

    test('a question that fails fails for those that asked it, and the next one is asked', async () => {
      let fails = true;
      const judged = new JudgedSessions(
        {
          read: (work) => (fails ? Promise.reject(new CurfewError('store', 'away')) : store.read(work)),
        },
        true,
      );
      for (const result of await Promise.allSettled(['s3', 's4', 's5'].map((sid) => judged.find(sid))))
        assert.equal(result.status, 'rejected');
      fails = false;
      assert.equal((await judged.find('s3'))?.sid, 's3');
    });
  });
}
