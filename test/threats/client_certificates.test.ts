// H21: where a certificate of a client is wanted, its token alone opens nothing: none, one of another authority, one that has expired, also on a
// connection that stays open, or by a session that is resumed. On the same listener people need none.

import assert from 'node:assert/strict';
import { createSecretKey } from 'node:crypto';
import { globSync } from 'node:fs';
import { copyFile, mkdtemp, readFile, rm } from 'node:fs/promises';
import https from 'node:https';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { createAsk } from '../../broker/live/ask.ts';
import { lookAtWebhooks } from '../../broker/live/webhook.ts';
import { seconds } from '../../shared/time.ts';
import { type CertificateAuthority, createCertificateAuthority } from '../support/certificates.ts';
import { until } from '../support/patience.ts';
import { type RecordedGateway, startRecordedGateway } from '../support/recorded_gateway.ts';
import { startTestService, T0, type TestService } from '../support/service.ts';

const [LIBRARY = ''] = globSync('/usr/lib/*/faketime/libfaketime.so.1');
const HOSTS = ['127.0.0.1'];
/** Longer than the test's clock is ahead of the machine's. */
const DAYS = 400;

type Pair = { readonly cert: string; readonly key: string } | Record<string, never>;
const NONE: Pair = {};

let folder: string;
let authority: CertificateAuthority;
let clients: CertificateAuthority;
let others: CertificateAuthority;
let client_ca_file: string;
let service: TestService;
let gateway: RecordedGateway;
let good: Pair;
let stranger: Pair;
let lapsed: Pair;

async function pairOf(from: CertificateAuthority, name: string, days = DAYS): Promise<Pair> {
  const { certFile, keyFile } = await from.issue({ name, hosts: HOSTS, days });
  return { cert: await readFile(certFile, 'utf8'), key: await readFile(keyFile, 'utf8') };
}

before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'curfew-client-certificates-'));
  authority = await createCertificateAuthority(folder);
  // As if its certificates were made 19 days ago.
  const before = { LD_PRELOAD: LIBRARY, FAKETIME: '-19d' };
  clients = await createCertificateAuthority(path.join(folder, 'clients'), 'clients', before);
  others = await createCertificateAuthority(path.join(folder, 'others'), 'others');
  client_ca_file = path.join(folder, 'client_ca.crt');
  await copyFile(clients.caFile, client_ca_file);
  const { certFile: cert_file, keyFile: key_file } = await authority.issue({ name: 'broker', hosts: HOSTS });
  const tls = { cert_file, key_file, client_ca_file };
  const cluster = (name: string, client_certificate: boolean) => ({
    ...{ name, server: 'https://127.0.0.1:1', audience: name, allowed_groups: ['*'] },
    webhook: { token_file: `${name}-hook`, on_failure: 'deny', client_certificate },
  });
  service = await startTestService({
    listen: { address: '127.0.0.1', port: 0, tls },
    metrics: { address: '127.0.0.1', port: 0, tls },
    clusters: [cluster('dev', true), cluster('prod-eu', false)],
  });
  gateway = await startRecordedGateway({
    metrics: { address: '127.0.0.1', port: 0, tls },
  });
  good = await pairOf(clients, 'good');
  stranger = await pairOf(others, 'good');
  lapsed = await pairOf(clients, 'lapsed', 7);
});
after(async () => {
  await Promise.all([service?.stop(), gateway?.stop()]);
  await rm(folder, { recursive: true });
});

interface Answer {
  readonly status: number;
  readonly body: string;
}

function agentOf(pair: Pair, more: https.AgentOptions = {}): https.Agent {
  return new https.Agent({ ca: authority.caPem, maxCachedSessions: 0, ...pair, ...more });
}

function ask(url: string, agent: https.Agent, { token = '', body = '' } = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const form = url.endsWith('/introspect');
    const headers = {
      ...(token !== '' && { authorization: `Bearer ${token}` }),
      ...(body !== '' && { 'content-type': form ? 'application/x-www-form-urlencoded' : 'application/json' }),
    };
    const asked = https.request(url, { agent, method: body === '' ? 'GET' : 'POST', headers }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      response.once('end', () => resolve({ status: response.statusCode ?? 0, body: text }));
    });
    asked.once('error', reject).end(body);
  });
}

const REVIEW = JSON.stringify({
  ...{ apiVersion: 'authorization.k8s.io/v1', kind: 'SubjectAccessReview' },
  spec: { user: 'x', resourceAttributes: { verb: 'get', resource: 'pods', namespace: 'dev' } },
});

/** The webhook of a cluster. */
const review = (agent: https.Agent, cluster = 'dev') =>
  ask(`${service.url}/webhooks/authorize`, agent, { token: service.webhook_tokens[cluster] ?? '', body: REVIEW });

const refusals = (): Readonly<Record<string, Pair>> => ({ none: NONE, 'of another': stranger, expired: lapsed });

async function assertRefused({ status, body }: Answer, what: string): Promise<void> {
  assert.deepEqual([status, JSON.parse(body).reason], [401, 'client_certificate'], what);
}

test('H21 check --live, which has no certificate, blames no token for that', async () => {
  const where = { issuer: service.url, issuer_ca: authority.caPem };
  const look = async (name: string) => {
    const token = createSecretKey(Buffer.from(service.webhook_tokens[name] ?? '', 'base64url'));
    const webhook = { token, on_failure: 'deny', authentication: false, client_certificate: name === 'dev' } as const;
    const [seen] = await lookAtWebhooks(
      where,
      { name, webhook },
      createAsk(() => T0),
    );
    return seen;
  };
  assert.equal((await look('prod-eu'))?.state, 'ok');
  const seen = await look('dev');
  assert.equal(seen?.state, 'not_known', seen?.says);
  assert.match(seen.says, /knows the token, and asks for a client certificate/);
});

test('H21 the webhook of a cluster that must present a certificate takes no other, nor does introspection; people and others need none', async () => {
  assert.equal((await review(agentOf(good))).status, 200);
  const introspect = (pair: Pair) =>
    ask(`${service.url}/introspect`, agentOf(pair), { token: service.webhook_tokens.dev ?? '', body: 'token=x' });
  assert.equal((await introspect(good)).status, 200);
  for (const [what, pair] of Object.entries(refusals())) {
    await assertRefused(await review(agentOf(pair)), what);
    await assertRefused(await introspect(pair), what);
    assert.equal((await review(agentOf(pair), 'prod-eu')).status, 200, what);
    assert.equal((await ask(`${service.url}/healthz`, agentOf(pair))).status, 200, what);
  }
  await until(
    () => service.audit.some((row) => row.event === 'refusal' && row.reason === 'client_certificate'),
    'not recorded',
  );
  assert.ok(service.log.some((line) => line.includes('no client certificate was presented')));
});

test('H21 a certificate without the token is nobody’s, and neither is one with the token of another cluster', async () => {
  const url = `${service.url}/webhooks/authorize`;
  assert.equal((await ask(url, agentOf(good), { body: REVIEW })).status, 401);
  assert.equal((await ask(url, agentOf(good), { token: 'x'.repeat(43), body: REVIEW })).status, 401);
});

test('H21 a session that is resumed without a certificate has none, whatever OpenSSL says of it', async () => {
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    const agent = agentOf(NONE, { maxCachedSessions: 10, maxVersion, keepAlive: false });
    let resumed = false;
    agent.on('free', () => undefined);
    for (let i = 0; i < 4; i++) {
      const made = agent.createConnection.bind(agent);
      agent.createConnection = ((...given: Parameters<typeof made>) => {
        const socket = made(...given) as import('node:tls').TLSSocket;
        socket.once('secureConnect', () => {
          resumed ||= socket.isSessionReused();
        });
        return socket;
      }) as never;
      await assertRefused(await review(agent), maxVersion);
    }
    assert.ok(resumed, `no session was resumed: ${maxVersion}`);
  }
});

test('H21 after a reload of the server’s certificate clients are asked and believed as before; after one of the authority the old ones are refused, open or not', async () => {
  const open = agentOf(good, { keepAlive: true, maxSockets: 1 });
  assert.equal((await review(open)).status, 200);
  await authority.issue({ name: 'broker', hosts: HOSTS });
  await service.reload();
  assert.equal((await review(agentOf(good))).status, 200);
  await assertRefused(await review(agentOf(NONE)), 'after a reload');
  assert.equal((await review(open)).status, 200);

  await copyFile(others.caFile, client_ca_file);
  await service.reload();
  await assertRefused(await review(open).catch(() => review(agentOf(good))), 'open');
  await assertRefused(await review(agentOf(good)), 'of before');
  assert.equal((await review(agentOf(stranger))).status, 200);
  await copyFile(clients.caFile, client_ca_file);
  await service.reload();
  assert.equal((await review(agentOf(good))).status, 200);
  open.destroy();
});

test('H21 figures of broker and gateway are for certificates where an authority is named, and readiness is for everybody', async () => {
  const places = [service.metrics_url ?? '', `${gateway.gateway.health_url}/metrics`];
  for (const url of places) {
    assert.ok(url.startsWith('https:'), url);
    await until(async () => (await ask(url, agentOf(good))).status === 200, url);
    for (const [what, pair] of Object.entries(refusals())) {
      const { status, body } = await ask(url, agentOf(pair));
      assert.equal(status, 401, what);
      assert.ok(!body.includes('curfew_'), what);
    }
  }
  assert.equal((await ask(`${gateway.gateway.health_url}/readyz`, agentOf(NONE))).status, 200);
  await copyFile(others.caFile, client_ca_file);
  for (const url of places) {
    await until(async () => (await ask(url, agentOf(stranger))).status === 200, url);
    assert.equal((await ask(url, agentOf(good))).status, 401, url);
  }
});

// The broker's clock never goes back: the last.
test('H21 one that expires while its connection is open is refused from then on', async () => {
  await copyFile(clients.caFile, client_ca_file);
  await service.reload();
  const start = Math.max(T0, Math.ceil(Date.now() / 1000));
  // Made 19 days ago, and good for two more by either clock.
  const days = Math.ceil((start - Date.now() / 1000) / 86_400) + 19 + 2;
  const agent = agentOf(await pairOf(clients, 'soon', days), { keepAlive: true, maxSockets: 1 });
  assert.equal((await review(agent)).status, 200);
  service.now = seconds(start + 4 * 86_400);
  await assertRefused(await review(agent), 'expired meanwhile');
  agent.destroy();
});
