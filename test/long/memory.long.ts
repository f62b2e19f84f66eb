// I5: memory of the broker as a process: flat under 200,000 mixed requests, bounded under 400 connections that pipeline; descriptors
// come back. Prints what it saw.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { stringify } from 'yaml';
import { freePort } from '../cluster/ports.ts';
import { type BrokerProcess, startBroker } from '../support/broker_process.ts';
import { Holder } from '../support/holder.ts';
import { until } from '../support/patience.ts';
import { askAuthorization, jtiOf } from '../support/review.ts';
import { ISSUER, identityProvider } from '../support/service.ts';
import { type StaticIssuer, startStaticIssuer } from '../support/static_issuer.ts';

const REQUESTS = Number(process.env.MEMORY_REQUESTS ?? 200_000);
const CLIENTS = 16;
const PEOPLE = 64;
const CONNECTIONS = 400;
/** MiB: what the first tenth of the requests may still add afterwards, and what all of it may take. */
const [GROWTH, MOST] = [96, 512];

interface Person {
  readonly holder: Holder;
  readonly handle: string;
  readonly sid: string;
  readonly token: string;
  readonly user: string;
}

describe('I5 memory', () => {
  let folder: string;
  let issuer: StaticIssuer;
  let broker: BrokerProcess;
  let url: string;
  const hook = randomBytes(32);
  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'curfew-memory-'));
    issuer = await startStaticIssuer();
    url = `http://127.0.0.1:${await freePort()}`;
    await writeFile(path.join(folder, 'key'), randomBytes(32).toString('hex'), { mode: 0o600 });
    await writeFile(path.join(folder, 'hook'), hook.toString('hex'), { mode: 0o600 });
    const config = {
      issuer: ISSUER,
      listen: { address: '127.0.0.1', port: Number(new URL(url).port) },
      keys: { encryption_key_file: 'key' },
      identity_provider: identityProvider(issuer.issuer),
      clusters: [
        {
          ...{ name: 'dev', server: 'https://127.0.0.1:1', audience: 'dev', allowed_groups: ['*'] },
          webhook: { token_file: 'hook', on_failure: 'deny' },
        },
      ],
      store: { sqlite: { file: 'curfew.db' } },
      policy: { limits: { max_age: '12h', inactivity_timeout: '12h', token_ttl: '1h' }, segments: [] },
    };
    await writeFile(path.join(folder, 'config.yaml'), stringify(config));
    broker = await startBroker({ configFile: path.join(folder, 'config.yaml'), url });
  });
  after(async () => {
    await broker.kill();
    await issuer.stop();
    await rm(folder, { recursive: true, force: true });
  });

  const seen = () => ({
    rss: Math.round(Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${broker.pid}/status`, 'utf8'))?.[1]) / 1024),
    descriptors: readdirSync(`/proc/${broker.pid}/fd`).length,
  });
  const say = (what: string) => process.stdout.write(`# ${what}\n`);

  async function open(i: number): Promise<Person> {
    const holder = new Holder({ url, issuer: ISSUER });
    const now = holder.now();
    const login = { iss: issuer.issuer, aud: 'curfew', sub: `p${i}`, iat: now, exp: now + 300, auth_time: now };
    const claims = { ...login, nonce: holder.nonce, email: `p${i}@example.com`, email_verified: true };
    const { granted } = await holder.exchange(issuer.sign(claims), { audience: 'dev' });
    const { access_token: token, refresh_token: handle = '', session } = granted;
    return { holder, handle, sid: session.sid, token, user: `curfew:p${i}@example.com` };
  }

  async function one(i: number, { holder, handle, sid, token, user }: Person): Promise<number> {
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
        return (await askAuthorization(url, hook.toString('base64url'), { user, sid, jti: jtiOf(token) })).status;
    }
  }

  test(`I5 ${REQUESTS} mixed requests: what the process takes is flat and bounded`, async () => {
    const people = await Promise.all(Array.from({ length: PEOPLE }, (_, i) => open(i)));
    const counts = new Map<number, number>();
    const samples: number[] = [];
    const start = seen();
    let sent = 0;
    const client = async () => {
      while (sent < REQUESTS) {
        const i = sent++;
        const person = people[(i * 7) % PEOPLE];
        if (!person) throw new Error('nobody');
        const status = await one(i, person);
        counts.set(status, (counts.get(status) ?? 0) + 1);
        if (i % Math.ceil(REQUESTS / 20) === 0) samples.push(seen().rss);
      }
    };
    await Promise.all(Array.from({ length: CLIENTS }, client));
    await sleep(5_000);
    const end = seen();
    say(`${REQUESTS} mixed requests: RSS ${start.rss} MiB before, ${samples.join(' ')} during, ${end.rss} MiB after`);
    say(
      `answers: ${JSON.stringify(Object.fromEntries(counts))}; descriptors ${start.descriptors} before, ${end.descriptors} after`,
    );
    assert.ok((counts.get(200) ?? 0) > REQUESTS / 3, 'most of them are answered');
    const [, early = 0] = samples;
    assert.ok(end.rss < MOST && Math.max(...samples) < MOST, `RSS ${samples.join(' ')} MiB`);
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
    const sockets = Array.from({ length: CONNECTIONS }, () => connect(Number(new URL(url).port), '127.0.0.1'));
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
    assert.equal((await fetch(`${url}/readyz`)).status, 200);
  });
});
