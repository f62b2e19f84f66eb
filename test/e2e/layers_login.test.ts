// OAuth2 Proxy on the wire: the usual recipe has no absolute limit, what is rendered has one, and neither ends a WebSocket.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { RENDERERS } from '../../broker/layers_render/render.ts';
import { run } from '../../scripts/run.ts';
import { seconds } from '../../shared/time.ts';
import { inputOf } from '../broker/layers_golden.ts';
import { type Browser, makeBrowser } from '../support/browser.ts';
import { type Idp, startIdp } from '../support/idp.ts';
import { type App, openStream, startApp } from '../support/layers/app.ts';
import { ensureOAuth2Proxy } from '../support/layers/parts.ts';
import { freePort } from '../support/layers/proxies.ts';
import { until } from '../support/patience.ts';
import { listenAnywhere } from '../support/ports.ts';
import { type Running, startRunning } from '../support/running.ts';

const EXPIRE_S = 4;
/** Far past it. */
const LONG_MS = 3 * EXPIRE_S * 1000;
const CLIENT = { clientId: 'web', client_secret: 'of-the-test-alone' };

let program: string;
let idp: Idp;
let app: App;
let folder: string;
let browser: Browser;
const back = createServer();
let back_port: number;
before(async () => {
  program = await ensureOAuth2Proxy();
  folder = mkdtempSync(path.join(tmpdir(), 'curfew-login-'));
  const alice = { password: 'alice', email: 'alice@example.com', email_verified: true };
  idp = await startIdp({ users: { alice }, refreshTokens: true, pkce: false, ...CLIENT });
  app = await startApp();
  browser = makeBrowser(folder, { user: 'alice', password: 'alice' });
  back_port = await listenAnywhere(back);
});
after(async () => {
  app.close();
  back.close();
  await idp.stop();
  rmSync(folder, { recursive: true, force: true });
});

interface Login {
  readonly program: Running;
  readonly port: number;
  /** By a request of somebody who is active: the status, and the cookies kept as a browser keeps them. */
  ask(): Promise<number>;
  cookie(): string;
  /** Milliseconds since the login. */
  age(): number;
}

/** Starts one and logs in, as a browser would. */
async function logIn(flags: readonly string[]): Promise<Login> {
  const port = await freePort();
  const all = [
    `--http-address=127.0.0.1:${port}`,
    '--provider=oidc',
    `--oidc-issuer-url=${idp.issuer}`,
    `--client-id=${CLIENT.clientId}`,
    `--client-secret=${CLIENT.client_secret}`,
    `--cookie-secret=${randomBytes(16).toString('hex')}`,
    '--email-domain=*',
    `--redirect-url=http://127.0.0.1:${back_port}/callback`,
    `--upstream=http://127.0.0.1:${app.port}`,
    ...flags,
  ];
  const started = startRunning(program, all);
  const jar = new Map<string, string>();
  const cookie = () => [...jar].map(([name, value]) => `${name}=${value}`).join('; ');
  const get = async (where: string) => {
    const answer = await fetch(`http://127.0.0.1:${port}${where}`, {
      headers: { cookie: cookie() },
      redirect: 'manual',
    });
    for (const line of answer.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
      if (value === '') jar.delete(name);
      else jar.set(name, value);
    }
    await answer.arrayBuffer();
    return answer;
  };
  await until(
    () =>
      get('/ping').then(
        ({ ok }) => ok,
        () => false,
      ),
    `it does not answer: ${started.stderr()}`,
  );
  const start = await get('/oauth2/start?rd=/');
  const to = start.headers.get('location') ?? '';
  let query: string | undefined;
  const listen = (request: { url?: string }, response: { end(text: string): void }) => {
    response.end('here');
    query ??= request.url?.split('?')[1];
  };
  back.on('request', listen);
  await run(browser.command, [to]);
  back.off('request', listen);
  assert.ok(query, `nobody came back: ${JSON.stringify(browser.visits().at(-1))}`);
  // From before the cookie: it counts whole seconds, and from later.
  const since = performance.now();
  const done = await get(`/oauth2/callback?${query}`);
  assert.equal(done.status, 302, `${started.stdout()}${started.stderr()}`);
  return {
    program: started,
    port,
    ask: async () => (await get('/oauth2/auth')).status,
    cookie,
    age: () => performance.now() - since,
  };
}

describe('OAuth2 Proxy', () => {
  test('with cookie-expire and cookie-refresh has no absolute limit: whoever is active stays in', async () => {
    const login = await logIn([`--cookie-expire=${EXPIRE_S}s`, '--cookie-refresh=1s', '--cookie-secure=false']);
    try {
      let last = login.age();
      let longest = 0;
      await until(async () => {
        const status = await login.ask();
        longest = Math.max(longest, login.age() - last);
        last = login.age();
        // Whoever was silent for so long was idle, on a machine that stood still.
        assert.ok(status === 202 || longest > (EXPIRE_S - 1) * 1000, `out after ${login.age()} ms`);
        return login.age() > LONG_MS;
      }, 'time stands still');
      assert.ok(longest > (EXPIRE_S - 1) * 1000 || (await login.ask()) === 202);
    } finally {
      await login.program.kill();
    }
  });

  test('Y3 as it is rendered ends at max_age, however active, and a WebSocket goes on', async () => {
    const limits = { max_age: seconds(EXPIRE_S), inactivity_timeout: seconds(2), token_ttl: seconds(1) };
    const file = path.join(folder, 'oauth2-proxy.cfg');
    writeFileSync(file, RENDERERS['oauth2-proxy'](inputOf({ limits })));
    const login = await logIn(['--config', file]);
    const { port } = login;
    const stream = await openStream({
      port,
      host: `127.0.0.1:${port}`,
      does: 'talk',
      headers: { cookie: login.cookie() },
    });
    try {
      assert.equal(await login.ask(), 202);
      await until(async () => (await login.ask()) === 401, 'whoever is active is never out');
      // Of the cookie's own second: it may be over up to one before.
      assert.ok(login.age() > (EXPIRE_S - 1) * 1000, `out after ${login.age()} ms`);
      await until(() => login.age() > LONG_MS, 'time stands still');
      const { received } = stream;
      await until(() => stream.ended !== undefined || stream.received > received, 'nothing comes any more');
      assert.equal(stream.ended, undefined, 'the WebSocket was cut');
    } finally {
      stream.close();
      await login.program.kill();
    }
  });
});
