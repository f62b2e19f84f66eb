// Streams that come and go at a gateway for long, and sessions that end meanwhile: what it takes of the machine comes back. Prints what it
// saw. Gateway and broker are processes.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { isLong } from '../counts.ts';
import { chanceOf } from '../support/chance.ts';
import { type GatewayBetween, type Logged, makeGatewayBetween } from '../support/gateway_between.ts';
import { heapOf } from '../support/heap.ts';
import { type LoneBroker, makeLoneBroker } from '../support/lone_broker.ts';
import { until } from '../support/patience.ts';

const SECONDS = Number(process.env.SOAK_SECONDS ?? (isLong ? 1_800 : 8));
const [STREAMS, PEOPLE] = isLong ? [300, 30] : [60, 6];
/** Milliseconds that a stream is held at most, and between two ends of sessions. */
const [LONGEST, BETWEEN] = isLong ? [20_000, 1_000] : [2_000, 400];
/** MiB that may be held at the end and were not after a tenth of the time, by the heap and in all; and how many descriptors. */
const [HELD, GROWTH, DESCRIPTORS] = [16, 96, 16];
const WATCH = '/api/v1/namespaces/dev/pods?watch=1';

let lone: LoneBroker;
let between: GatewayBetween;

before(async () => {
  between = await makeGatewayBetween(() => lone.url);
  lone = await makeLoneBroker({ name: 'gateway-soak', sections: between.sections });
  await between.prepare(lone.folder);
  await lone.start();
  await between.startGateway();
  between.api.flood_ms = 100;
});
after(async () => {
  await between?.stop();
  await lone?.remove();
});

interface Seen {
  readonly rss: number;
  readonly descriptors: number;
  /** 0 where it is not looked at. */
  readonly heap: number;
}

/** MiB */
async function seen(): Promise<Seen> {
  const { pid } = between.gateway;
  // The inspector has one port on a machine: tests beside this one may look as well.
  const heap = isLong ? Math.round((await heapOf(pid)) / 1024 / 1024) : 0;
  const rss = Math.round(Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024);
  return { heap, rss, descriptors: readdirSync(`/proc/${pid}/fd`).length };
}

/** For so many seconds; all is closed afterwards. @param say takes a line now and then */
async function soak(seconds: number, say: (line: string) => void) {
  const { api, gateway } = between;
  const chance = chanceOf('gateway_soak');
  const counts = { opened: 0, cut: 0, refused: 0, sent_away: 0, ends: 0 };
  const end = performance.now() + seconds * 1_000;
  const isOver = () => performance.now() >= end;
  const people: Logged[] = [];
  let logins = 0;
  const logIn = () => between.logIn(lone.issuer, `p-${process.pid}-${seconds}-${++logins}`);
  for (let i = 0; i < PEOPLE; i += 1) people.push(await logIn());
  const ending = (async () => {
    for (let i = 0; !isOver(); i = (i + 1) % PEOPLE) {
      await sleep(BETWEEN);
      const before = people[i];
      people[i] = await logIn();
      await before?.logOut();
      counts.ends += 1;
      // What it has open is to be cut by the gateway, not by us.
      if (before) setTimeout(() => before.client.close(), 5_000).unref();
    }
  })();
  const sit = async (seat: number) => {
    while (!isOver()) {
      const client = people[chance.below(PEOPLE)]?.client;
      if (!client) throw new Error('nobody');
      const stream = seat % 2 === 0 ? await client.watch(WATCH) : await client.exec(`pod-${seat}`);
      if (stream.status >= 400) {
        assert.ok([401, 503].includes(stream.status), String(stream.status));
        if (stream.status === 401) counts.refused += 1;
        else {
          // On a busy machine the broker may be lost for a moment.
          counts.sent_away += 1;
          await sleep(500);
        }
        continue;
      }
      counts.opened += 1;
      const until_at = Math.min(end, performance.now() + chance.below(LONGEST));
      while (!stream.closed && performance.now() < until_at) {
        await sleep(100);
        stream.send('key');
      }
      if (stream.closed) counts.cut += 1;
      stream.close();
    }
  };
  const seats = Array.from({ length: STREAMS }, (_, seat) => sit(seat));
  const watching = (async () => {
    for (let tenth = 1; tenth <= 10; tenth += 1) {
      await sleep((seconds * 1_000) / 10);
      const status = readFileSync(`/proc/${gateway.pid}/status`, 'utf8');
      say(`${api.open} open, RSS ${Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024)} MiB`);
    }
  })();
  await Promise.all([ending, watching, ...seats]);
  for (const { client } of people) client.close();
  await until(() => api.open === 0, 'something is open at the API server');
  const open = async () =>
    [...(await gateway.metrics()).matchAll(/^curfew_gateway_(?:streams\{.*\}|events_waiting) (\d+)/gm)].map(Number);
  await until(async () => (await open()).every((count) => !(count > 0)), 'something is open, or waits to be told');
  return counts;
}

test(`I5 ${STREAMS} streams that come and go for ${SECONDS} s, and sessions that end meanwhile: memory and descriptors come back`, async (t) => {
  await soak(SECONDS / 10, () => undefined);
  const base = await seen();
  const counts = await soak((SECONDS * 9) / 10, (line) => t.diagnostic(line));
  await sleep(2_000);
  const end = await seen();
  t.diagnostic(`${counts.opened} streams opened, ${counts.ends} sessions ended, ${counts.cut} streams cut by that`);
  t.diagnostic(`${counts.refused} asked after the end, ${counts.sent_away} sent away with 503`);
  t.diagnostic(`heap ${base.heap}, then ${end.heap} MiB; RSS ${base.rss}, then ${end.rss} MiB`);
  t.diagnostic(`descriptors ${base.descriptors}, then ${end.descriptors}`);
  assert.ok(counts.opened > STREAMS && counts.ends > 1 && counts.cut > 0, JSON.stringify(counts));
  assert.ok(end.descriptors <= base.descriptors + DESCRIPTORS, `descriptors: ${end.descriptors}`);
  assert.ok(end.heap - base.heap < HELD, `what is held grows: ${base.heap}, then ${end.heap} MiB`);
  assert.ok(end.rss - base.rss < GROWTH, `RSS grows: ${base.rss}, then ${end.rss} MiB`);
});
