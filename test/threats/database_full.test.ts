// The disk of the database server is full (F5): what the server cannot take is not acknowledged, and said by its name.

import assert from 'node:assert/strict';
import { chownSync, mkdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { makeBrokers } from '../support/brokers.ts';
import { chanceOf } from '../support/chance.ts';
import { Crowd } from '../support/crowd.ts';
import { makeDisk } from '../support/disk.ts';
import { until } from '../support/patience.ts';
import { startPostgres } from '../support/postgres.ts';
import { faultsOfRecord, KEEPS_COMMIT_TIMES } from '../support/record_check.ts';

const NAME = 'filled';
const PEOPLE = 4;

test('F5 the disk of the database is full: 503 with Retry-After, not ready, said by its name; nothing that was acknowledged is lost, and it heals by itself (I2, I3)', async (context) => {
  const server = await startPostgres(KEEPS_COMMIT_TIMES);
  context.after(server.stop);
  const brokers = await makeBrokers({ database: await server.createDatabase(NAME), count: 1 });
  context.after(brokers.remove);
  const [broker] = brokers.replicas;
  await server.end('SIGINT');
  const { uid, gid } = statSync(server.data);
  const beside = path.join(path.dirname(server.data), 'beside');
  mkdirSync(beside);
  chownSync(beside, uid, gid);
  const disk = await makeDisk(server.data, beside);
  server.configure({}, disk.env);
  await server.start();
  await broker?.start();
  const crowd = new Crowd({ issuer: brokers.issuer, urls: brokers.urls, chance: chanceOf(NAME) });
  context.after(() => crowd.abandon());
  const ready = async () => (await fetch(`${broker?.url}/readyz`)).status;
  const answers = async (more: number) => {
    const { count } = crowd;
    await until(() => crowd.count >= count + more || crowd.faults.length > 0, 'nothing is acknowledged');
  };
  crowd.start(PEOPLE);
  await answers(5 * PEOPLE);
  const heal = disk.fill();
  const said = () => broker?.process?.log().includes(`no space is left on the database's disk`);
  await until(() => crowd.counts.put_off > 0 && said() === true, 'nobody says that the disk is full');
  await until(async () => (await ready()) === 503, 'it stays ready');
  heal();
  await answers(5 * PEOPLE);
  await until(async () => (await ready()) === 200, 'it does not get ready');
  await crowd.stop();
  await crowd.settle();
  const record = await faultsOfRecord(brokers, crowd.acknowledged, { server, name: NAME });
  assert.deepEqual([...crowd.faults, ...record].slice(0, 10), []);
  assert.equal(crowd.counts.unanswered, 0);
});
