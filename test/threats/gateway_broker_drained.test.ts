// A gateway at two brokers on one database of PostgreSQL, behind a load balancer: one is drained after the other, and killed, and nobody
// notices. All of them are processes.

import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Balancer, startBalancer } from '../support/balancer.ts';
import { type Brokers, makeBrokers } from '../support/brokers.ts';
import { type GatewayBetween, type Logged, makeGatewayBetween } from '../support/gateway_between.ts';
import type { ClientStream } from '../support/gateway_client.ts';
import { until } from '../support/patience.ts';
import { type Postgres, startPostgres } from '../support/postgres.ts';

const PODS = '/api/v1/namespaces/dev/pods';

let server: Postgres;
let brokers: Brokers;
let balancer: Balancer;
let between: GatewayBetween;
let people = 0;

before(async () => {
  server = await startPostgres();
  between = await makeGatewayBetween(() => balancer.url);
  const database = await server.createDatabase('gateways');
  brokers = await makeBrokers({ database, count: 2, sections: between.sections });
  for (const { configFile } of brokers.replicas) await between.prepare(path.dirname(configFile));
  for (const replica of brokers.replicas) await replica.start();
  balancer = await startBalancer(brokers.urls);
  await until(() => balancer.ready.length === 2, 'not both are ready');
  await between.startGateway();
});
after(async () => {
  await between?.stop();
  await balancer?.stop();
  await brokers?.remove();
  await server?.stop();
});

const logIn = () => between.logIn(brokers.issuer, `p-${++people}`);
const open = async ({ client }: Logged) => [await client.watch(`${PODS}?watch=1`), await client.exec(`pod-${people}`)];
async function assertCut(streams: readonly ClientStream[]): Promise<void> {
  await until(() => streams.every(({ closed }) => closed), 'some go on');
  for (const { text } of streams) assert.match(text, /curfew: session is over: logged out/);
}

describe('G13 two brokers', () => {
  for (const how of ['stop', 'kill'] as const) {
    test(`of which one goes (${how}), and then the other: requests pass, streams go on, ends are told`, async () => {
      const one = await logIn();
      const theirs = await open(one);
      const state = { over: false, asked: 0, failed: [] as string[] };
      const asking = (async () => {
        for (; !state.over; state.asked += 1) {
          const { status, text } = await one.client.get(PODS);
          if (status !== 200) state.failed.push(text);
          await sleep(20);
        }
      })();
      try {
        for (const replica of brokers.replicas) {
          const other = await logIn();
          const streams = await open(other);
          await replica[how]();
          await until(() => balancer.ready.length === 1, 'it counts as ready');
          await other.logOut();
          await assertCut(streams);
          await replica.start();
          await until(() => balancer.ready.length === 2, 'it is not ready again');
        }
      } finally {
        state.over = true;
        await asking;
      }
      assert.deepEqual(state.failed, []);
      assert.ok(state.asked > 10);
      assert.ok(
        theirs.every(({ closed }) => !closed),
        'something of somebody else was cut',
      );
      for (const stream of theirs) stream.close();
    });
  }
});
