// Two brokers on one database, asked for connections at once: what is taken once is taken once by both, and an end at one holds at the other.

import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { startTestService, type TestService } from '../support/service.ts';
import { openStoreDatabase } from '../support/store_database.ts';
import { type Somebody, TargetPeople } from '../support/target_people.ts';
import { TARGETS } from '../support/targets.ts';

const TIMES = 20;

describe('two brokers, and the gateway of targets', () => {
  let service: TestService;
  let second: string;
  let people: TargetPeople;
  let alice: Somebody;
  before(async () => {
    service = await startTestService(TARGETS, { postgres: true });
    second = (await service.replica()).url;
    people = new TargetPeople(service);
  });
  after(() => service?.stop());
  beforeEach(async () => {
    service.advance(60);
    alice = await people.somebody();
  });

  const open = () => {
    using opened = openStoreDatabase(service.storeFile);
    return opened.prepare('select id from connection where sid = ?').all(alice.sid).length;
  };
  /** On a slow machine a broker may say that it has more to do than it can. */
  const insist = async (...asked: Parameters<TargetPeople['ask']>) => {
    for (;;) {
      const answer = await people.ask(...asked);
      if (answer.status !== 503) return answer;
    }
  };

  test('C1 a proof that both are shown at once opens one connection', async () => {
    for (let i = 0; i < TIMES; i++) {
      const asked = people.shown(alice, 'cache');
      const answers = await Promise.all([service.url, second].map((url) => insist(asked, undefined, url)));
      const [refused, ...more] = answers.filter(({ status }) => status !== 200);
      assert.deepEqual([refused?.refused.code, more.length], ['proof_replayed', 0]);
    }
    assert.equal(open(), TIMES);
    const rows = service.audit.filter(({ event, sid }) => event === 'connect' && sid === alice.sid);
    assert.equal(rows.length, TIMES);
  });

  test('C3 after the answer to an end at one, the other opens nothing; what was opened before that has its row', async () => {
    let allowed = 0;
    for (let i = 0; i < TIMES / 2; i++) {
      alice = await people.somebody();
      let over = false;
      const connecting = Array.from({ length: 3 }, async () => {
        for (let last = false; !last; ) {
          last = over;
          const { status } = await insist(people.shown(alice, 'cache'), undefined, second);
          if (status === 200) allowed += 1;
          if (last) assert.equal(status, 403, 'after the end');
        }
      });
      await alice.holder.revoke(alice.handle);
      over = true;
      await Promise.all(connecting);
    }
    const rows = service.audit.filter((row) => row.event === 'connect').length;
    assert.equal(rows - TIMES, allowed);
  });
});
