// What gateways tell of streams: each event is one row of the audit log, however often it is sent.

import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import type { AuditEvent } from '../../broker/audit_log/events.ts';
import { verifyAuditLog } from '../../broker/commands/audit_verify.ts';
import { loadConfig } from '../../broker/config/load.ts';
import { MOST_EVENTS } from '../../shared/gateway_events.ts';
import { GATEWAY_CLUSTERS, tellEvents } from '../support/gateway.ts';
import { post } from '../support/review.ts';
import { scrape } from '../support/scrape.ts';
import { startTestService, type TestService } from '../support/service.ts';
import { openStoreDatabase } from '../support/store_database.ts';

const [DEV, PROD] = GATEWAY_CLUSTERS;
const METRICS = { address: '127.0.0.1', port: 0 };

let service: TestService;
let sid: string;
let instances = 0;
let instance: string;

before(async () => {
  service = await startTestService({ clusters: GATEWAY_CLUSTERS, metrics: METRICS });
});
after(() => service.stop());
beforeEach(async () => {
  service.advance(3600);
  ({ sid } = (await service.login(service.holder())).granted.session);
  instances += 1;
  instance = `gateway-${instances}`;
});

const tell = (first: number, events: readonly object[], more: { cluster?: string } = {}) =>
  tellEvents(service.url, service.gateway_tokens[more.cluster ?? 'dev'], { instance, first, events });
const stream = (n: number, more: object = {}) => ({
  ...{ type: 'opened', age_ms: 0, stream: `s-${n}`, sid, kind: 'exec' },
  ...{ namespace: 'shop', resource: 'pods/exec', name: 'web-0', ...more },
});
const SUM = { seconds: 12, bytes_sent: 34, bytes_received: 5_600_000_000 };
const isOfStreams = ({ event }: AuditEvent) => event.startsWith('stream');
const rows = () => service.audit.filter((row) => isOfStreams(row) && 'gateway' in row && row.gateway === instance);

describe('events of streams', () => {
  test('are rows with the person, the pod, how long, how much, why, and when it was', async () => {
    const events = [
      stream(1, { age_ms: 3_999 }),
      stream(1, { type: 'closed', age_ms: 1_000, ...SUM }),
      stream(2, { type: 'cut', ...SUM, reason: 'logout' }),
      { type: 'lost', age_ms: 0, count: 7 },
    ];
    assert.equal(await tell(1, events), 4);
    const who = { sid, iss: service.issuer.issuer, sub: 'alice-sub', username: 'curfew:alice@example.com' };
    const what = { kind: 'exec', namespace: 'shop', resource: 'pods/exec', name: 'web-0' };
    const about = { cluster: 'dev', gateway: instance };
    assert.deepEqual(JSON.parse(JSON.stringify(rows())), [
      {
        event: 'stream',
        step: 'opened',
        at: service.now,
        happened_at: service.now - 3,
        ...who,
        ...about,
        stream: 's-1',
        ...what,
      },
      {
        event: 'stream',
        step: 'closed',
        at: service.now,
        happened_at: service.now - 1,
        ...who,
        ...about,
        stream: 's-1',
        ...what,
        ...SUM,
      },
      {
        event: 'stream',
        step: 'cut',
        at: service.now,
        happened_at: service.now,
        ...who,
        ...about,
        stream: 's-2',
        ...what,
        ...SUM,
        reason: 'logout',
      },
      { event: 'streams_lost', at: service.now, ...about, count: 7 },
    ]);
    const figures = await scrape(service.metrics_url);
    for (const [step, count] of [
      ['opened', 1],
      ['closed', 1],
      ['cut', 1],
    ] as const)
      assert.equal(figures.value('curfew_streams_total', { cluster: 'dev', kind: 'exec', step }), count, step);
    assert.equal(figures.value('curfew_streams_lost_total', { cluster: 'dev' }), 7);
  });

  test('are recorded once, however often and in whatever pieces they are sent', async () => {
    const all = Array.from({ length: 6 }, (_, i) => stream(i + 1));
    assert.equal(await tell(1, all.slice(0, 3)), 3);
    assert.equal(await tell(1, all.slice(0, 3)), 3, 'the reply was lost');
    assert.equal(await tell(2, all.slice(1, 5)), 5, 'the rest with it');
    assert.equal(await tell(1, all.slice(0, 2)), 5, 'late');
    const replies = await Promise.all([tell(1, all), tell(1, all), tell(4, all.slice(3))]);
    assert.deepEqual(replies, [6, 6, 6]);
    assert.equal(await tell(7, []), 6);
    await service.restart();
    assert.equal(await tell(1, all), 6, 'after a restart');
    assert.deepEqual(
      rows().map((row) => 'stream' in row && row.stream),
      ['s-1', 's-2', 's-3', 's-4', 's-5', 's-6'],
    );
    assert.ok((await verifyAuditLog(await loadConfig(service.configFile, { env: process.env }))).exit === 0);
  });

  test('of each process of a gateway, and of each cluster, are counted apart', async () => {
    assert.equal(await tell(1, [stream(1)]), 1);
    assert.equal(await tell(1, [stream(1)], { cluster: 'prod-eu' }), 1);
    assert.equal(rows().length, 2);
  });

  test('of kinds that are not recorded are acknowledged and leave nothing', async () => {
    const kinds = ['watch', 'log', 'proxy', 'exec'].map((kind, i) => stream(i, { kind }));
    assert.equal(await tell(1, kinds), 4);
    assert.equal(rows().length, 1);
    await service.reload({ clusters: [{ ...DEV, gateway: { ...DEV?.gateway, record: ['watch'] } }, PROD] });
    assert.equal(await tell(5, kinds), 8);
    assert.deepEqual(
      rows().map((row) => 'kind' in row && row.kind),
      ['exec', 'watch'],
    );
    await service.reload();
  });

  test('of a session that is not known have a row that names nobody', async () => {
    await tell(1, [stream(1, { sid: 'no-such-session' })]);
    const [row] = rows();
    assert.deepEqual([row?.sid, row?.sub, row?.username], ['no-such-session', undefined, undefined]);
  });

  test('I2 are not acknowledged before they are on disk', async () => {
    using database = openStoreDatabase(service.storeFile);
    const allow = database.refuse('insert on gateway_place');
    const { status } = await post(`${service.url}/v1/gateway/events`, service.gateway_tokens.dev, {
      ...{ instance, first: 1, events: [stream(1)] },
    });
    allow();
    assert.equal(status, 503);
    assert.deepEqual(rows(), []);
    assert.equal(await tell(1, [stream(1)]), 1);
    assert.equal(rows().length, 1);
  });

  test('G6 that cannot be read, or are too many, are refused; a flood is counted in few rows', async () => {
    const send = async (body: unknown) =>
      (await post(`${service.url}/v1/gateway/events`, service.gateway_tokens.dev, body)).status;
    for (const body of [
      {},
      { instance, first: 0, events: [] },
      { instance, first: 1, events: [{ ...stream(1), kind: 'ssh' }] },
      { instance, first: 1, events: [stream(1, { type: 'closed' })] },
      { instance, first: 1, events: Array(MOST_EVENTS + 1).fill(stream(1)) },
    ])
      assert.equal(await send(body), 400);
    const batch = Array(MOST_EVENTS).fill(stream(1)) as object[];
    const count = 10_500 / MOST_EVENTS;
    for (let i = 0; i < count; i++) assert.equal(await tell(1 + i * MOST_EVENTS, batch), (i + 1) * MOST_EVENTS);
    const lost = rows().flatMap((row) => (row.event === 'streams_lost' ? [row.count] : []));
    assert.ok(lost.length >= 1 && rows().length < 10_100, `${rows().length} rows`);
    assert.equal(
      lost.reduce((sum, one) => sum + one, 0) + rows().length - lost.length,
      count * MOST_EVENTS,
      'every one is counted',
    );
  });

  test('of processes that told nothing for 30 days are forgotten', async () => {
    await tell(1, [stream(1)]);
    const places = () => {
      using database = openStoreDatabase(service.storeFile);
      return database.prepare('select instance from gateway_place').all().length;
    };
    assert.ok(places() > 0);
    service.advance(31 * 86_400);
    await service.sweep();
    assert.equal(places(), 0);
  });
});
