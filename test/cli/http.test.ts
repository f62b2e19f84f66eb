// The plugin and a broker or IdP that is not what it should be (P11, F4).

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Endpoints } from '../../cli/warm/session_record.ts';
import { createBroker } from '../../cli/wire/broker.ts';
import { generateKey } from '../../cli/wire/dpop.ts';
import { createSend } from '../../cli/wire/http.ts';
import { seconds } from '../../shared/time.ts';
import { createCertificateAuthority } from '../support/certificates.ts';
import { claimsOf } from '../support/holder.ts';
import { assertKept } from '../support/patience.ts';
import { type Desk, execInfo, openDesk, refusalOf } from './desk.ts';
import { testHost } from './host.ts';

async function serve(
  listener: RequestListener,
  server: Server = createServer(listener),
): Promise<{ url: string; server: Server }> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

function stop(server: Server): void {
  server.close();
  server.closeAllConnections();
}

const endpoints = (url: string): Endpoints => ({
  token_endpoint: `${url}/token`,
  revocation_endpoint: `${url}/revoke`,
});
const limits = { max_age: seconds(900), inactivity_timeout: seconds(600), token_ttl: seconds(300) };
const session = {
  ...{ sid: 's', username: 'alice', groups: [], limits: { session: limits, target: limits } },
  ...{ auth_time: seconds(1), session_end: seconds(601), end_at_most: seconds(901), broker_time: seconds(1) },
};
const REPLY = { access_token: 't', issued_token_type: 'jwt', token_type: 'N_A', expires_in: 300, session };

describe('an insecure way (P11)', () => {
  let desk: Desk;
  before(async () => {
    desk = await openDesk();
  });
  after(() => desk.stop());

  it('http to a broker that is not loopback is refused, in every command', async () => {
    for (const args of [
      ['get-token', '--broker', 'http://broker.example.com', '--cluster', 'dev'],
      ['login', '--broker', 'http://broker.example.com'],
      ['setup', '--broker', 'http://broker.example.com'],
      ['login', '--broker', 'ftp://broker.example.com'],
      ['login', '--broker', 'https://user:secret@broker.example.com'],
    ]) {
      const result = await desk.curfew(args, { KUBERNETES_EXEC_INFO: execInfo(true) });
      assert.equal(result.code, 78, result.stderr);
      refusalOf(result);
    }
  });

  it('NODE_TLS_REJECT_UNAUTHORIZED=0 is refused by name, also with a token in the cache', async () => {
    assert.equal((await desk.getToken('dev', true)).code, 0);
    const result = await desk.getToken('dev', false, { env: { NODE_TLS_REJECT_UNAUTHORIZED: '0' } });
    assert.equal(result.code, 78);
    assert.match(result.stderr, /curfew: error: NODE_TLS_REJECT_UNAUTHORIZED=0 turns certificate checks off/);
    assert.equal(result.stdout, '');
  });

  it('a certificate of an unknown authority is refused, and the way out named', async () => {
    const result = await desk.curfew(['login', '--broker', desk.url], { CURFEW_CONFIG_DIR: `${desk.dir}/new` });
    assert.equal(result.code, 69);
    assert.match(refusalOf(result).error, /its certificate is not trusted .*--ca-file adds a root/);
  });

  it('a redirect is not followed, wherever it goes', async () => {
    const seen: string[] = [];
    const { server, url } = await serve((request, response) => {
      seen.push(request.url ?? '');
      response.writeHead(307, { location: request.url === '/there' ? '/' : '/there' }).end();
    });
    const host = testHost();
    const broker = createBroker(url, createSend(host), host);
    await assert.rejects(broker.metadata(), { code: 'insecure' });
    const renewal = { handle: 'secret-handle', audience: 'dev' };
    await assert.rejects(broker.renew(endpoints(url), generateKey(), renewal), { code: 'insecure' });
    assert.deepEqual(seen, ['/.well-known/curfew', '/token']);
    stop(server);
  });

  it('metadata that send the handle to another origin are refused', async () => {
    const idp = {
      issuer: 'https://idp',
      client_id: 'c',
      scopes: ['openid'],
      redirect_host: '127.0.0.1',
      redirect_ports: [],
    };
    const { server, url } = await serve((_request, response) => {
      const evil = {
        issuer: url,
        token_endpoint: 'https://evil.example.com/token',
        revocation_endpoint: `${url}/revoke`,
        sessions_endpoint: `${url}/v1/sessions`,
      };
      response.end(JSON.stringify({ ...evil, identity_provider: idp, limits, clusters: [] }));
    });
    const host = testHost();
    await assert.rejects(createBroker(url, createSend(host), host).metadata(), {
      code: 'insecure',
      message: /evil/,
    });
    stop(server);
  });
});

describe('a program that is stopped (SIGSTOP) during its request', () => {
  /** @returns what it printed, and how many requests came; the first is answered as told while it stands still */
  const stopDuring = async (what: 'metadata' | 'renew', ms: number, first: 'answer' | 'break' | 'never') => {
    const metadata = {
      ...{ token_endpoint: '/', revocation_endpoint: '/', sessions_endpoint: '/', clusters: [], limits },
      identity_provider: { issuer: 'https://idp', client_id: 'c', scopes: ['openid'], redirect_host: '127.0.0.1' },
    };
    let requests = 0;
    let arrived: () => void = () => undefined;
    const begun = new Promise<void>((resolve) => {
      arrived = resolve;
    });
    const { server, url } = await serve((request, response) => {
      requests += 1;
      const at = `http://${request.headers.host}`;
      const idp = { ...metadata.identity_provider, redirect_ports: [] };
      const told = { ...metadata, issuer: at, identity_provider: idp };
      const urls = { token_endpoint: at, revocation_endpoint: at, sessions_endpoint: at };
      const text = JSON.stringify(what === 'metadata' ? { ...told, ...urls } : REPLY);
      if (requests > 1) response.end(text);
      else {
        arrived();
        if (first !== 'never')
          setTimeout(() => (first === 'answer' ? response.end(text) : request.socket.destroy()), 100);
      }
    });
    const child = spawn(process.execPath, [path.join(import.meta.dirname, 'asking.ts'), what, url]);
    let printed = '';
    child.stdout.on('data', (chunk) => {
      printed += chunk;
    });
    await begun;
    child.kill('SIGSTOP');
    await sleep(ms);
    child.kill('SIGCONT');
    await once(child, 'close');
    stop(server);
    return { printed: printed.trim(), requests };
  };

  for (const [what, ms] of [
    ['metadata', 2_500],
    ['renew', 10_500],
  ] as const)
    it(`takes the answer that came meanwhile, or asks once more (${what})`, async () => {
      const [answer, broken, never] = await Promise.all(
        (['answer', 'break', 'never'] as const).map((first) => stopDuring(what, ms, first)),
      );
      assert.deepEqual(answer, { printed: 'answered', requests: 1 });
      assert.deepEqual(broken, { printed: 'answered', requests: 2 });
      assert.deepEqual(never, { printed: 'answered', requests: 2 });
    });
});

describe('a broker that fails', () => {
  const renewAt = async (listener: RequestListener) => {
    const { server, url } = await serve(listener);
    const host = testHost();
    const begin = performance.now();
    try {
      const answer = await createBroker(url, createSend(host), host).renew(endpoints(url), generateKey(), {
        handle: 'secret-handle',
        audience: 'dev',
      });
      return { answer };
    } catch (error) {
      assert.ok(error instanceof Error && 'code' in error, String(error));
      assert.ok(!error.message.includes('secret-handle'));
      return { code: error.code, message: error.message, ms: performance.now() - begin };
    } finally {
      stop(server);
    }
  };
  const ok = (response: { end(text: string): void }) => response.end(JSON.stringify(REPLY));

  it('by hanging, or a byte a second, is given up within 10 s, and named', async () => {
    const timers: NodeJS.Timeout[] = [];
    const [hang, drip] = await Promise.all([
      renewAt(() => undefined),
      renewAt((_request, response) => void timers.push(setInterval(() => response.write(' '), 1_000))),
    ]);
    for (const timer of timers) clearInterval(timer);
    for (const { code, message, ms } of [hang, drip]) {
      assert.equal(code, 'broker_unreachable');
      assert.match(message ?? '', /^the broker at 127\.0\.0\.1:\d+ is out of reach: no answer in time$/);
      assertKept(ms ?? Number.NaN, 10_000);
    }
  });

  it('by a page, an empty answer, or what is not a reply, is named', async () => {
    for (const body of ['<h1>maintenance</h1>', '', '{}', JSON.stringify({ ...REPLY, session: {} })]) {
      const { code, message } = await renewAt((_request, response) => response.end(body));
      assert.equal(code, 'broker_unreachable');
      assert.match(message ?? '', /answered HTTP 200, not as a broker does$/);
    }
  });

  it('by an answer that is too large is cut off', async () => {
    const { code } = await renewAt((_request, response) => response.end('x'.repeat(2 * 1024 * 1024)));
    assert.equal(code, 'broker_unreachable');
  });

  it('by 503 says so in its words, after a few more tries where it is asked for soon', async () => {
    const refusal = { error: 'temporarily_unavailable', error_description: 'the store\nis away', reason: 'store' };
    let tries = 0;
    const away: RequestListener = (_request, response) => {
      tries += 1;
      response.writeHead(503, { 'retry-after': '1' }).end(JSON.stringify(refusal));
    };
    const { code, message } = await renewAt(away);
    assert.equal(code, 'unavailable');
    assert.match(message ?? '', /answered: the store is away$/);
    assert.ok(tries === 2 || tries === 3, `${tries}`);
    let late = 0;
    const back = await renewAt((request, response) => (late++ === 0 ? away(request, response) : ok(response)));
    assert.equal(back.answer?.reply?.access_token, 't');
  });

  it('by losing its answer is asked once more, with a proof of its own (F2)', async () => {
    const proofs: unknown[] = [];
    const { answer } = await renewAt((request, response) => {
      proofs.push(request.headers.dpop);
      if (proofs.length === 1) request.socket.destroy();
      else ok(response);
    });
    assert.ok(answer?.reply);
    assert.equal(new Set(proofs).size, 2);
  });

  it('that asks for a DPoP nonce gets it, once', async () => {
    const nonces: unknown[] = [];
    const ask: RequestListener = (request, response) => {
      nonces.push(claimsOf(String(request.headers.dpop)).nonce);
      const refusal = { error: 'use_dpop_nonce', error_description: 'use the nonce', reason: 'proof_nonce' };
      if (nonces.length === 3) return ok(response);
      response.writeHead(400, { 'dpop-nonce': `nonce-${nonces.length}` }).end(JSON.stringify(refusal));
    };
    const { answer } = await renewAt(ask);
    assert.equal(answer?.refusal?.reason, 'proof_nonce');
    assert.deepEqual(nonces, [undefined, 'nonce-1']);
  });
});

describe('TLS and proxies', () => {
  it('--ca-file adds to the roots; the proxy of the environment is used, except for this machine', async () => {
    const host = testHost();
    const authority = await createCertificateAuthority(host.home);
    const { certFile, keyFile } = await authority.issue({ name: 'server', hosts: ['127.0.0.1', 'broker.example.com'] });
    const [cert, key] = await Promise.all([readFile(certFile), readFile(keyFile)]);
    const tls = createTlsServer({ cert, key }, (_request, response) => response.end('hello'));
    const { url } = await serve(() => undefined, tls as unknown as Server);
    const secure = url.replace('http:', 'https:');
    const { port } = new URL(url);

    const asked: string[] = [];
    const proxy = createServer().on('connect', async (request, socket) => {
      asked.push(request.url ?? '');
      const { connect } = await import('node:net');
      const upstream = connect(Number(port), '127.0.0.1', () => {
        socket.write('HTTP/1.1 200 OK\r\n\r\n');
        upstream.pipe(socket).pipe(upstream);
      });
      for (const end of [upstream, socket]) end.on('error', () => undefined);
    });
    const proxied = await serve(() => undefined, proxy);

    const send = createSend({ ...testHost(), env: { HTTPS_PROXY: proxied.url } }, authority.caFile);
    assert.equal((await send(secure, { method: 'GET' })).body, 'hello');
    assert.deepEqual(asked, []);
    assert.equal((await send('https://broker.example.com/', { method: 'GET' })).body, 'hello');
    assert.deepEqual(asked, ['broker.example.com:443']);
    const direct = createSend(
      { ...testHost(), env: { HTTPS_PROXY: proxied.url, NO_PROXY: 'broker.example.com' } },
      authority.caFile,
    );
    await assert.rejects(direct('https://broker.example.com/', { method: 'GET', deadline: 2_000 }));
    assert.equal(asked.length, 1);
    await assert.rejects(createSend({ ...testHost(), env: {} })(secure, { method: 'GET' }), /not trusted/);
    stop(proxy);
    stop(tls as unknown as Server);
  });

  it('a --ca-file that is not there, or holds no certificate, is refused by name', () => {
    assert.throws(() => createSend({ ...testHost(), env: {} }, '/nowhere/ca.crt'), {
      code: 'configuration',
      message: /\/nowhere\/ca\.crt.*ENOENT/,
    });
    assert.throws(() => createSend({ ...testHost(), env: {} }, import.meta.filename), {
      code: 'configuration',
      message: /no PEM certificate/,
    });
  });
});

describe('an identity provider that fails a login (F4)', () => {
  let desk: Desk;
  before(async () => {
    desk = await openDesk();
  });
  after(() => desk.stop());
  const faults = {
    refuse: /is out of reach/,
    hang: /is out of reach: no answer in time/,
    '500': /gave no valid answer|refused/,
    html: /gave no valid answer|refused/,
    wrong_issuer: /gave no valid answer/,
    redirect: /is out of reach: it redirects elsewhere/,
  } as const;

  for (const [fault, words] of Object.entries(faults)) {
    it(`in discovery by ${fault}: 69 or 77 within 10 s, and its host is named`, async () => {
      desk.idp.misbehave({ discovery: fault as keyof typeof faults });
      const result = await desk.getToken('dev', true);
      desk.idp.misbehave({});
      assert.ok(result.code === 69 || result.code === 77, `${result.code} ${result.stderr}`);
      const { error } = refusalOf(result);
      assert.match(error, words);
      assert.ok(error.includes(new URL(desk.idp.issuer).host));
      assertKept(result.ms, 10_000);
    });
  }

  it('at its token endpoint: said in the terminal and in the browser, and nothing is kept', async () => {
    desk.idp.misbehave({ token: '500' });
    const result = await desk.getToken('dev', true);
    desk.idp.misbehave({});
    assert.ok(result.code === 69 || result.code === 77);
    refusalOf(result);
    assert.match(JSON.stringify((await desk.browser.waitForVisits(1)).at(-1)), /Not logged in/);
    assert.equal((await desk.getToken('dev', false)).code, 77);
  });
});
