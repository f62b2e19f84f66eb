// An upgrade of two replicas, one after the other, behind a load balancer and under load, and the way back: no request fails.
//
// The release before is this program; the one after it is this program with one more migration, built from the same sources. So what is
// shown is how the two run side by side: the migration under load, tables that are newer than one of them, stop and start. What one
// release's statements do on another's tables can only be shown by two releases, and 0.5.0 is the first that has that promise.

import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Agent, fetch as undici } from 'undici';
import { type Balancer, startBalancer } from '../support/balancer.ts';
import { type Brokers, makeBrokers, type Replica } from '../support/brokers.ts';
import { chanceOf } from '../support/chance.ts';
import { Crowd } from '../support/crowd.ts';
import { until } from '../support/patience.ts';
import { type Postgres, startPostgres } from '../support/postgres.ts';
import { faultsOfRecord, KEEPS_COMMIT_TIMES } from '../support/record_check.ts';
import { buildVariant, NEXT_MIGRATION, nextVersion } from '../support/variant.ts';

const NAME = 'rolling';
const PEOPLE = 4;

describe('a rolling restart of two replicas', () => {
  let server: Postgres;
  let brokers: Brokers;
  let balancer: Balancer;
  let next: string;
  // A connection that nobody uses is closed by whichever side thinks of it first: the client, as it waits for less than a broker that stops.
  const agent = new Agent({ keepAliveTimeout: 1_000, keepAliveMaxTimeout: 1_000, connections: 16 });
  before(async () => {
    server = await startPostgres(KEEPS_COMMIT_TIMES);
    brokers = await makeBrokers({ database: await server.createDatabase(NAME), count: 2 });
    next = await buildVariant(nextVersion(), path.join(brokers.folder, 'next.cjs'));
    for (const replica of brokers.replicas) await replica.start();
    balancer = await startBalancer(() => brokers.replicas.flatMap((one) => one.process?.url || []));
  });
  after(async () => {
    await agent.destroy();
    await balancer?.stop();
    await brokers?.remove();
    await server?.stop();
  });

  test('R6 to the next version and back, under load behind a balancer: no request fails, each stop exits 0 (F3, F10, I2, I3)', async (context) => {
    const chance = chanceOf(NAME);
    context.diagnostic(`SEED=${chance.seed}`);
    const send = async (url: string, init: RequestInit) =>
      (await undici(url, { ...init, dispatcher: agent } as never)) as unknown as Response;
    const crowd = new Crowd({ issuer: brokers.issuer, urls: () => [balancer.url], chance, send });
    const failed = () => crowd.faults.length + crowd.counts.put_off + crowd.counts.unanswered;
    const answers = async () => {
      const { count } = crowd;
      await until(() => crowd.count > count + 5 * PEOPLE || failed() > 0, 'nothing is acknowledged');
      assert.equal(failed(), 0, brokers.replicas.map((one) => one.process?.log().slice(-2_000)).join('\n'));
    };
    const bring = async (replica: Replica | undefined, program?: string) => {
      assert.equal(await replica?.stop(), 0);
      await answers();
      await replica?.start({ program });
      await until(() => balancer.ready.length === 2, 'it does not get ready');
      await answers();
    };
    const migrations = async () => {
      const rows = (await server.query('select name from kysely_migration order by name', NAME)) as { name: string }[];
      return rows.map(({ name }) => name);
    };
    context.after(() => crowd.abandon());
    crowd.start(PEOPLE);
    await answers();
    const [first, second] = brokers.replicas;
    assert.ok(!(await migrations()).includes(NEXT_MIGRATION));
    await bring(first, next);
    assert.equal((await migrations()).at(-1), NEXT_MIGRATION);
    await bring(second, next);
    await bring(first);
    await crowd.stop();
    await crowd.settle();
    const faults = [...crowd.faults, ...(await faultsOfRecord(brokers, crowd.acknowledged, { server, name: NAME }))];
    const { unanswered, put_off, refused } = crowd.counts;
    context.diagnostic(
      `3 restarts: ${crowd.count} answers, ${refused} refused after an end; ${unanswered} without an answer, ${put_off} put off; ${faults.length} faults`,
    );
    assert.deepEqual(faults.slice(0, 10), []);
    assert.deepEqual({ unanswered, put_off }, { unanswered: 0, put_off: 0 });
  });
});
