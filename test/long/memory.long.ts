// I5: memory of the broker as a process: flat under 200,000 mixed requests, bounded under 400 connections that pipeline; descriptors
// come back. Prints what it saw.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { heapOf } from '../support/heap.ts';
import { type LoggedIn, type LoneBroker, makeLoneBroker } from '../support/lone_broker.ts';
import { until } from '../support/patience.ts';
import { askAuthorization, jtiOf } from '../support/review.ts';

const REQUESTS = Number(process.env.MEMORY_REQUESTS ?? 200_000);
const CLIENTS = 16;
const PEOPLE = 64;
const CONNECTIONS = 400;
/** MiB: what the first tenth of the requests may still add afterwards, and what all of it may take. */
const [GROWTH, MOST] = [96, 512];
/** MiB that may be held at the end and were not at the start, whatever the number of requests. */
const HELD = 16;

describe('I5 memory', () => {
  let lone: LoneBroker;
  before(async () => {
    lone = await makeLoneBroker({
      name: 'memory',
      limits: { max_age: '12h', inactivity_timeout: '12h', token_ttl: '1h' },
      webhook: true,
    });
    await lone.start();
  });
  after(() => lone.remove());

  const seen = () => ({
    rss: Math.round(
      Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${lone.process.pid}/status`, 'utf8'))?.[1]) / 1024,
    ),
    descriptors: readdirSync(`/proc/${lone.process.pid}/fd`).length,
  });
  /** MiB */
  const held = async () => Math.round((await heapOf(lone.process.pid ?? 0)) / 1024 / 1024);
  const say = (what: string) => process.stdout.write(`# ${what}\n`);

  async function one(i: number, { holder, handle, sid, user, granted }: LoggedIn): Promise<number> {
    const form = { grant_type: 'refresh_token', audience: 'dev' };
    switch (i % 8) {
      case 0:
        return (await holder.renew(handle, 'dev')).status;
      case 1:
        return (await holder.renew(randomBytes(32).toString('base64url'), 'dev')).status;
      case 2:
        return (await holder.post('/token', { ...form, refresh_token: handle }, undefined)).status;
      case 3:
        return (await holder.exchange(randomBytes(200).toString('base64url'))).status;
      case 4:
        return (await holder.post('/introspect', { token: 'x.y.z' }, undefined)).status;
      default:
        return (await askAuthorization(lone.url, lone.hook, { user, sid, jti: jtiOf(granted.access_token) })).status;
    }
  }

  test(`I5 ${REQUESTS} mixed requests: what the process takes is flat and bounded`, async () => {
    const people = await Promise.all(
      Array.from({ length: PEOPLE }, (_, i) => lone.login(`p${i}`, { audience: 'dev' })),
    );
    const counts = new Map<number, number>();
    const samples: number[] = [];
    const start = { ...seen(), heap: await held() };
    let sent = 0;
    const client = async () => {
      while (sent < REQUESTS) {
        const i = sent++;
        const person = people[(i * 7) % PEOPLE];
        if (!person) throw new Error('nobody');
        const status = await one(i, person);
        counts.set(status, (counts.get(status) ?? 0) + 1);
        if (i % Math.ceil(REQUESTS / 20) !== 0) continue;
        const { rss } = seen();
        samples.push(rss);
        say(`${i} requests: RSS ${rss} MiB`);
      }
    };
    await Promise.all(Array.from({ length: CLIENTS }, client));
    await sleep(5_000);
    const end = { ...seen(), heap: await held() };
    say(`held after a collection: ${start.heap} MiB before, ${end.heap} MiB after`);
    say(`${REQUESTS} mixed requests: RSS ${start.rss} MiB before, ${samples.join(' ')} during, ${end.rss} MiB after`);
    say(
      `answers: ${JSON.stringify(Object.fromEntries(counts))}; descriptors ${start.descriptors} before, ${end.descriptors} after`,
    );
    assert.ok((counts.get(200) ?? 0) > REQUESTS / 3, 'most of them are answered');
    const [, early = 0] = samples;
    assert.ok(end.rss < MOST && Math.max(...samples) < MOST, `RSS ${samples.join(' ')} MiB`);
    assert.ok(end.heap - start.heap < HELD, `what is held grows: ${start.heap} MiB, then ${end.heap} MiB`);
    assert.ok(end.rss - early < GROWTH, `RSS grows: ${samples.join(' ')}, then ${end.rss} MiB`);
    assert.ok(
      end.descriptors < start.descriptors + PEOPLE,
      `descriptors: ${start.descriptors}, then ${end.descriptors}`,
    );
  });

  test(`I5 ${CONNECTIONS} connections that pipeline and do not read: bounded, the broker answers on, and the descriptors come back`, async () => {
    const start = seen();
    // As many as are let wait on one connection, and more, for which it is cut.
    const questions = [16, 100].map((count) =>
      'GET /.well-known/curfew HTTP/1.1\r\nHost: curfew\r\n\r\n'.repeat(count),
    );
    const sockets = Array.from({ length: CONNECTIONS }, () => connect(Number(new URL(lone.url).port), '127.0.0.1'));
    for (const socket of sockets) socket.on('error', () => undefined);
    await Promise.all(sockets.map((socket) => Promise.race([once(socket, 'connect'), once(socket, 'close')])));
    let most = 0;
    for (let round = 0; round < 20; round++) {
      for (const [i, socket] of sockets.entries()) {
        socket.pause();
        if (socket.writable && socket.writableLength < 1_000_000) socket.write(questions[i % 2] ?? '');
      }
      await sleep(500);
      most = Math.max(most, seen().rss);
    }
    for (const socket of sockets) socket.destroy();
    await until(() => seen().descriptors < start.descriptors + 10, 'the connections are not let go');
    await sleep(5_000);
    const end = seen();
    say(
      `${CONNECTIONS} pipelining connections: RSS ${start.rss} MiB before, at most ${most} MiB, ${end.rss} MiB after; descriptors ${start.descriptors} and ${end.descriptors}`,
    );
    assert.ok(Math.max(most, end.rss) < MOST, `RSS ${most} MiB, ${end.rss} MiB after`);
    assert.equal(await lone.ready(), 200);
  });
});
