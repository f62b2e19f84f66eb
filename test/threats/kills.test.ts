// Brokers that are killed under load, at any moment, also while they start, and at their n-th sync: what they acknowledged holds, and nothing else is needed than
// a new start.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { countOf } from '../counts.ts';
import { type Brokers, makeBrokers, type Replica } from '../support/brokers.ts';
import { chanceOf } from '../support/chance.ts';
import { Crowd } from '../support/crowd.ts';
import { until } from '../support/patience.ts';
import { type Postgres, startPostgres } from '../support/postgres.ts';
import { faultsOfRecord, KEEPS_COMMIT_TIMES } from '../support/record_check.ts';
import { DATABASES } from '../support/stores.ts';

const NAME = 'kills';
/** Milliseconds: a start takes longer than the first, and the load is under way long before the second. */
const [WHILE_STARTING, WHILE_SERVING] = [400, 250];
const PEOPLE = 2;
/** Of the syncs of a broker some 13 come before it serves. */
const SYNCS = 40;

/** It is killed as it is about to sync, for the n-th time on one of its threads. */
async function dieAtSync(replica: Replica, n: number): Promise<void> {
  const [calls, out] = ['fsync,fdatasync', '/dev/null'];
  const by = [
    'strace',
    '-f',
    '-qq',
    '-o',
    out,
    '-e',
    `trace=${calls}`,
    '-e',
    `inject=${calls}:signal=SIGKILL:when=${n}`,
  ];
  await replica.start({ by }).catch(() => undefined);
  assert.equal(await replica.process?.exit, null, replica.process?.output());
}

describe('brokers that are killed', { concurrency: true }, () => {
  for (const database of DATABASES)
    describe(database, () => {
      let server: Postgres | undefined;
      let brokers: Brokers;
      before(async () => {
        server = database === 'postgres' ? await startPostgres(KEEPS_COMMIT_TIMES) : undefined;
        brokers = await makeBrokers({
          database: await server?.createDatabase(NAME),
          count: database === 'postgres' ? 2 : 1,
        });
      });
      after(async () => {
        await brokers?.remove();
        await server?.stop();
      });

      const kills = countOf('broker_kills');
      test(`F1 ${kills} kills under load: what was acknowledged is there, no token after an end, chains whole (F2, I2, I3)`, async (context) => {
        const chance = chanceOf(database);
        context.diagnostic(`SEED=${chance.seed}`);
        const crowd = new Crowd({ issuer: brokers.issuer, urls: brokers.urls, chance });
        for (const replica of brokers.replicas) await replica.start();
        context.after(() => crowd.abandon());
        crowd.start(PEOPLE);
        const kill = async (replica: Replica) => {
          if (database === 'sqlite' && chance.below(5) === 0) {
            await replica.kill();
            await dieAtSync(replica, 1 + chance.below(SYNCS));
          } else if (chance.below(5) === 0) {
            await replica.kill();
            await replica.spawn();
            await sleep(chance.below(WHILE_STARTING));
          } else {
            const { count } = crowd;
            await until(() => crowd.count > count, 'nothing is acknowledged');
            await sleep(chance.below(WHILE_SERVING));
          }
          await replica.kill();
          await replica.start();
        };
        for (let n = 0; n < kills && crowd.faults.length === 0; n++) {
          const replica = chance.pick(brokers.replicas);
          if (replica) await kill(replica);
          if (n % 100 === 99) context.diagnostic(`${n + 1} kills, ${crowd.count} answers`);
        }
        await crowd.stop();
        await crowd.settle();
        const commits = server && { server, name: NAME };
        const faults = [...crowd.faults, ...(await faultsOfRecord(brokers, crowd.acknowledged, commits))];
        const { logins, ends, tokens } = crowd.acknowledged;
        const { unanswered, refused } = crowd.counts;
        context.diagnostic(
          `${kills} kills: ${logins.size} logins, ${tokens.size} tokens, ${ends.size} ends acknowledged; ` +
            `${unanswered} requests without an answer, ${refused} refused after an end; ${faults.length} faults`,
        );
        assert.deepEqual(faults.slice(0, 10), []);
        assert.ok(unanswered > 0 && logins.size > 0 && ends.size > 0 && tokens.size > kills);
      });
    });
});
