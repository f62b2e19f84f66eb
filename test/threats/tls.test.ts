// H20: servers and clients speak TLS 1.2 and later with suites that are authenticated (AEAD), and nothing else, also after a certificate was
// read again; whoever was answered by https is told to come by https alone.

import assert from 'node:assert/strict';
import { createSecretKey, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { globSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import http2 from 'node:http2';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { takesToken } from '../../broker/api_servers/probe.ts';
import { createReader } from '../../broker/around/reader.ts';
import { createFetchJson } from '../../broker/net/fetch_json.ts';
import { createSend } from '../../cli/wire/http.ts';
import { createBroker } from '../../gateway/authority/ask.ts';
import { Sessions } from '../../gateway/upstream/sessions.ts';
import { tlsTo } from '../../serving/net/roots.ts';
import { testHost } from '../cli/host.ts';
import { ROOT } from '../docs/documents.ts';
import { type CertificateAuthority, createCertificateAuthority } from '../support/certificates.ts';
import { until } from '../support/patience.ts';
import { openRaw, requestText } from '../support/raw_client.ts';
import { type RecordedGateway, startRecordedGateway } from '../support/recorded_gateway.ts';
import { startTestService, type TestService } from '../support/service.ts';
import { negotiate, type Offer, STRONG_OFFERS, startPeer, WEAK_OFFERS } from '../support/tls_peers.ts';

const PODS = '/api/v1/namespaces/dev/pods';
const HSTS = /^strict-transport-security: max-age=31536000\r$/im;

let folder: string;
let authority: CertificateAuthority;
let service: TestService;
let gateway: RecordedGateway;

const issue = (name: string) => authority.issue({ name, hosts: ['127.0.0.1', 'localhost'] });

before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'curfew-tls-'));
  authority = await createCertificateAuthority(folder);
  const { certFile: cert_file, keyFile: key_file } = await issue('broker');
  service = await startTestService({ listen: { address: '127.0.0.1', port: 0, tls: { cert_file, key_file } } });
  gateway = await startRecordedGateway();
});
after(async () => {
  await Promise.all([service?.stop(), gateway?.stop()]);
  await rm(folder, { recursive: true });
});

interface Server {
  readonly url: string;
  readonly ca: string;
  /** Another certificate in the same files, taken by it. */
  renew(): Promise<void>;
}

const SERVERS: Readonly<Record<string, () => Server>> = {
  broker: () => ({
    url: service.url,
    ca: authority.caPem,
    async renew() {
      await issue('broker');
      await service.reload();
      await until(() => service.log.some((line) => line.includes('certificate reloaded')), 'not reloaded');
    },
  }),
  gateway: () => ({
    url: gateway.url,
    ca: gateway.authority.caPem,
    async renew() {
      await gateway.authority.issue({ name: 'own', hosts: ['127.0.0.1', 'localhost'] });
      await until(() => gateway.log().includes('certificate reloaded'), 'not reloaded');
    },
  }),
};

for (const [name, server] of Object.entries(SERVERS)) {
  test(`H20 the ${name} refuses what is older or not authenticated, before and after its certificate is read again`, async () => {
    const { url, ca, renew } = server();
    for (const when of ['at its start', 'after a reload']) {
      for (const [what, offer] of Object.entries(WEAK_OFFERS)) {
        const answer = await negotiate(url, ca, offer);
        assert.match(answer, /^(ERR_SSL_|ECONNRESET$)/, `${what} ${when}: ${answer}`);
      }
      for (const [what, offer] of Object.entries(STRONG_OFFERS)) {
        assert.equal(await negotiate(url, ca, offer), offer.suite ?? 'TLS_AES_128_GCM_SHA256', `${what} ${when}`);
      }
      if (when === 'at its start') await renew();
    }
  });
}

describe('a client of ours', () => {
  const token = () => createSecretKey(randomBytes(32));
  /** Each asks once, whatever comes of it. */
  const CLIENTS: Readonly<Record<string, (url: string, ca: string, ca_file: string) => Promise<unknown>>> = {
    'the broker at an identity provider': async (url, ca) => {
      const json = createFetchJson(ca);
      await json.get(url).finally(() => json.close());
    },
    'the broker at an API server': (url, ca) => takesToken(url, ca, 'token'),
    'an audit of a cluster': async (server, ca) => {
      const reader = createReader({ server, ca } as Parameters<typeof createReader>[0]);
      await reader.text('/version').finally(() => reader.close());
    },
    'the gateway at a broker': async (url, ca) => {
      const broker = createBroker({ url, ca, token: token() });
      await broker.get('/jwks').finally(() => broker.close());
    },
    'the gateway at an API server': async (url, ca) => {
      const sessions = new Sessions(url, tlsTo(ca));
      const stream = sessions.request({ ':path': '/version' }, true);
      await once(stream, 'response').finally(() => sessions.close());
    },
    'the plugin': (url, _ca, ca_file) => createSend(testHost(), ca_file)(url, { method: 'GET' }),
  };
  const GCM: Offer = { version: 'TLSv1.2', suite: 'ECDHE-ECDSA-AES128-GCM-SHA256' };

  for (const [name, ask] of Object.entries(CLIENTS)) {
    test(`H20 ${name} speaks TLS 1.2 with GCM, and neither CBC nor TLS 1.1`, async () => {
      const files = await issue('peer');
      for (const [what, offer] of [...Object.entries(WEAK_OFFERS), ['GCM', GCM] as const]) {
        const peer = await startPeer(files, offer);
        try {
          await ask(peer.url, authority.caPem, authority.caFile).catch(() => undefined);
          assert.equal(peer.served(), what === 'GCM' ? 1 : 0, what);
        } finally {
          peer.close();
        }
      }
    });
  }

  test('H20 nothing in the programs speaks TLS by what Node.js would choose', async () => {
    const makes =
      /new (?:https\.)?Agent\(|createSecureContext\(|https\.request\(|http2\.connect\(|\bssl:|\bconnect\b.* from 'node:tls'/;
    const files = globSync('{broker,gateway,cli,serving}/**/*.ts', { cwd: ROOT });
    const makers: string[] = [];
    for (const file of files) {
      const text = await readFile(path.join(ROOT, file), 'utf8');
      if (!makes.test(text)) continue;
      makers.push(file);
      assert.ok(/STRONG_TLS|tlsTo\(|tlsFor\(|TlsOptions/.test(text), file);
    }
    assert.ok(makers.length >= 10, makers.join('\n'));
  });
});

test('H20 each answer of the broker by https says that it is to be asked by https alone, and none by http does', async () => {
  const long = `X-Long: ${'x'.repeat(20_000)}`;
  const asked: readonly (readonly [number, string])[] = [
    [200, requestText('/healthz')],
    [404, requestText('/nowhere')],
    [405, requestText('/token')],
    [401, requestText('/webhooks/authorize', ['Content-Length: 0'], 'POST')],
    [400, 'nonsense\r\n\r\n'],
    [400, requestText('/%')],
    [417, requestText('/healthz', ['Expect: miracles'])],
    [431, requestText('/healthz', [long])],
  ];
  for (const [status, text] of asked) {
    const client = await openRaw({ url: service.url, ca: authority.caPem });
    client.send(text);
    assert.equal(await client.status(), status);
    assert.match(client.text(), HSTS, text.slice(0, 40));
    client.destroy();
  }
  const plain = await startTestService();
  try {
    for (const place of ['/healthz', '/%'])
      assert.equal((await fetch(plain.url + place)).headers.get('strict-transport-security'), null);
  } finally {
    await plain.stop();
  }
});

test('H20 each answer of the gateway itself says so too, and none that is the API server’s', async () => {
  const bearer = `Authorization: Bearer ${gateway.broker.token('sid')}`;
  const upgrade = ['Connection: Upgrade', 'Upgrade: websocket'];
  const asked: readonly (readonly [number, string, boolean])[] = [
    [401, requestText(PODS), true],
    [400, 'nonsense\r\n\r\n', true],
    [401, requestText(`${PODS}/shell/exec?command=sh`, upgrade), true],
    [200, requestText(PODS, [bearer]), false],
  ];
  for (const [status, text, is_ours] of asked) {
    const client = await gateway.open();
    client.send(text);
    assert.equal(await client.status(), status);
    assert.equal(HSTS.test(client.text()), is_ours, text.slice(0, 40));
    client.destroy();
  }
  const session = http2.connect(gateway.url, { ca: gateway.authority.caPem });
  const stream = session.request({ ':path': PODS });
  const [headers] = await once(stream, 'response');
  assert.equal(headers['strict-transport-security'], 'max-age=31536000');
  session.destroy();
});
