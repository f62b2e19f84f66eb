// Very many watches through one gateway (G6): all are open, others are answered, an end cuts those of its session and no other, and what they
// took of the machine comes back. Gateway and broker are processes. Prints what it saw.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../cluster/ports.ts';
import { isLong } from '../counts.ts';
import { type GatewayBetween, type Logged, makeGatewayBetween } from '../support/gateway_between.ts';
import { heapOf, inspectedAt } from '../support/heap.ts';
import { type LoneBroker, makeLoneBroker } from '../support/lone_broker.ts';
import { PATIENCE_MS, until } from '../support/patience.ts';

/** On one connection each. */
const OF_A_PERSON = 200;
const WATCHES = isLong ? 10_000 : 400;
const PEOPLE = WATCHES / OF_A_PERSON;
/** KiB that a watch may take of the heap while it is open; MiB that all of them may leave behind. */
const [EACH, LEFT] = [64, 24];
const WATCH = '/api/v1/namespaces/dev/pods?watch=1';

let lone: LoneBroker;
let between: GatewayBetween;
let inspector: number;

before(async () => {
  between = await makeGatewayBetween(() => lone.url);
  lone = await makeLoneBroker({ name: 'many-watches', sections: between.sections });
  await between.prepare(lone.folder);
  await lone.start();
  inspector = await freePort();
  await between.startGateway({}, inspectedAt(inspector));
});
after(async () => {
  await between?.stop();
  await lone?.remove();
});

/** MiB that are held after a collection, and in all; descriptors. */
async function held() {
  const { pid } = between.gateway;
  const heap = Math.round((await heapOf(pid, inspector)) / 1024 / 1024);
  const rss = Math.round(Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024);
  return { heap, rss, descriptors: readdirSync(`/proc/${pid}/fd`).length };
}

/** On a busy machine a gateway may say that it has more to do than it can, and when to come again. */
async function watch({ client }: Logged) {
  for (const end = performance.now() + PATIENCE_MS; ; ) {
    const stream = await client.watch(WATCH);
    if (stream.status !== 503 || performance.now() > end) {
      assert.equal(stream.status, 200);
      return stream;
    }
    await sleep(200);
  }
}

test(`G6 ${WATCHES} watches: all are open, others are answered, an end cuts its own alone, and memory and descriptors come back (I5)`, async (context) => {
  const base = await held();
  const people: { readonly who: Logged; readonly streams: Awaited<ReturnType<typeof watch>>[] }[] = [];
  for (let n = 0; n < PEOPLE; n += 1) {
    const who = await between.logIn(lone.issuer, `watcher-${n}`);
    people.push({ who, streams: await Promise.all(Array.from({ length: OF_A_PERSON }, () => watch(who))) });
  }
  await until(() => between.api.open === WATCHES, `${between.api.open} are open at the API server`);
  const most = await held();
  context.diagnostic(`${WATCHES} watches: ${JSON.stringify(base)} before, ${JSON.stringify(most)} while they are open`);
  assert.ok((most.heap - base.heap) * 1024 < WATCHES * EACH + LEFT * 1024, `${most.heap - base.heap} MiB`);

  const other = await between.logIn(lone.issuer, 'other');
  assert.equal((await other.client.get('/api/v1/namespaces/dev/pods')).status, 200);
  const [first, ...rest] = people;
  await first?.who.logOut();
  await until(
    () => first?.streams.every(({ closed }) => closed) === true,
    'a watch is open after the end of its session',
  );
  assert.ok(
    rest.every(({ streams }) => streams.every(({ closed }) => !closed)),
    'a watch of somebody else is cut',
  );

  for (const { who } of people) who.client.close();
  other.client.close();
  await until(() => between.api.open === 0, 'a watch is open at the API server');
  await until(async () => (await held()).descriptors <= base.descriptors + 16, 'descriptors do not come back');
  await until(async () => (await held()).heap <= base.heap + LEFT, `${(await held()).heap} MiB are held afterwards`);
  context.diagnostic(`${JSON.stringify(await held())} afterwards`);
});
