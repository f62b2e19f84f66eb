// The database server is killed under load and started again, or another takes its place: what was acknowledged holds, nobody is told what
// is not so, and the brokers come back by themselves.

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { loadConfig } from '../../broker/config/load.ts';
import { lookAtStore } from '../../broker/live/store.ts';
import { fromMilliseconds } from '../../shared/time.ts';
import { countOf } from '../counts.ts';
import { type Brokers, makeBrokers } from '../support/brokers.ts';
import { chanceOf } from '../support/chance.ts';
import { Crowd } from '../support/crowd.ts';
import { until } from '../support/patience.ts';
import { type Postgres, startPostgres } from '../support/postgres.ts';
import { startStandby } from '../support/postgres_standby.ts';
import { faultsOfRecord, KEEPS_COMMIT_TIMES } from '../support/record_check.ts';

const NAME = 'lost';
const PEOPLE = 4;
/** Milliseconds between two kills at the most. */
const PAUSE = 300;

/** @returns what `/readyz` says at each */
const readiness = ({ urls }: Brokers) => Promise.all(urls().map(async (url) => (await fetch(`${url}/readyz`)).status));
const untilAll = (brokers: Brokers, status: number) =>
  until(async () => (await readiness(brokers)).every((one) => one === status), `not all say ${status}`);
const answers = async (crowd: Crowd, more: number) => {
  const { count } = crowd;
  await until(() => crowd.count >= count + more || crowd.faults.length > 0, 'nothing is acknowledged');
};
const summary = ({ acknowledged: { logins, ends, tokens }, counts }: Crowd) =>
  `${logins.size} logins, ${tokens.size} tokens, ${ends.size} ends acknowledged; ${counts.put_off} requests put off, ` +
  `${counts.refused} refused after an end`;

describe('a database server that is lost', { concurrency: true }, () => {
  describe('and comes back', () => {
    let server: Postgres;
    let brokers: Brokers;
    before(async () => {
      server = await startPostgres(KEEPS_COMMIT_TIMES);
      brokers = await makeBrokers({ database: await server.createDatabase(NAME), count: 2 });
      for (const replica of brokers.replicas) await replica.start();
    });
    after(async () => {
      await brokers?.remove();
      await server?.stop();
    });

    const kills = countOf('database_kills');
    test(`R4 ${kills} kills of the server under load: 503 with Retry-After, nothing is lost, brokers work again by themselves (I2, I3)`, async (context) => {
      const chance = chanceOf(NAME);
      context.diagnostic(`SEED=${chance.seed}`);
      const crowd = new Crowd({ issuer: brokers.issuer, urls: brokers.urls, chance });
      context.after(() => crowd.abandon());
      crowd.start(PEOPLE);
      for (let n = 0; n < kills && crowd.faults.length === 0; n++) {
        await answers(crowd, PEOPLE);
        await sleep(chance.below(PAUSE));
        const { put_off } = crowd.counts;
        await server.end(chance.below(4) === 0 ? 'SIGQUIT' : 'SIGKILL');
        await until(() => crowd.counts.put_off > put_off, 'nobody is put off');
        if (n === 0) await untilAll(brokers, 503);
        await server.start();
      }
      await answers(crowd, PEOPLE);
      await untilAll(brokers, 200);
      await crowd.stop();
      await crowd.settle();
      const commits = { server, name: NAME };
      const faults = [...crowd.faults, ...(await faultsOfRecord(brokers, crowd.acknowledged, commits))];
      context.diagnostic(`${kills} kills: ${summary(crowd)}; ${faults.length} faults`);
      assert.deepEqual(faults.slice(0, 10), []);
      assert.equal(crowd.counts.unanswered, 0);
    });
  });

  describe('and has a synchronous standby', () => {
    let old: Postgres;
    let standby: Postgres;
    let brokers: Brokers;
    before(async () => {
      old = await startPostgres(KEEPS_COMMIT_TIMES);
      await old.createDatabase(NAME);
      standby = await startStandby(old);
      // The one that is to become an old primary is asked first.
      const hosts = [old, standby].map(({ port }) => `127.0.0.1:${port}`).join(',');
      brokers = await makeBrokers({ database: `postgres://postgres@${hosts}/${NAME}`, count: 2 });
      for (const replica of brokers.replicas) await replica.start();
    });
    after(async () => {
      await brokers?.remove();
      await standby?.stop();
      await old?.stop();
    });
    const crowdOf = () => {
      const chance = chanceOf('failover');
      return { chance, crowd: new Crowd({ issuer: brokers.issuer, urls: brokers.urls, chance }) };
    };

    /** As `check --live` says it. */
    const sayStandby = async () => {
      const [replica] = brokers.replicas;
      assert.ok(replica);
      const config = await loadConfig(replica.configFile, { env: {} });
      const opened = await lookAtStore(
        config,
        () => fromMilliseconds(Date.now()),
        () => Date.now() / 1000,
      );
      await opened.close();
      return opened.seen.find(({ name }) => name === 'standby')?.says;
    };

    const failovers = countOf('failovers');
    const times = failovers === 1 ? 'a failover' : `${failovers} failovers`;
    test(`R4 ${times} under load: nothing is lost, brokers find the new primary by themselves, and nobody uses the old one when it is back (I2, I3)`, async (context) => {
      assert.equal(await sayStandby(), '1 follow it');
      const { chance, crowd } = crowdOf();
      context.diagnostic(`SEED=${chance.seed}`);
      context.after(() => crowd.abandon());
      crowd.start(PEOPLE);
      const failOver = async () => {
        await answers(crowd, 10 * PEOPLE);
        await old.end('SIGKILL');
        await untilAll(brokers, 503);
        await standby.query('select pg_promote()');
        await answers(crowd, 10 * PEOPLE);
        await untilAll(brokers, 200);
        // It would acknowledge what it is given.
        old.configure({ synchronous_standby_names: '' });
        await old.start();
        const before = await rowsOfOld();
        await standby.query(
          `select pg_terminate_backend(pid) from pg_stat_activity where datname = '${NAME}' and pid <> pg_backend_pid()`,
        );
        await answers(crowd, 10 * PEOPLE);
        // One that has its memory from its witness alone.
        const replica = chance.pick(brokers.replicas);
        await replica?.kill();
        await replica?.start();
        await answers(crowd, 10 * PEOPLE);
        return before;
      };
      const rowsOfOld = () => old.query('select count(*) as count from audit', NAME);
      for (let n = 1; n < failovers && crowd.faults.length === 0; n++) {
        assert.deepEqual(await failOver(), await rowsOfOld());
        const { port } = old;
        await old.stop();
        old = standby;
        standby = await startStandby(old, port);
      }
      const before = await failOver();
      await crowd.stop();
      await crowd.settle();
      assert.deepEqual(await rowsOfOld(), before);
      assert.deepEqual(await readiness(brokers), [200, 200]);
      const commits = { server: standby, name: NAME };
      const faults = [...crowd.faults, ...(await faultsOfRecord(brokers, crowd.acknowledged, commits))];
      context.diagnostic(`${times}: ${summary(crowd)}; ${faults.length} faults`);
      assert.deepEqual(faults.slice(0, 10), []);

      const [, second] = brokers.replicas;
      await second?.kill();
      const place = path.dirname(second?.configFile ?? '');
      await writeFile(path.join(place, 'database'), `postgres://postgres@127.0.0.1:${old.port}/${NAME}`);
      await assert.rejects(async () => second?.start(), /is an old primary/);
    });
  });
});
