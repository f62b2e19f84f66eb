// What gateways are told, as it happens: ends of sessions, and what makes their leases void. Nothing is missed after a place that was told.

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createClusterApis } from '../../broker/api_servers/apis.ts';
import { accept } from '../../broker/commands/administration_commands.ts';
import { loadConfig } from '../../broker/config/load.ts';
import { askLeases, type Feed, GATEWAY_CLUSTERS, leaseIn, openFeed } from '../support/gateway.ts';
import { until } from '../support/patience.ts';
import { scrape } from '../support/scrape.ts';
import { startTestService, TEST_POLICY, type TestService } from '../support/service.ts';
import { openStoreDatabase } from '../support/store_database.ts';

const ON_CALL = { name: 'on-call', when: '"on-call" in user.groups', limits: { inactivity_timeout: '20m' } };
const [DEV, PROD] = GATEWAY_CLUSTERS;

let service: TestService;
const feeds: Feed[] = [];
let people = 0;

before(async () => {
  service = await startTestService({ clusters: GATEWAY_CLUSTERS, metrics: { address: '127.0.0.1', port: 0 } });
});
after(() => service.stop());
beforeEach(() => service.advance(60));
afterEach(async () => {
  await Promise.all(feeds.splice(0).map((feed) => feed.close()));
});

async function open(cluster = 'dev', after?: string): Promise<Feed> {
  const feed = await openFeed(service.url, service.gateway_tokens[cluster], after);
  feeds.push(feed);
  return feed;
}
async function login(more: Readonly<Record<string, unknown>> = {}, holder = service.holder()) {
  people += 1;
  const who = { sub: `p-${people}`, email: `p-${people}@example.com`, ...more };
  const { session, refresh_token: handle = '' } = (await service.login(holder, who)).granted;
  return { holder, handle, sid: session.sid, who };
}
const told = (feed: Feed) => feed.of('end').map(({ sid }) => sid);
const tells = (feed: Feed, sid: string) => until(() => told(feed).includes(sid), 'the end is not told');
const ready = async () => (await fetch(`${service.url}/readyz`)).status;

describe('the feed', () => {
  test('tells of an end, with its reason and since when, and begins with what comes next', async () => {
    const one = await login();
    await one.holder.revoke(one.handle);
    const feed = await open();
    const two = await login();
    await two.holder.revoke(two.handle);
    await tells(feed, two.sid);
    const [end, ...more] = feed.of('end');
    assert.deepEqual(more, []);
    assert.deepEqual(
      { ...end, place: '' },
      { type: 'end', place: '', sid: two.sid, reason: 'logout', since: service.now },
    );
    assert.equal(feed.lines[0]?.type, 'heartbeat', 'it opens with its place');
  });

  test('is counted while it is open, and for clusters that have a gateway alone', async () => {
    const count = async (cluster: string) =>
      (await scrape(service.metrics_url)).value('curfew_gateway_feeds', { cluster });
    await until(async () => (await count('dev')) === 0, 'the last ones are still counted');
    const [one] = [await open(), await open()];
    assert.deepEqual([await count('dev'), await count('prod-eu')], [2, 0]);
    await one.close();
    await until(async () => (await count('dev')) === 1, 'it is still counted');
    const { gateway: _, ...direct } = PROD as { gateway: object };
    await service.reload({ clusters: [DEV, direct] });
    assert.deepEqual([await count('dev'), await count('prod-eu')], [1, undefined]);
    await service.reload();
  });

  test('has a line a second where nothing happens', async () => {
    const feed = await open();
    await until(() => feed.beats >= 3, 'it is silent');
    assert.equal(feed.lines.filter(({ type }) => type !== 'heartbeat').length, 0);
  });

  test('G2 says no more that nothing was missed while the store does not say so; it heals by itself', async () => {
    const feed = await open();
    await until(() => feed.beats >= 1, 'it is silent');
    const rename = (from: string, to: string) => {
      using database = openStoreDatabase(service.storeFile);
      database.exec(`alter table ${from} rename to ${to}`);
    };
    rename('feed_head', 'feed_head_away');
    try {
      let seen = feed.beats;
      // Of the last look but one it may still be said.
      for (let quiet = 0; quiet < 3; seen = feed.beats) {
        await sleep(1_100);
        quiet = feed.beats === seen ? quiet + 1 : 0;
      }
    } finally {
      rename('feed_head_away', 'feed_head');
    }
    const { beats } = feed;
    await until(() => feed.beats > beats, 'it does not heal');
    const { holder, handle, sid } = await login();
    await holder.revoke(handle);
    await tells(feed, sid);
  });

  test('names the session that goes on where the same person has logged in again, and none for another person', async () => {
    const feed = await open();
    const first = await login();
    service.advance(5);
    const again = await login(first.who, first.holder);
    await tells(feed, first.sid);
    assert.equal(feed.of('end')[0]?.replaced_by, again.sid);
    const lease = await askLeases(service.url, service.gateway_tokens.dev, { asks: [{ sid: first.sid, targets: [] }] });
    assert.equal(leaseIn(lease).judged_sid, again.sid);
    service.advance(5);
    await login({}, first.holder);
    await tells(feed, again.sid);
    const [, end] = feed.of('end');
    assert.deepEqual([end?.reason, end?.replaced_by], ['replaced', undefined]);
  });

  test('G4 tells a gateway of sessions that its own cluster admits, and of no others', async () => {
    const [dev, prod] = [await open('dev'), await open('prod-eu')];
    const [narrow, wide] = [await login({ groups: ['dev'] }), await login()];
    await narrow.holder.revoke(narrow.handle);
    await wide.holder.revoke(wide.handle);
    await Promise.all([tells(dev, wide.sid), tells(prod, wide.sid)]);
    assert.deepEqual(told(dev), [narrow.sid, wide.sid]);
    assert.deepEqual(told(prod), [wide.sid]);
  });

  test('R2 misses nothing when it is taken up again, however often: each end once, in their order', async () => {
    const sessions = [];
    for (let i = 0; i < 30; i++) sessions.push(await login());
    let feed = await open();
    const seen: string[] = [];
    const ending = (async () => {
      for (const { holder, handle } of sessions) await holder.revoke(handle);
    })();
    while (seen.length < sessions.length) {
      const { length } = seen;
      await until(() => told(feed).length > 0, `nothing after ${length}`);
      await feed.close();
      seen.push(...told(feed));
      feed = await open('dev', feed.place);
      assert.deepEqual(feed.of('reset'), []);
    }
    await ending;
    assert.deepEqual(
      seen,
      sessions.map(({ sid }) => sid),
    );
  });

  test('R2 tells all that came while nobody listened, however much, without waiting between', async () => {
    const { place } = await open();
    const { sid } = await login();
    {
      using database = openStoreDatabase(service.storeFile);
      const data = JSON.stringify({ reason: 'logout', since: service.now });
      // In one transaction, as ends are told: head and changes are of one moment.
      database.exec(`begin;
        with recursive n (i) as (select 1 union all select i + 1 from n where i < 3000)
        insert into feed (seq, at, kind, sid, data)
          select (select seq from feed_head) + i, ${service.now}, 'end', '${sid}', '${data}' from n;
        update feed_head set seq = seq + 3000;
        commit`);
    }
    const feed = await open('dev', place);
    await until(() => feed.of('end').length === 3_000, 'some are missing');
    assert.deepEqual([feed.beats <= 3, feed.of('reset').length], [true, 0]);
  });

  test('R2 tells after a restart what happened before it', async () => {
    const { holder, handle, sid } = await login();
    const { place } = await open();
    await holder.revoke(handle);
    await service.restart();
    const feed = await open('dev', place);
    await tells(feed, sid);
    assert.deepEqual(feed.of('reset'), []);
  });

  test('says that all is to be asked again where changes were forgotten, or a place is none of ours', async () => {
    const before = await open();
    const { holder, handle } = await login();
    await holder.revoke(handle);
    {
      using database = openStoreDatabase(service.storeFile);
      await until(() => told(before).length === 1, 'the end is not told');
      database.exec('update feed_head set forgotten = seq');
      database.exec('delete from feed');
    }
    const old = before.lines[0]?.place ?? '';
    for (const place of [old, 'x', '9'.repeat(15), `${'9'.repeat(15)}.${'A'.repeat(11)}.${'A'.repeat(22)}`]) {
      const feed = await open('dev', place);
      assert.deepEqual(
        feed.lines.map(({ type }) => type),
        ['reset'],
        place,
      );
      const next = await open('dev', feed.place);
      assert.deepEqual(
        next.lines.map(({ type }) => type),
        ['heartbeat'],
        'from there on nothing is missing',
      );
    }
    assert.equal(await ready(), 200, 'nobody stops a broker by making a place up');
  });

  test('tells of sessions to which less may be allowed: groups that are fewer, rules that hold now', async () => {
    const clusters = { clusters: GATEWAY_CLUSTERS };
    await service.reload({ ...clusters, policy: { ...TEST_POLICY, rules: [ON_CALL] } });
    const feed = await open('prod-eu');
    const { holder, handle, sid, who } = await login();
    service.advance(10);
    const claims = { ...service.claims(holder, { ...who, groups: ['sre', 'on-call'] }), auth_time: service.now - 10 };
    const id_token = service.issuer.sign({ ...claims, nonce: undefined });
    assert.ok((await holder.renew(handle, 'dev', { id_token })).granted);
    await until(() => feed.of('lowered').length > 0, 'it is not told');
    assert.ok(feed.of('lowered').every((line) => line.sid === sid));
    const lease = await askLeases(service.url, service.gateway_tokens.dev, { asks: [{ sid, targets: [{}] }] });
    assert.equal(leaseIn(lease).limits[0]?.session.inactivity_timeout, 1200);

    const lost = { ...claims, iat: service.now + 1, groups: ['dev'], nonce: undefined };
    service.advance(1);
    const count = feed.of('lowered').length;
    assert.ok((await holder.renew(handle, 'dev', { id_token: service.issuer.sign(lost) })).granted);
    await until(() => feed.of('lowered').length > count, 'who admits them no more is not told');
    await service.reload();
  });

  test('tells of a reload, and ends for a gateway whose token was replaced', async () => {
    const feed = await open('prod-eu');
    await service.reload({ clusters: [{ ...DEV, allowed_groups: ['dev'] }, PROD] });
    await until(() => feed.of('reload').length > 0, 'the reload is not told');
    assert.equal(feed.ended, false);
    const file = path.join(path.dirname(service.configFile), 'other-gateway');
    await writeFile(file, Buffer.alloc(32, 1).toString('base64'), { mode: 0o600 });
    const gateway = { url: 'https://prod.example.com', token_file: 'other-gateway' };
    await service.reload({ clusters: [DEV, { ...PROD, gateway }] });
    await until(() => feed.ended, 'it goes on with a token that is no longer good');
    await service.reload();
  });

  test('S22 all that was is over: each key is revoked, and all is to be asked again, also by who was away', async () => {
    const [feed, away] = [await open(), await open()];
    const { sid } = await login();
    await until(() => away.place !== '', 'no place');
    await away.close();
    const jwks = (await (await fetch(`${service.url}/jwks`)).json()) as { keys: { kid: string }[] };
    const apis = createClusterApis();
    const quiet = { info: () => undefined, warn: () => undefined, error: () => undefined };
    const config = await loadConfig(service.configFile, { env: process.env });
    await accept('store accept', config, { now: () => service.now, by: 'root', apis, log: quiet });
    await apis.close();
    await until(() => feed.of('reset').length === 1, 'it goes on as if nothing had happened');
    assert.deepEqual(
      feed.of('key_revoked').map(({ kid }) => kid),
      jwks.keys.map(({ kid }) => kid),
    );
    assert.ok(told(feed).includes(sid));
    const again = await open('dev', away.place);
    assert.deepEqual(
      again.lines.map(({ type }) => type),
      ['reset'],
    );
    service.advance(5);
    const next = await login();
    await next.holder.revoke(next.handle);
    await tells(again, next.sid);
  });

  test('H7 has a bounded number of listeners: one more takes the place of the oldest', async () => {
    const first = await open();
    for (let i = 0; i < 64; i++) await open();
    await until(() => first.ended, 'there are more and more');
    assert.equal(feeds.filter(({ ended }) => ended).length, 1);
  });

  test('is for gateways alone, and a place has a bound', async () => {
    const head = { method: 'HEAD', headers: { authorization: `Bearer ${service.gateway_tokens.dev}` } };
    assert.equal((await fetch(`${service.url}/v1/gateway/ends`, head)).status, 404);
    const status = async (query: string, token: string | undefined) => {
      const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
      const response = await fetch(`${service.url}/v1/gateway/ends${query}`, { headers });
      await response.body?.cancel();
      return response.status;
    };
    assert.equal(await status('', undefined), 401);
    assert.equal(await status('', service.webhook_tokens.dev), 401);
    for (const query of ['?after=', `?after=${'1'.repeat(257)}`, '?after=1&after=2'])
      assert.equal(await status(query, service.gateway_tokens.dev), 400, query);
  });

  test('F3 ends when the broker stops, which waits for nobody', async () => {
    const feed = await open();
    await service.restart();
    await until(() => feed.ended, 'it is still open');
    const again = await open('dev', feed.place);
    assert.deepEqual(again.of('reset'), []);
  });
});

for (const [what, extra] of [
  ['is ahead of the store', false],
  ['the store has given again', true],
] as const) {
  test(`R4 a place that ${what} says that it was put back: it is used no more`, async () => {
    const own = await startTestService({ clusters: GATEWAY_CLUSTERS });
    try {
      const holder = own.holder();
      const { refresh_token: handle = '' } = (await own.login(holder)).granted;
      const feed = await openFeed(own.url, own.gateway_tokens.dev);
      feeds.push(feed);
      await holder.revoke(handle);
      await until(() => told(feed).length === 1, 'the end is not told');
      await own.halt();
      {
        using database = openStoreDatabase(own.storeFile);
        // A start has a number of its own, which may be that of the end.
        const back = extra ? 1 : 2;
        database.exec(`delete from feed where seq > (select seq from feed_head) - ${back}`);
        database.exec(`update feed_head set seq = seq - ${back}`);
      }
      await own.restart();
      assert.equal((await fetch(`${own.url}/readyz`)).status, 200);
      const again = await openFeed(own.url, own.gateway_tokens.dev, feed.place);
      feeds.push(again);
      await until(() => again.ended, 'it goes on');
      assert.deepEqual(
        again.lines.map(({ type }) => type),
        ['reset'],
      );
      const readyz = await fetch(`${own.url}/readyz`);
      assert.deepEqual([readyz.status, await readyz.json()], [503, { status: 'store' }]);
      assert.equal((await own.login(own.holder())).status, 503);
    } finally {
      await own.stop();
    }
  });
}
