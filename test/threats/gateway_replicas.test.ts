// What gateways are told, and tell, where two brokers share one database.

import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { askLeases, type Feed, GATEWAY_CLUSTERS, leaseIn, openFeed, tellEvents } from '../support/gateway.ts';
import { Holder } from '../support/holder.ts';
import { until } from '../support/patience.ts';
import { startTestService, type TestService } from '../support/service.ts';
import { sessionRow } from '../support/store_row.ts';

let service: TestService;
let second: { readonly issuer: string; readonly url: string };
let people = 0;

before(async () => {
  service = await startTestService({ clusters: GATEWAY_CLUSTERS }, { postgres: true });
  second = await service.replica();
});
after(() => service?.stop());
beforeEach(() => service.advance(60));

async function login(holder = service.holder()) {
  people += 1;
  const who = { sub: `p-${people}`, email: `p-${people}@example.com` };
  const { session, refresh_token: handle = '' } = (await service.login(holder, who)).granted;
  return { holder, handle, sid: session.sid };
}
const open = (url: string, place?: string) => openFeed(url, service.gateway_tokens.dev, place);
const told = (feed: Feed) => feed.of('end').map(({ sid }) => sid);
const tells = (feed: Feed, sid: string) => until(() => told(feed).includes(sid), 'the end is not told');

test('R1 an end at one broker is told by another, and a place of one is good at the other', async () => {
  const [here, there] = [await open(service.url), await open(second.url)];
  const one = await login();
  await one.holder.revoke(one.handle);
  await Promise.all([tells(here, one.sid), tells(there, one.sid)]);
  await there.close();
  const next = await login(new Holder(second, () => service.now));
  await next.holder.revoke(next.handle);
  const again = await open(service.url, there.place);
  await tells(again, next.sid);
  assert.deepEqual([again.of('reset'), told(again)], [[], [next.sid]]);
  await Promise.all([here.close(), again.close()]);
});

test('R1 a use that is told to one broker moves no session that was ended at another', async () => {
  const ask = (question: Parameters<typeof askLeases>[2]) =>
    askLeases(second.url, service.gateway_tokens.dev, question);
  const stored = (sid: string) => {
    const { last_used, ended_at } = sessionRow(service.storeFile, sid);
    return { last_used: Number(last_used), ended: ended_at !== null };
  };
  for (let i = 0; i < 10; i++) {
    const { holder, handle, sid } = await login();
    service.advance(2);
    const before = stored(sid).last_used;
    const uses = [{ sid, age_ms: 0 }];
    const [ended] = await Promise.all([holder.revoke(handle), ...Array.from({ length: 4 }, () => ask({ uses }))]);
    assert.equal(ended.status, 200);
    const { last_used } = stored(sid);
    assert.ok(last_used === before || last_used === service.now, `${before} ${last_used} ${service.now}`);
    service.advance(1);
    await Promise.all([ask({ uses }), ask({ uses })]);
    assert.deepEqual(stored(sid), { last_used, ended: true });
    const reply = await ask({ asks: [{ sid, targets: [] }] });
    assert.equal(leaseIn(reply).facts.ended?.reason, 'logout', 'which is known there from the answer on');
  }
});

test('R3 events of streams that are told to two brokers at once are recorded once', async () => {
  const { sid } = await login();
  const events = Array.from({ length: 50 }, (_, i) => ({
    ...{ type: 'opened', age_ms: 0, stream: `s-${i + 1}`, sid, kind: 'exec' },
    ...{ namespace: 'shop', resource: 'pods/exec', name: 'web-0' },
  }));
  const tell = (url: string) =>
    tellEvents(url, service.gateway_tokens.dev, { instance: 'gateway-1', first: 1, events });
  assert.deepEqual(await Promise.all([tell(service.url), tell(second.url)]), [50, 50]);
  assert.equal(service.audit.filter(({ event }) => event === 'stream').length, 50);
});
