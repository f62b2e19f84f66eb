// A broker of the next version that is killed in the middle of its migration, beside one of this version, in PostgreSQL.

import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { makeBrokers } from '../support/brokers.ts';
import { chanceOf } from '../support/chance.ts';
import { Crowd } from '../support/crowd.ts';
import { until } from '../support/patience.ts';
import { startPostgres } from '../support/postgres.ts';
import { faultsOfRecord, KEEPS_COMMIT_TIMES } from '../support/record_check.ts';
import { buildVariant, NEXT_MIGRATION, nextVersion } from '../support/variant.ts';

const NAME = 'upgrade';
const PEOPLE = 3;

test('F10 a migration that is killed half-way leaves nothing in PostgreSQL, the broker beside it continues, and the next start does it whole (I2, I3)', async (context) => {
  const server = await startPostgres(KEEPS_COMMIT_TIMES);
  context.after(server.stop);
  const brokers = await makeBrokers({ database: await server.createDatabase(NAME), count: 2 });
  context.after(brokers.remove);
  const crowd = new Crowd({ issuer: brokers.issuer, urls: brokers.urls, chance: chanceOf(NAME) });
  context.after(() => crowd.abandon());
  const [first, second] = brokers.replicas;
  await first?.start();
  const answers = async () => {
    const { count } = crowd;
    await until(() => crowd.count > count + 5 * PEOPLE || crowd.faults.length > 0, 'nothing is acknowledged');
  };
  const count = async (text: string) => {
    const rows = (await server.query(`select count(*) as count from ${text}`, NAME)) as { count: string }[];
    return Number(rows[0]?.count);
  };
  /** Whatever of it is there. */
  const migrated = async () => ({
    done: await count(`kysely_migration where name = '${NEXT_MIGRATION}'`),
    columns: await count(`information_schema.columns where column_name = 'of_next'`),
    tables: await count(`information_schema.tables where table_name = 'next'`),
  });
  crowd.start(PEOPLE);
  await answers();
  const slow = await buildVariant(nextVersion(3), path.join(brokers.folder, 'slow.cjs'));
  await second?.spawn({ program: slow });
  const half = `pg_stat_activity where query like 'select pg_sleep%' and state = 'active' and datname = '${NAME}'`;
  await until(async () => (await count(half)) > 0, 'the migration does not get half-way');
  await second?.kill();
  await answers();
  assert.deepEqual(await migrated(), { done: 0, columns: 0, tables: 0 });

  await second?.start({ program: await buildVariant(nextVersion(), path.join(brokers.folder, 'next.cjs')) });
  await answers();
  const whole = await migrated();
  assert.deepEqual([whole.done, whole.tables], [1, 1]);
  assert.ok(whole.columns > 10, `${whole.columns}`);
  await crowd.stop();
  await crowd.settle();
  const record = await faultsOfRecord(brokers, crowd.acknowledged, { server, name: NAME });
  assert.deepEqual([...crowd.faults, ...record].slice(0, 10), []);
});
