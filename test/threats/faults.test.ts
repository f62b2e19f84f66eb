// The threat model: faults of the broker and of what is behind it (F): the IdP's, and a stop under load.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../cluster/ports.ts';
import { type LoneBroker, makeLoneBroker } from '../support/lone_broker.ts';
import { assertKept, until } from '../support/patience.ts';
import { askAuthorization, jtiOf } from '../support/review.ts';
import { scrape } from '../support/scrape.ts';
import { startTestService, type TestService } from '../support/service.ts';
import type { Fault } from '../support/static_issuer.ts';

describe('F4 the identity provider fails', () => {
  let service: TestService;
  before(async () => {
    service = await startTestService();
  });
  after(() => service.stop());

  const faults: readonly Fault[] = ['refuse', 'hang', '500', 'html', 'drip', 'redirect', 'other issuer'];
  for (const fault of faults) {
    test(`${fault}: a login fails within 10 s and names the host, living sessions go on`, async () => {
      service.issuer.fault = undefined;
      const who = { sub: fault, email: `${fault.replace(' ', '-')}@example.com` };
      const holder = service.holder();
      const { refresh_token = '' } = (await service.login(holder, who)).granted;
      // A broker that never reached the IdP has no keys to go on with.
      await service.restart();
      service.issuer.fault = fault;
      const begin = performance.now();
      const { status, headers, refused } = await service.login(service.holder(), who);
      assertKept(performance.now() - begin, 10_000);
      assert.deepEqual([status, refused.error, refused.reason], [503, 'temporarily_unavailable', 'identity_provider']);
      assert.ok(refused.error_description.includes(new URL(service.issuer.issuer).host), refused.error_description);
      assert.ok(headers.has('retry-after'));
      assert.equal((await holder.renew(refresh_token, 'dev')).status, 200);
      service.issuer.fault = undefined;
      service.advance(31);
      assert.equal((await service.login(service.holder(), who)).status, 200, 'it heals by itself');
    });
  }

  test('away after its keys were read once: logins go on with the last good keys', async () => {
    assert.equal((await service.login(service.holder(), { sub: 'k', email: 'k@example.com' })).status, 200);
    service.issuer.fault = 'hang';
    service.advance(3600);
    assert.equal((await service.login(service.holder(), { sub: 'k', email: 'k@example.com', jti: '2' })).status, 200);
    service.issuer.fault = undefined;
  });

  test('other keys: a login signed by none of them is refused, not served', async () => {
    await service.restart();
    service.issuer.fault = 'other keys';
    const { refused } = await service.login(service.holder(), { sub: 'o', email: 'o@example.com' });
    assert.equal(refused.reason, 'id_token_signature');
    service.issuer.fault = undefined;
  });
});

describe('a broker that stops', () => {
  let service: TestService;
  const sockets: Socket[] = [];
  before(async () => {
    service = await startTestService();
  });
  after(async () => {
    for (const socket of sockets) socket.destroy();
    await service.stop();
  });

  /** A connection that has had an answer, so that it is kept; what comes on it is collected. */
  async function kept(): Promise<{ readonly socket: Socket; heard(): string; answered(): Promise<string> }> {
    const { hostname, port } = new URL(service.url);
    const socket = connect(Number(port), hostname).on('error', () => undefined);
    sockets.push(socket);
    let text = '';
    socket.setEncoding('utf8').on('data', (more: string) => {
      text += more;
    });
    await once(socket, 'connect');
    const ANSWER = /^HTTP\/1\.1 \d{3} .*\}$/s;
    const answered = async () => {
      await until(() => ANSWER.test(text), 'no answer came');
      return text;
    };
    socket.write('GET /healthz HTTP/1.1\r\nHost: curfew\r\n\r\n');
    assert.match(await answered(), /^HTTP\/1\.1 200 /);
    text = '';
    return { socket, heard: () => text, answered };
  }

  test('F3 what was begun is answered, what comes after it is told draining and to go elsewhere, then all is closed', async () => {
    const holder = service.holder();
    const { refresh_token: handle = '' } = (await service.login(holder)).granted;
    const body = new URLSearchParams({
      grant_type: 'refresh_token',
      audience: 'dev',
      refresh_token: handle,
    }).toString();
    const [begun, ready, keys, idle] = [await kept(), await kept(), await kept(), await kept()];
    begun.socket.write(
      `POST /token HTTP/1.1\r\nHost: curfew\r\nDPoP: ${holder.proof()}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: ${body.length}\r\n\r\n`,
    );
    for (const [{ socket }, target] of [
      [ready, '/readyz'],
      [keys, '/jwks'],
    ] as const)
      socket.write(`GET ${target} HTTP/1.1\r\nHost: curfew\r\n`);
    // What was written before has been read by the time this is answered.
    idle.socket.write('GET /healthz HTTP/1.1\r\nHost: curfew\r\n\r\n');
    await idle.answered();

    let stopped = false;
    const stop = service.halt().then(() => {
      stopped = true;
    });
    await until(() => idle.socket.closed, 'a connection on which nothing is under way is not closed');
    assert.equal(stopped, false);
    for (const { socket, answered } of [ready, keys]) {
      socket.write('\r\n');
      const answer = await answered();
      assert.match(answer, /^HTTP\/1\.1 503 /);
      assert.match(answer, /"error":"temporarily_unavailable"/);
      assert.match(answer, /"reason":"draining"/);
      assert.match(answer, /^retry-after: 1\r$/im);
      assert.match(answer, /^connection: close\r$/im);
      await until(() => socket.closed, 'the connection is kept');
    }
    assert.deepEqual([stopped, begun.heard()], [false, '']);
    begun.socket.write(body);
    const answer = await begun.answered();
    assert.match(answer, /^HTTP\/1\.1 200 /);
    assert.match(answer, /"access_token":/);
    assert.match(answer, /^connection: close\r$/im);
    await until(() => stopped, 'it does not stop');
    await stop;
    assert.ok(service.log.some((line) => line.includes('"stopped"')));
  });
});

describe('the broker as a process', () => {
  let lone: LoneBroker;
  let metrics: { address: string; port: number };
  before(async () => {
    metrics = { address: '127.0.0.1', port: await freePort() };
    lone = await makeLoneBroker({ name: 'faults', webhook: true, sections: { metrics } });
    await lone.start();
  });
  after(() => lone.remove());

  test('the bundle serves its metrics, and Node has nothing to warn of', async () => {
    const { sid, holder, handle, user } = await lone.login('measured');
    const jti = jtiOf((await holder.renew(handle, 'dev')).granted.access_token);
    const opinion = await askAuthorization(lone.url, lone.hook, { user, sid, jti });
    assert.deepEqual(opinion, { status: 200, denied: false, reason: '' });
    const seen = await scrape(`http://${metrics.address}:${metrics.port}/metrics`);
    assert.equal(seen.value('curfew_logins_total'), 1);
    const answered = { webhook: 'authorize', outcome: 'no_opinion' };
    assert.equal(seen.value('curfew_webhook_duration_seconds_count', answered), 1);
    const sum = seen.value('curfew_webhook_duration_seconds_sum', answered) ?? 0;
    assert.ok(sum > 0 && sum < 5, 'seconds, not milliseconds');
    const transactions = seen.value('curfew_store_transaction_duration_seconds_sum', { outcome: 'committed' }) ?? 0;
    assert.ok(transactions > 0 && transactions < 5);
    for (const line of lone.process.log().trimEnd().split('\n')) assert.doesNotThrow(() => JSON.parse(line), line);
  });

  test('H1 memory stays flat under 11 MB bodies and 10,000 parameters', async () => {
    const rss = async () =>
      Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${lone.process.pid}/status`, 'utf8'))?.[1]) / 1024;
    const body = new Uint8Array(11 << 20).fill(97);
    const many = Array.from({ length: 10_000 }, (_, i) => `a${i}=1`).join('&');
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    const send = (content: string | Uint8Array<ArrayBuffer>) =>
      fetch(`${lone.url}/token`, { method: 'POST', headers, body: content }).then(
        ({ status }) => assert.ok(status >= 400 && status < 500),
        () => undefined,
      );
    await Promise.all([send(body), send(many)]);
    const before = await rss();
    for (let round = 0; round < 20; round++) await Promise.all([send(body), send(many), send(body)]);
    assert.ok((await rss()) - before < 64, `${before} MiB, then ${await rss()} MiB`);
  });

  test('I2 what was acknowledged before a kill -9 stands after it: the end of a session, and the audit log', async () => {
    const [ended, living] = [await lone.login('i2-ended'), await lone.login('i2-living')];
    assert.equal((await ended.holder.revoke(ended.handle)).status, 200);
    await lone.process.kill();
    await lone.start();
    assert.equal((await ended.holder.renew(ended.handle, 'dev')).refused.end_reason, 'logout');
    assert.equal((await living.holder.renew(living.handle, 'dev')).status, 200);
  });

  test('I2 a use that the webhook saw is lost by no more than 5 s: it stands after a kill -9 that comes later', async () => {
    const { sid, holder, handle, user } = await lone.login('i2-use');
    const jti = jtiOf((await holder.renew(handle, 'dev')).granted.access_token);
    const lastUsed = () => {
      const database = new DatabaseSync(path.join(lone.folder, 'curfew.db'), { readOnly: true });
      const row = database.prepare('select last_used from session where sid = ?').get(sid);
      database.close();
      return Number(row?.last_used);
    };
    const login_at = lastUsed();
    await sleep(2000);
    const asked = { user, sid, jti };
    const used = Math.floor(Date.now() / 1000);
    assert.equal((await askAuthorization(lone.url, lone.hook, asked)).denied, false);
    const asked_at = performance.now();
    await until(() => lastUsed() >= used, 'the use is not stored');
    assertKept(performance.now() - asked_at, 5_000);
    await lone.process.kill();
    await lone.start();
    assert.ok(used > login_at);
    assert.ok(lastUsed() >= used, `${lastUsed()}, used at ${used}`);
  });

  test('F3 SIGTERM under load: not ready first, what is in flight ends, no request fails before that is known, exit 0', async () => {
    const people = await Promise.all(Array.from({ length: 8 }, (_, i) => lone.login(`f3-${i}`)));
    let sending = true;
    const failed: unknown[] = [];
    let answered = 0;
    const load = people.map(async ({ holder, handle }) => {
      while (sending) {
        await holder.renew(handle, 'dev').then(
          ({ status }) => (status === 200 ? answered++ : failed.push(status)),
          (error: unknown) => failed.push(error),
        );
      }
    });
    try {
      await sleep(500);
      const before = answered;
      process.kill(lone.process.pid, 'SIGTERM');
      // Whoever routes requests here asks /readyz, and stops sending when it says no.
      let status = 200;
      while (status === 200) {
        await sleep(50);
        status = await lone.ready();
      }
      const atNotReady = answered;
      assert.equal(status, 503);
      await sleep(1000);
      assert.ok(before > 0 && answered > atNotReady, 'requests were answered before and after');
    } finally {
      sending = false;
    }
    await Promise.all(load);
    assert.deepEqual(failed, []);
    assert.equal(await lone.process.exit, 0);
    assert.ok(lone.process.log().includes('"stopped"'));
  });
});
