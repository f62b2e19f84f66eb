// /metrics over the real service: each metric moves when what it tells of happens, by as much as happened.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { CurfewError } from '../../shared/errors.ts';
import { freePort } from '../cluster/ports.ts';
import { askAuthentication, askAuthorization, post } from '../support/review.ts';
import { type Scrape, scrape } from '../support/scrape.ts';
import { startTestService, T0, type TestService } from '../support/service.ts';
import type { Fault } from '../support/static_issuer.ts';
import { openStoreDatabase } from '../support/store_database.ts';

const METRICS = { address: '127.0.0.1', port: 0 };
const CLUSTERS = ['dev', 'prod-eu'].map((name, i) => ({
  ...{ name, server: `https://127.0.0.1:${i + 1}`, audience: name, allowed_groups: ['*'] },
  webhook: { token_file: `${name}-hook`, on_failure: 'deny', authentication: true },
}));
const TARGETS = {
  target_gateway: {
    ...{ public_url: 'wss://targets.example.com', token_file: 'targets-gateway' },
    source_addresses: ['10.0.9.4'],
  },
  targets: [{ name: 'cache', kind: 'tcp', address: '10.0.0.11:6379', allowed_groups: ['*'] }],
};
const USER = 'curfew:alice@example.com';

let service: TestService;
let start: Scrape;
const look = () => scrape(service.metrics_url);

/** How much each of these moved since the test began. */
async function moved(
  ...names: readonly (readonly [name: string, labels?: Readonly<Record<string, string>>])[]
): Promise<number[]> {
  const now = await look();
  return names.map(([name, labels]) => now.since(start, name, labels));
}

before(async () => {
  service = await startTestService({ metrics: METRICS, clusters: CLUSTERS, ...TARGETS });
});
after(() => service.stop());
beforeEach(async () => {
  start = await look();
});

async function login(audience?: string, who: Readonly<Record<string, unknown>> = {}) {
  // A login in the very second of an end is refused.
  service.advance(1);
  const holder = service.holder();
  const { granted } = await service.login(holder, who, audience === undefined ? {} : { audience });
  const { session, refresh_token: handle = '', access_token: token } = granted;
  return { holder, handle, sid: session.sid, token };
}

const ask = (cluster: string, sid: string, user = USER) =>
  askAuthorization(service.url, service.webhook_tokens[cluster] ?? '', {
    user,
    sid,
    jti: service.tokenId(sid, cluster),
  });

describe('sessions', () => {
  test('a login and its tokens are counted where they are for, and are gone when they are over', async () => {
    const [dev, prod] = [
      { cluster: 'dev', segment: '' },
      { cluster: 'prod-eu', segment: 'prod' },
    ];
    const active = [['curfew_sessions_active', dev] as const, ['curfew_sessions_active', prod] as const] as const;
    const { holder, handle } = await login('dev');
    for (const _ of [1, 2, 3]) await holder.renew(handle, 'prod-eu');
    const mints = [['curfew_mints_total', dev] as const, ['curfew_mints_total', prod] as const];
    assert.deepEqual(await moved(['curfew_logins_total'], ...mints, ...active), [1, 1, 3, 1, 1]);
    assert.deepEqual(await moved(['curfew_sessions_living']), [1]);
    // Tokens of prod live 2 minutes, those of dev 5.
    service.advance(119);
    assert.deepEqual(await moved(...active), [1, 1]);
    service.advance(1);
    assert.deepEqual(await moved(...active), [1, 0]);
    service.advance(180);
    assert.deepEqual(await moved(...active, ['curfew_sessions_living']), [0, 0, 1]);
  });

  test('an end takes its session away at once, and is counted by its reason', async () => {
    const { holder, handle } = await login('dev');
    await holder.revoke(handle);
    const dev = { cluster: 'dev', segment: '' };
    assert.deepEqual(await moved(['curfew_sessions_active', dev], ['curfew_sessions_living']), [0, 0]);
    assert.deepEqual(await moved(['curfew_ends_total', { reason: 'logout' }]), [1]);
    service.advance(3600);
    const living = start.value('curfew_sessions_living');
    assert.equal(await service.sweep(), living);
    assert.deepEqual(await moved(['curfew_ends_total', { reason: 'inactivity_timeout' }]), [living]);
  });

  test('a retry of a lost reply is no second login', async () => {
    const holder = service.holder();
    const idToken = service.issuer.sign(service.claims(holder));
    for (const _ of [1, 2]) assert.equal((await holder.exchange(idToken)).status, 200);
    assert.deepEqual(await moved(['curfew_logins_total'], ['curfew_sessions_living']), [1, 1]);
  });

  test('who holds a token is known again after a start, from the audit log', async () => {
    const ended = await login('dev', { sub: 'b', email: 'b@example.com' });
    await ended.holder.revoke(ended.handle);
    const { holder, handle } = await login('prod-eu');
    service.advance(100);
    await holder.renew(handle, 'dev');
    await login('dev', { sub: 'c', email: 'c@example.com' });
    // A token for a target is of no cluster.
    assert.equal((await holder.renew(handle, 'cache')).status, 200);
    await service.restart();
    const { text } = await look();
    assert.match(text, /^curfew_sessions_active\{/m);
    assert.deepEqual(text.match(/^curfew_sessions_active.*cluster="(null|undefined|cache)?".*/gm) ?? [], []);
    const value = async (cluster: string, segment: string) =>
      (await look()).value('curfew_sessions_active', { cluster, segment });
    assert.deepEqual([await value('dev', ''), await value('prod-eu', 'prod')], [2, 1]);
    service.advance(20);
    assert.deepEqual([await value('dev', ''), await value('prod-eu', 'prod')], [2, 0]);
    start = await look();
  });
});

describe('refusals and denials', () => {
  test('are counted by reason, each once, with what was only counted by the audit log', async () => {
    const { holder, handle, sid } = await login('dev');
    await holder.renew(handle, 'nowhere');
    await holder.renew('made-up', 'dev');
    const refused = (grant: string, reason: string) => ['curfew_refusals_total', { grant, reason }] as const;
    const [target, session] = [refused('renewal', 'invalid_target'), refused('renewal', 'unknown_session')];
    assert.deepEqual(await moved(target, session), [1, 1]);

    const denied = ['curfew_denials_total', { cluster: 'dev', reason: 'another_user' }] as const;
    for (let i = 0; i < 20; i++) assert.ok((await ask('dev', sid, 'curfew:bob@example.com')).denied);
    assert.deepEqual(await moved(denied), [1]);
    service.advance(60);
    assert.ok((await ask('dev', sid, 'curfew:bob@example.com')).denied);
    assert.deepEqual(await moved(denied), [21]);
    for (let i = 0; i < 5; i++) await ask('dev', sid, 'curfew:bob@example.com');
    service.advance(60);
    await service.sweep();
    assert.deepEqual(await moved(denied), [26]);
  });

  test('somebody who fails to log in again and again after a timeout is counted once', async () => {
    const who = { sub: 'late', email: 'late@example.com' };
    await login('dev', who);
    service.advance(1800);
    await service.sweep();
    const counted = (by: string, end_reason: string) =>
      ['curfew_failed_logins_noticed_total', { by, end_reason }] as const;
    for (let i = 0; i < 5; i++) {
      const old = { ...who, auth_time: service.now - 7200, jti: `${i}` };
      assert.equal((await service.login(service.holder(), old)).status, 400);
    }
    assert.deepEqual(await moved(counted('person', 'inactivity_timeout'), counted('person', '')), [1, 0]);
  });

  test('from an end to its effect: the first denial after it, and only that', async () => {
    service.elapsed = 0;
    const { holder, handle, sid } = await login('dev');
    assert.equal((await ask('dev', sid)).denied, false);
    await holder.revoke(handle);
    service.elapsed += 0.15;
    for (const _ of [1, 2]) assert.ok((await ask('dev', sid)).denied);
    const effect = (part: string, labels = {}) => [`curfew_end_to_effect_seconds_${part}`, labels] as const;
    assert.deepEqual(await moved(effect('count'), effect('bucket', { le: '0.1' })), [1, 0]);
    const [sum = 0, within] = await moved(effect('sum'), effect('bucket', { le: '0.2' }));
    assert.ok(Math.abs(sum - 0.15) < 1e-9, `${sum}`);
    assert.equal(within, 1);
  });

  test('a denial that is itself the end, and one by a session that goes on, are no effect of an end', async () => {
    const { sid } = await login('dev');
    service.advance(3600);
    assert.ok((await ask('dev', sid)).denied);
    service.elapsed += 60;
    assert.ok((await ask('dev', sid)).denied);
    const same = await login('dev');
    const again = await service.login(same.holder, { iat: service.now + 1, exp: service.now + 300, jti: 'again' });
    assert.equal(again.status, 200);
    assert.equal((await ask('dev', same.sid)).denied, false);
    assert.deepEqual(await moved(['curfew_end_to_effect_seconds_count']), [0]);
  });
});

describe('webhooks', () => {
  const answered = (webhook: string, outcome: string) =>
    ['curfew_webhook_duration_seconds_count', { webhook, outcome }] as const;

  test('each answer is timed by its outcome', async () => {
    const { sid, token } = await login('dev');
    for (const _ of [1, 2, 3]) await ask('dev', sid);
    await ask('dev', sid, 'curfew:bob@example.com');
    await askAuthorization(service.url, 'A'.repeat(43), { user: USER, sid });
    await post(`${service.url}/webhooks/authorize`, service.webhook_tokens.dev, { kind: 'Pod' });
    const key = service.webhook_tokens.dev ?? '';
    assert.equal((await askAuthentication(service.url, key, token)).authenticated, true);
    assert.equal((await askAuthentication(service.url, key, 'nonsense')).authenticated, false);
    await post(`${service.url}/webhooks/authenticate`, undefined, {});
    assert.deepEqual(
      await moved(
        ...(['no_opinion', 'denied', 'refused', 'failed'] as const).map((how) => answered('authorize', how)),
        ...(['authenticated', 'not_authenticated', 'refused', 'failed'] as const).map((how) =>
          answered('authenticate', how),
        ),
      ),
      [3, 1, 2, 0, 1, 1, 1, 0],
    );
    const sum = (await look()).value('curfew_webhook_duration_seconds_sum', {
      webhook: 'authorize',
      outcome: 'no_opinion',
    });
    assert.ok(sum !== undefined && sum > 0);
  });
});

describe('the identity provider', () => {
  const kinds: readonly (readonly [Fault, string])[] = [
    ['refuse', 'unreachable'],
    ['hang', 'timeout'],
    ['500', 'status'],
    ['redirect', 'status'],
    ['html', 'answer'],
    ['other issuer', 'answer'],
  ];
  for (const [fault, kind] of kinds) {
    test(`${fault} is counted as ${kind}`, async () => {
      // A broker that never reached it asks at the first login.
      await service.restart();
      start = await look();
      service.issuer.fault = fault;
      assert.equal((await service.login(service.holder())).status, 503);
      service.issuer.fault = undefined;
      const all = ['unreachable', 'timeout', 'certificate', 'status', 'answer'];
      const counts = await moved(
        ...all.map((one) => ['curfew_identity_provider_errors_total', { kind: one }] as const),
      );
      assert.deepEqual(Object.fromEntries(all.map((one, i) => [one, counts[i]])), {
        ...{ unreachable: 0, timeout: 0, certificate: 0, status: 0, answer: 0, [kind]: 1 },
      });
    });
  }
});

describe('the service itself', () => {
  test('the age of the key that signs is told by the clock', async () => {
    const { now } = service;
    assert.equal((await look()).value('curfew_signing_key_age_seconds'), now - T0);
    service.advance(86_400);
    assert.equal((await look()).value('curfew_signing_key_age_seconds'), now - T0 + 86_400);
  });

  test('a configuration that is refused, one that is taken, and one that is put back are told apart', async () => {
    const reloads = (outcome: string) => ['curfew_config_reloads_total', { outcome }] as const;
    const state = async () => {
      const now = await look();
      return [
        now.value('curfew_config_last_reload_successful'),
        now.value('curfew_config_last_good_timestamp_seconds'),
      ] as const;
    };
    const [, began = 0] = await state();
    service.advance(10);
    assert.equal((await service.reload({ policy: {} })).outcome, 'refused');
    assert.deepEqual(await state(), [0, began]);
    assert.equal((await service.reload()).outcome, 'same');
    assert.deepEqual(await state(), [1, began]);
    await service.reload({ policy: {} });
    const policy = { limits: { max_age: '2h', inactivity_timeout: '30m', token_ttl: '5m' } };
    assert.equal((await service.reload({ policy })).outcome, 'reloaded');
    assert.deepEqual(await state(), [1, service.now]);
    assert.equal((await service.reload()).outcome, 'reloaded');
    assert.deepEqual(await moved(reloads('refused'), reloads('reloaded')), [2, 2]);
  });

  test('transactions of the store are timed from the call to the commit, and groups have their size', async () => {
    const committed = (part: string) =>
      [`curfew_store_transaction_duration_seconds_${part}`, { outcome: 'committed' }] as const;
    const groups = (part: string) => [`curfew_store_group_transactions_${part}`] as const;
    const { holder, handle } = await login();
    await Promise.all(Array.from({ length: 20 }, () => holder.renew(handle, 'dev')));
    const [transactions, grouped, count = 0] = await moved(committed('count'), groups('sum'), groups('count'));
    assert.deepEqual([transactions, grouped], [21, 21]);
    assert.ok(count > 1 && count <= 21);
  });

  test('a scrape takes no transaction, and is answered while renewals wait for theirs', async () => {
    const { holder, handle } = await login();
    start = await look();
    const renewals = Promise.all(Array.from({ length: 50 }, () => holder.renew(handle, 'dev')));
    for (let i = 0; i < 10; i++) assert.equal((await look()).value('curfew_sessions_living') !== undefined, true);
    assert.ok((await renewals).every(({ status }) => status === 200));
    const count = ['curfew_store_transaction_duration_seconds_count', { outcome: 'committed' }] as const;
    assert.deepEqual(await moved(count), [50]);
  });

  test('build and process are told', async () => {
    const now = await look();
    assert.equal(now.content_type, 'application/openmetrics-text; version=1.0.0; charset=utf-8');
    assert.equal(now.value('curfew_build_info', { version: '0.5.0' }), 1);
    assert.ok((now.value('process_resident_memory_bytes') ?? 0) > 0);
    assert.ok(now.value('nodejs_eventloop_lag_p99_seconds') !== undefined);
    assert.ok(now.text.endsWith('# EOF\n'));
  });

  test('H5 no name, address, session, token or handle stands there', async () => {
    const { holder, handle, sid, token } = await login('dev');
    await ask('dev', sid, 'curfew:bob@example.com');
    await holder.renew(handle, 'made-up-cluster');
    await service.login(service.holder(), { email: 'mallory@example.com', aud: 'made-up-audience' });
    await holder.revoke(handle);
    await ask('prod-eu', sid);
    await ask('dev', 'made-up-session');
    const { text } = await look();
    const jtis = service.audit.flatMap((event) => ('jti' in event && event.jti ? [event.jti] : []));
    assert.ok(jtis.length > 5);
    const secrets = [handle, token, sid, holder.jkt, ...jtis, ...Object.values(service.webhook_tokens)];
    for (const word of [...secrets, 'alice', 'bob', 'mallory', 'example.com', 'made-up', 'sre', '127.0.0.1']) {
      assert.ok(!text.includes(word), word);
    }
  });
});

describe('the listener', () => {
  test('has nothing but /metrics, and the broker has no /metrics', async () => {
    const root = service.metrics_url.replace(/\/metrics$/, '');
    for (const path of ['/', '/token', '/healthz', '/metrics/', '/.well-known/curfew']) {
      assert.equal((await fetch(root + path)).status, 404, path);
    }
    assert.equal((await fetch(`${root}/metrics`, { method: 'POST' })).status, 404);
    assert.equal((await fetch(`${service.url}/metrics`)).status, 404);
  });

  test('is not there without the setting, and ends with the service', async () => {
    const other = await startTestService();
    assert.equal(other.metrics_url, '');
    await other.stop();
    const measured = await startTestService({ metrics: METRICS });
    const url = measured.metrics_url;
    assert.equal((await fetch(url)).status, 200);
    await measured.stop();
    await assert.rejects(fetch(url));
  });

  test('a port that is taken is named, and nothing else listens then', async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const taken = { address: '127.0.0.1', port: (other.address() as AddressInfo).port };
    const free = { address: '127.0.0.1', port: await freePort() };
    try {
      for (const [setting, places] of Object.entries({
        metrics: { metrics: taken, listen: free },
        listen: { metrics: free, listen: taken },
      })) {
        await assert.rejects(startTestService(places), (error: unknown) => {
          assert.ok(error instanceof CurfewError && error.code === 'configuration');
          assert.equal(error.message, `${setting}: cannot listen at 127.0.0.1:${taken.port} (EADDRINUSE)`);
          return true;
        });
        await assert.rejects(fetch(`http://127.0.0.1:${free.port}/metrics`));
      }
    } finally {
      other.close();
    }
  });
});

describe('while the store fails', () => {
  let failing: TestService;
  before(async () => {
    failing = await startTestService({ metrics: METRICS });
  });
  afterEach(() => failing.stop());

  test('the metrics are there, but for the one that it would have to tell', async () => {
    const holder = failing.holder();
    const { refresh_token = '' } = (await failing.login(holder)).granted;
    const store = openStoreDatabase(failing.storeFile);
    store.exec('pragma busy_timeout = 5000; alter table audit rename to unwritten');
    assert.equal((await holder.renew(refresh_token, 'dev')).status, 503);
    store.exec('alter table unwritten rename to audit; alter table session rename to hidden');
    const now = await scrape(failing.metrics_url);
    assert.equal(now.value('curfew_store_transaction_duration_seconds_count', { outcome: 'failed' }), 1);
    assert.equal(now.value('curfew_sessions_living'), undefined);
    store.exec('alter table hidden rename to session');
    store.close();
    assert.equal((await scrape(failing.metrics_url)).value('curfew_sessions_living'), 1);
  });
});
