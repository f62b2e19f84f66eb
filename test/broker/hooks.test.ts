// Reports to hooks: over real HTTP, to a receiver that fails in the ways in which receivers fail.

import assert from 'node:assert/strict';
import { createHmac, randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createCertificateAuthority } from '../support/certificates.ts';
import { until } from '../support/patience.ts';
import { startTestService, type TestService } from '../support/service.ts';
import { openStoreDatabase } from '../support/store_database.ts';

interface Report {
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

interface Receiver {
  readonly url: string;
  readonly reports: Report[];
  /** What it answers from now on: a status, or nothing at all. */
  answer: number | 'hang';
  stop(): Promise<void>;
}

const secret = randomBytes(32);
const FAILED = {
  limits: { max_age: '1h', inactivity_timeout: '30m', token_ttl: '5m' },
  failed_logins: { count: 2, window: '10m' },
};
let folder: string;
let secretFile: string;
let receiver: Receiver;
let service: TestService;
let people = 0;

async function startReceiver(tls?: { readonly cert: string; readonly key: string }): Promise<Receiver> {
  const reports: Report[] = [];
  const self: { answer: number | 'hang' } = { answer: 204 };
  const handler: Parameters<typeof createServer>[1] = (request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (text: string) => {
      body += text;
    });
    request.on('end', () => {
      reports.push({ url: request.url ?? '', headers: request.headers, body });
      if (self.answer === 'hang') return;
      response.writeHead(self.answer, { location: '/elsewhere' }).end('x'.repeat(100));
    });
  };
  const server: Server = tls ? createTlsServer(tls, handler) : createServer(handler);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `${tls ? 'https' : 'http'}://127.0.0.1:${(server.address() as AddressInfo).port}/hook`,
    reports,
    get answer() {
      return self.answer;
    },
    set answer(next) {
      self.answer = next;
    },
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'curfew-hooks-'));
  secretFile = path.join(folder, 'secret');
  await writeFile(secretFile, secret.toString('base64'), { mode: 0o600 });
  receiver = await startReceiver();
  service = await startTestService({ policy: FAILED, hooks: [{ url: receiver.url, secret_file: secretFile }] });
});
after(async () => {
  await service.stop();
  await receiver.stop();
  await rm(folder, { recursive: true, force: true });
});
beforeEach(() => {
  receiver.reports.length = 0;
  receiver.answer = 204;
});

/** Somebody fails to log in until it is noticed. @returns who */
async function noticed(): Promise<string> {
  people += 1;
  const email = `person-${people}@example.com`;
  for (let i = 0; i < 2; i++) {
    const old = { sub: `person-${people}`, email, auth_time: service.now - 4000 };
    assert.equal((await service.login(service.holder(), old)).refused.reason, 'login_too_old');
  }
  return email;
}

function queued() {
  using database = openStoreDatabase(service.storeFile);
  return database.prepare('select url, attempts, next_at from hook_delivery order by id').all();
}

describe('a report', () => {
  test('comes once, says what the audit log says, and is signed as Standard Webhooks has it', async () => {
    const email = await noticed();
    await until(() => receiver.reports.length === 1 && queued().length === 0, 'the report did not come');
    const [report] = receiver.reports;
    assert.ok(report);
    const { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signature } = report.headers;
    const expected = createHmac('sha256', secret).update(`${id}.${timestamp}.${report.body}`).digest('base64');
    assert.equal(signature, `v1,${expected}`);
    assert.equal(Number(timestamp), service.now);
    const { id: inside, type, timestamp: at, data } = JSON.parse(report.body);
    assert.deepEqual(
      [inside, type, at],
      [id, 'failed_logins', new Date(service.now * 1000).toISOString().replace('.000', '')],
    );
    const row = service.audit.findLast(({ event }) => event === 'failed_logins');
    assert.deepEqual({ event: 'failed_logins', ...data }, JSON.parse(JSON.stringify(row)));
    assert.equal(data.username, `curfew:${email}`);
    await sleep(1200);
    assert.equal(receiver.reports.length, 1, 'once');
  });

  test('is tried again after 1, 2, 4 s and so on with the same id, until it is taken', async () => {
    receiver.answer = 500;
    await noticed();
    const waits: number[] = [];
    for (let attempt = 1; attempt <= 4; attempt++) {
      await until(() => queued()[0]?.attempts === attempt, `attempt ${attempt} did not come`);
      waits.push(Number(queued()[0]?.next_at) - service.now);
      service.advance(waits.at(-1) ?? 0);
    }
    assert.deepEqual(waits.slice(0, 3), [1, 2, 4]);
    assert.ok((waits[3] ?? 0) >= 8 && (waits[3] ?? 0) <= 10);
    receiver.answer = 200;
    await until(() => queued().length === 0, 'the delivery did not come');
    assert.equal(new Set(receiver.reports.map(({ headers }) => headers['webhook-id'])).size, 1);
  });

  test('follows no redirect', async () => {
    receiver.answer = 302;
    await noticed();
    await until(() => queued()[0]?.attempts === 1, 'an attempt did not come');
    assert.deepEqual([...new Set(receiver.reports.map(({ url }) => url))], ['/hook']);
    receiver.answer = 204;
    service.advance(1);
    await until(() => queued().length === 0, 'the delivery did not come');
  });

  test('outlives the broker, and a receiver that hangs keeps no login waiting and no stop', async () => {
    receiver.answer = 'hang';
    await noticed();
    await until(() => receiver.reports.length === 1, 'an attempt did not come');
    assert.equal((await service.login(service.holder(), { sub: 'other', email: 'other@example.com' })).status, 200);
    await service.restart();
    assert.equal(queued().length, 1);
    receiver.answer = 204;
    await until(() => queued().length === 0, 'the delivery did not come');
  });

  test('is given up at 410, and after a day; this is said in the log, the secret is not', async () => {
    receiver.answer = 410;
    await noticed();
    await until(() => queued().length === 0, 'giving up did not come');
    receiver.answer = 503;
    await noticed();
    await until(() => queued()[0]?.attempts === 1, 'an attempt did not come');
    service.advance(86_400);
    await until(() => queued().length === 0, 'giving up did not come');
    const log = service.log.join('\n');
    assert.match(log, /a report was given up/);
    for (const text of [secret.toString('base64'), secret.toString('hex')]) assert.ok(!log.includes(text));
  });

  test('to a hook that is not configured any more is dropped, and this is said', async () => {
    receiver.answer = 500;
    await noticed();
    await until(() => queued()[0]?.attempts === 1, 'an attempt did not come');
    await service.reload({ hooks: [] });
    service.advance(1);
    await until(() => queued().length === 0, 'dropping did not come');
    assert.match(service.log.join('\n'), /the hook is not in the configuration any more/);
    await service.reload({});
  });

  test('to an https hook goes only where the certificate is trusted', async () => {
    const authority = await createCertificateAuthority(path.join(folder, 'ca'));
    const { certFile, keyFile } = await authority.issue({ name: 'hook', hosts: ['127.0.0.1'] });
    const [cert, key] = await Promise.all([readFile(certFile, 'utf8'), readFile(keyFile, 'utf8')]);
    const secure = await startReceiver({ cert, key });
    try {
      await service.reload({ hooks: [{ url: secure.url, secret_file: secretFile }] });
      await noticed();
      await until(() => queued()[0]?.attempts === 1, 'an attempt did not come');
      assert.equal(secure.reports.length, 0);
      await service.reload({ hooks: [{ url: secure.url, secret_file: secretFile, ca_file: authority.caFile }] });
      service.advance(1);
      await until(() => secure.reports.length === 1 && queued().length === 0, 'the delivery did not come');
    } finally {
      await service.reload({});
      await secure.stop();
    }
  });
});
