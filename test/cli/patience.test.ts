// The plugin and a broker that has no room: it asks again when it was told to, spread by chance, and not for long.

import assert from 'node:assert/strict';
import { createServer, type IncomingHttpHeaders, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it, test } from 'node:test';
import fc from 'fast-check';
import { renewInBackground } from '../../cli/commands/renew_in_background.ts';
import { lastBackgroundFault, rests, restUntil } from '../../cli/session/background.ts';
import { createClient } from '../../cli/session/client.ts';
import { writeRecord } from '../../cli/session/record.ts';
import { RENEW_COMMAND } from '../../cli/warm/renewal_due.ts';
import { createBroker } from '../../cli/wire/broker.ts';
import { generateKey } from '../../cli/wire/dpop.ts';
import { createSend } from '../../cli/wire/http.ts';
import { CALL_PATIENCE_MS, LOGIN_PATIENCE_MS, Patience } from '../../cli/wire/patience.ts';
import { CurfewError } from '../../shared/errors.ts';
import { seconds } from '../../shared/time.ts';
import { isSessionList } from '../../shared/wire.ts';
import { entryAt, LIMITS, tokenOf } from './entries.ts';
import { testHost } from './host.ts';

/** Both say the same. */
const TWICE = [
  [429, '0'],
  [503, '0'],
] as const;

const BUSY = { error: 'temporarily_unavailable', error_description: 'too much\nto do', reason: 'busy' };

async function serve(listener: RequestListener): Promise<{ server: Server; url: string }> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

function stop(server: Server): void {
  server.close();
  server.closeAllConnections();
}

const session = {
  ...{ sid: 'sid', username: 'alice', groups: [], limits: { session: LIMITS, target: LIMITS } },
  ...{ auth_time: seconds(1), session_end: seconds(601), end_at_most: seconds(901), broker_time: seconds(1) },
};
const REPLY = { access_token: 't', issued_token_type: 'jwt', token_type: 'N_A', expires_in: 300, session };

describe('how long it is waited (P19)', () => {
  const chance = fc.integer({ min: 0, max: 2 ** 32 - 1 });
  const randomOf = (number: number) => ({
    random: () => {
      const bytes = Buffer.alloc(4);
      bytes.writeUInt32BE(number);
      return bytes;
    },
  });
  const told = (value: string, status = 503) => ({ status, headers: { 'retry-after': value } as IncomingHttpHeaders });

  test('never sooner than was said, longer at each try, and no longer in all than there is patience', () => {
    fc.assert(
      fc.property(
        ...[fc.constantFrom(CALL_PATIENCE_MS, LOGIN_PATIENCE_MS), chance, fc.nat(30), fc.constantFrom(429, 503)],
        (milliseconds, number, said, status) => {
          const patience = new Patience(milliseconds, randomOf(number));
          let waited = 0;
          let tries = 0;
          for (;;) {
            tries += 1;
            const wait = patience.waits(told(`${said}`, status), tries, 60_000);
            if (wait === undefined) break;
            assert.ok(wait >= said * 1000 * tries && wait >= 500 * tries, `${wait} ms at try ${tries}`);
            waited += wait;
          }
          assert.ok(waited <= milliseconds);
          assert.equal(waited > 0, Math.max(said * 1000, 500) <= milliseconds);
        },
      ),
    );
  });

  test('a thousand that were sent away together come back over all of a second', () => {
    const { random } = testHost();
    const waits = Array.from({ length: 1_000 }, () => {
      const wait = new Patience(CALL_PATIENCE_MS, { random }).waits(told('1'), 1, 9_000);
      assert.ok(wait !== undefined);
      return wait;
    });
    const tenths = new Map<number, number>();
    for (const wait of waits) tenths.set(Math.floor(wait / 100), (tenths.get(Math.floor(wait / 100)) ?? 0) + 1);
    assert.deepEqual([...tenths.keys()].sort(), [10, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
    assert.ok(Math.max(...tenths.values()) < 200, JSON.stringify([...tenths]));
  });

  test('not where nothing was said, where it is a date, or too far off, nor by another status', () => {
    const { random } = testHost();
    const waits = (answer: { status: number; headers: IncomingHttpHeaders }, left = 9_000) =>
      new Patience(CALL_PATIENCE_MS, { random }).waits(answer, 1, left);
    const date = 'Fri, 27 Nov 2026 22:15:00 GMT';
    for (const value of [date, '-1', '1.5', '', '6', '999999', '1e3']) assert.equal(waits(told(value)), undefined);
    for (const status of [200, 400, 401, 500, 502]) assert.equal(waits(told('1', status)), undefined);
    assert.equal(waits({ status: 503, headers: {} }), undefined);
    assert.equal(waits(told('1'), 999), undefined);
    assert.ok(waits(told('1')) !== undefined);
  });
});

describe('a broker that has no room (P19)', { concurrency: true }, () => {
  type Asked = 'metadata' | 'exchange' | 'renew' | 'revoke' | 'sessions';

  /** Answers `away` to the first requests, then `good`. */
  const ask = async (what: Asked, away: readonly (readonly [number, string])[], good: unknown) => {
    const times: number[] = [];
    const { server, url } = await serve((_request, response) => {
      times.push(performance.now());
      const [status, after] = away[times.length - 1] ?? [200, ''];
      if (status === 200) return void response.end(JSON.stringify(good));
      response.writeHead(status, { 'retry-after': after }).end(JSON.stringify(BUSY));
    });
    const host = testHost();
    const broker = createBroker(url, createSend(host), host);
    const endpoints = { token_endpoint: `${url}/token`, revocation_endpoint: `${url}/revoke` };
    const [key, audience] = [generateKey(), 'dev'];
    const calls: Record<Asked, () => Promise<unknown>> = {
      metadata: () => broker.metadata(),
      exchange: () =>
        broker.exchange(endpoints, key, { ...{ id_token: 'i', nonce_random: 'n', client_id: 'c' }, audience }),
      renew: () => broker.renew(endpoints, key, { handle: 'h', audience }),
      revoke: () => broker.revoke(endpoints, key, 'h'),
      sessions: () =>
        broker.sessions(`${url}/v1/sessions`, { key, handle: 'h' }, { method: 'GET', query: {} }, isSessionList),
    };
    try {
      return { answer: await calls[what](), times };
    } catch (error) {
      assert.ok(error instanceof CurfewError, String(error));
      return { error, times };
    } finally {
      stop(server);
    }
  };

  const GOOD: Record<Exclude<Asked, 'metadata'>, unknown> = {
    exchange: REPLY,
    renew: REPLY,
    revoke: {},
    sessions: { sessions: [], broker_time: 1 },
  };
  for (const what of ['exchange', 'renew', 'revoke', 'sessions'] as const)
    it(`is asked again after 429 and after 503, and gets no more than it needs (${what})`, async () => {
      const found = await ask(what, TWICE, GOOD[what]);
      assert.equal(found.error, undefined);
      assert.equal(found.times.length, 3);
      const [first = 0, second = 0, third = 0] = found.times;
      assert.ok(second - first >= 490 && third - second >= 990, `${found.times}`);
    });

  it('is asked again for its metadata, within the deadline of who asks', async () => {
    const found = await ask('metadata', [[503, '0']], {});
    // What came then is none, and says so.
    assert.deepEqual([found.error?.code, found.times.length], ['broker_unreachable', 2]);
  });

  it('for longer than kubectl waits is said in one line, with when to try again, and asked once', async () => {
    for (const status of [429, 503]) {
      const { error, times } = await ask('renew', [[status, '90']], REPLY);
      assert.deepEqual([error?.code, error?.hint, error?.retry_after], ['busy', 'try again in 90s', 90]);
      assert.match(error?.message ?? '', /^the broker at 127\.0\.0\.1:\d+ answered: too much to do$/);
      assert.equal(times.length, 1);
    }
  });

  it('and never has, is asked no more than three times by a call', async () => {
    const { error, times } = await ask(
      'renew',
      Array.from({ length: 50 }, () => [503, '1'] as const),
      REPLY,
    );
    assert.equal(error?.code, 'busy');
    assert.ok(times.length >= 2 && times.length <= 3, `${times.length}`);
  });
});

describe('a renewal in the background (P19)', () => {
  let server: Server;
  let url: string;
  let answers: (readonly [number, string])[];
  let asked = 0;
  before(async () => {
    ({ server, url } = await serve((_request, response) => {
      asked += 1;
      const [status, after] = answers.shift() ?? [200, '0'];
      if (status !== 200) return void response.writeHead(status, { 'retry-after': after }).end(JSON.stringify(BUSY));
      const now = Math.floor(Date.now() / 1000);
      const fresh = { ...session, broker_time: now, auth_time: now, session_end: now + 600, end_at_most: now + 900 };
      response.end(JSON.stringify({ ...REPLY, access_token: tokenOf(now, now + 300), session: fresh }));
    }));
  });
  after(() => stop(server));

  it('asks once, says nothing, and leaves a broker without room alone for as long as it said; the token stays', async () => {
    let passed = 0;
    const base = testHost();
    const start = base.now();
    const host = { ...base, now: () => seconds(start + passed) };
    const client = createClient(host, url);
    const kept_in = await client.secrets.save(url, { dpop_private_jwk: generateKey(), handle: 'h' }, undefined);
    base.said.length = 0;
    const endpoints = { token_endpoint: `${url}/token`, revocation_endpoint: `${url}/revoke` };
    const minted_local = seconds(host.now() - 230);
    const entry = { ...entryAt(minted_local), broker: url };
    writeRecord(host, {
      ...{ broker: url, endpoints, audiences: { dev: 'dev' }, kept_in: kept_in ?? 'file', minted_local },
      ...(entry.session && { session: entry.session }),
    });
    client.cache.write(entry);
    const key = { broker: url, cluster: 'dev', max_age: undefined };
    const renew = () =>
      renewInBackground(host, [RENEW_COMMAND, `${host.now()}`, 'get-token', '--broker', url, '--cluster', 'dev']);
    const fault = () => lastBackgroundFault(host, `${base.home}/cache`);

    answers = [[429, '1']];
    await assert.rejects(renew(), { code: 'busy' });
    assert.equal(asked, 1);
    const until = fault()?.not_before ?? 0;
    assert.ok(until > start && until <= start + 2, `${until - start}`);
    await renew();
    assert.equal(asked, 1, 'it was asked although it had no room');
    assert.equal(client.cache.read(key)?.token, entry.token);
    passed = until - start;
    await renew();
    assert.equal(asked, 2);
    assert.equal(fault(), undefined);
    assert.deepEqual([base.said, base.printed], [[], []]);
  });

  it('is kept away for a minute at most, and by no clock that was set', () => {
    const { random } = testHost();
    const now = seconds(1_800_000_000);
    const fault = { at: now, broker: 'https://b', cluster: 'dev', code: 'busy', message: 'm' };
    for (const said of [0, 1, 30, 60, 999_999]) {
      const not_before = restUntil({ now: () => now, random }, said);
      assert.ok(not_before - now >= Math.min(said, 60) && not_before - now <= 60, `${not_before - now}`);
      assert.equal(rests({ ...fault, not_before }, 'https://b', seconds(now + 60)), false);
    }
    const not_before = seconds(now + 60);
    assert.equal(rests({ ...fault, not_before }, 'https://b', now), true);
    assert.equal(rests({ ...fault, not_before }, 'https://other', now), false);
    assert.equal(rests({ ...fault, not_before }, 'https://b', seconds(now - 3600)), false);
    assert.equal(rests(fault, 'https://b', now), false);
  });
});
