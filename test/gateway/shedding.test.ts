// A gateway that is asked more than it can answer sends new requests away before it stalls; what is open goes on, and ends.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sendsAway } from '../../gateway/shedding.ts';
import { type LoneGateway, startLoneGateway } from '../support/lone_gateway.ts';
import { until } from '../support/patience.ts';

const PODS = '/api/v1/namespaces/dev/pods';
const WATCH = `${PODS}?watch=true`;

async function withGateway(story: (lone: LoneGateway) => Promise<void>): Promise<void> {
  const lone = await startLoneGateway();
  try {
    await story(lone);
  } finally {
    lone.delay.ms = 0;
    await lone.stop();
  }
}

test('H13 a gateway that is late sends away those first who have not been let in yet, then everybody, and is ready again', async () => {
  await withGateway(async (lone) => {
    const known = lone.client('one');
    assert.equal((await known.get(PODS)).status, 200);
    lone.delay.ms = 300;
    const stranger = await lone.client('two').get(PODS);
    assert.equal(stranger.status, 503);
    assert.equal(stranger.headers['retry-after'], '1');
    assert.equal(JSON.parse(stranger.text).kind, 'Status');
    assert.match(stranger.text, /asked more than it can answer/);
    assert.equal((await known.get(PODS)).status, 200);
    assert.equal(lone.status(), 'ok');
    lone.delay.ms = 1_000;
    assert.equal((await known.get(PODS)).status, 503);
    assert.equal(lone.status(), 'busy');
    const { health_url } = lone;
    assert.equal((await fetch(`${health_url}/readyz`)).status, 503);
    lone.delay.ms = 0;
    assert.equal((await lone.client('two').get(PODS)).status, 200);
    assert.equal(lone.status(), 'ok');
  });
});

test('H13 upgrades are sent away too, and a stream that is open goes on until its session ends', async () => {
  await withGateway(async (lone) => {
    const watch = await lone.client('one').watch(WATCH);
    const exec = await lone.client('one').exec('shell');
    lone.delay.ms = 5_000;
    assert.equal((await lone.client('two').exec('shell')).status, 503);
    assert.equal(watch.closed || exec.closed, false);
    lone.broker.tell({ type: 'end', sid: 'one', reason: 'logout', since: lone.broker.now() });
    await until(() => watch.closed && exec.closed, 'ends wait for a gateway that is late');
  });
});

test('nobody is sent away while it is in time', () => {
  assert.deepEqual(
    [0, 249, 250, 999, 1_000].map((ms) => [sendsAway(ms, false), sendsAway(ms, true)]),
    [
      [false, false],
      [false, false],
      [true, false],
      [true, false],
      [true, true],
    ],
  );
});
