// The checks that tests of faults end with must themselves be seen to fail: here something is wrong, and they say what.

import assert from 'node:assert/strict';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, test } from 'node:test';
import { type Brokers, makeBrokers } from './brokers.ts';
import { chanceOf } from './chance.ts';
import { Crowd } from './crowd.ts';
import { until } from './patience.ts';
import { faultsOfRecord } from './record_check.ts';

let brokers: Brokers;
let crowd: Crowd;
before(async () => {
  brokers = await makeBrokers({ count: 1 });
  await brokers.replicas[0]?.start();
  crowd = new Crowd({ issuer: brokers.issuer, urls: brokers.urls, chance: chanceOf('record check') });
  crowd.start(2);
  await until(() => crowd.acknowledged.ends.size >= 3, 'nothing is acknowledged');
  await crowd.stop();
});
after(() => brokers?.remove());

const database = () => new DatabaseSync(path.join(path.dirname(brokers.replicas[0]?.configFile ?? ''), 'curfew.db'));
const exec = (text: string) => {
  const opened = database();
  opened.exec(text);
  opened.close();
};

test('where nothing is wrong nothing is said; a session that is ended by somebody else is a fault to those who hold it', async () => {
  await crowd.settle();
  assert.deepEqual([...crowd.faults, ...(await faultsOfRecord(brokers, crowd.acknowledged))], []);
  await brokers.replicas[0]?.kill();
  exec(`update session set ended_at = null, end_reason = null where ended_at is not null`);
  await brokers.replicas[0]?.start();
  await crowd.settle();
  assert.match(crowd.faults.join('\n'), /: a token after the acknowledged end: 200 /);
});

test('a row that is gone, or there twice, and a token behind its end, are found in the audit log', async () => {
  await brokers.replicas[0]?.kill();
  // Tokens were granted just now to sessions whose end is in the audit log.
  assert.match((await faultsOfRecord(brokers, crowd.acknowledged)).join('\n'), /: a token was committed after its end/);
  for (const event of ['login', 'end'])
    exec(`create temp table one as select * from audit where event = '${event}' limit 1;
      update one set seq = (select max(seq) + 1 from audit); insert into audit select * from one`);
  const twice = (await faultsOfRecord(brokers, crowd.acknowledged)).join('\n');
  for (const event of ['login', 'end']) assert.match(twice, new RegExp(`: two rows of its ${event}$`, 'm'));
  exec(`delete from audit where event = 'end'`);
  const found = (await faultsOfRecord(brokers, crowd.acknowledged)).join('\n');
  for (const fault of [
    /^audit verify: 78 /m,
    /^row \d+ of lane 0 \(end\) was told, and is lost$/m,
    /: no row of its end$/m,
  ])
    assert.match(found, fault);
});
