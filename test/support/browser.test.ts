// The scripted browser as the program under test meets it: a command in BROWSER, at http and https, in all its moods.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { run } from '../../scripts/run.ts';
import { type Browser, makeBrowser } from './browser.ts';
import { createCertificateAuthority } from './certificates.ts';
import { type Idp, startIdp } from './idp.ts';

let dir = '';
let idp: Idp;
let browser: Browser;
let program: Server;
let caFile = '';
const back: URL[] = [];

before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'curfew-browser-'));
  const authority = await createCertificateAuthority(join(dir, 'pki'));
  caFile = authority.caFile;
  const tls = await authority.issue({ name: 'idp', hosts: ['127.0.0.1'] });
  idp = await startIdp({ users: { alice: { password: 'alice' } }, tls });
  program = createServer(({ url = '/' }, response) => {
    back.push(new URL(url, 'http://127.0.0.1'));
    response.end('<html><head><title>x</title></head><body><p>You may\n close this <b>tab</b>.</p></body></html>');
  }).listen(0, '127.0.0.1');
  await once(program, 'listening');
});
after(async () => {
  program.closeAllConnections();
  program.close();
  await idp.stop();
  await rm(dir, { recursive: true, force: true });
});
let names = 0;
beforeEach(() => {
  names += 1;
  browser = makeBrowser(dir, { user: 'alice', password: 'alice', caFile }, `it's ${names}`);
  back.length = 0;
  idp.resetCounts();
});

function start(): string {
  const { port } = program.address() as AddressInfo;
  const query = {
    client_id: 'curfew',
    response_type: 'code',
    scope: 'openid',
    redirect_uri: `http://127.0.0.1:${port}/callback`,
    state: 'the-state',
    code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
    code_challenge_method: 'S256',
  };
  return `${idp.issuer}/auth?${new URLSearchParams(query)}`;
}

test('it logs in at https with its CA, follows to the loopback, asks for the icon, and is silent', async () => {
  const { code, stdout, stderr } = await run(browser.command, [start()], { env: { PATH: process.env.PATH } });
  assert.deepEqual([code, stdout, stderr], [0, '', '']);
  assert.deepEqual(
    back.map(({ pathname }) => pathname),
    ['/callback', '/favicon.ico'],
  );
  assert.equal(back[0]?.searchParams.get('state'), 'the-state');
  assert.ok(back[0]?.searchParams.get('code'));
  const [visit] = browser.visits();
  assert.deepEqual([visit?.ended, visit?.form, visit?.status], ['callback', true, 200]);
  assert.equal(visit?.text, 'You may close this tab.');
});

test('without the CA it does not believe the IdP', async () => {
  browser.set({ caFile: '' });
  await run(browser.command, [start()]);
  const [visit] = browser.visits();
  assert.equal(visit?.ended, 'failed');
  assert.match(visit?.error ?? '', /certificate/);
});

test('a second visit lives on the cookies of the first, a browser with another jar does not', async () => {
  for (let visits = 0; visits < 2; visits += 1) await run(browser.command, [start()]);
  assert.equal(idp.forms, 1);
  const other = makeBrowser(dir, { user: 'alice', password: 'alice', caFile }, 'other');
  await run(other.command, [start()]);
  assert.equal(idp.forms, 2);
  assert.deepEqual(
    browser.visits().map(({ form }) => form),
    [true, false],
  );
});

test('abandon opens the login page and goes away, and never reaches the program, SSO or not', async () => {
  browser.set({ mode: 'abandon' });
  await run(browser.command, [start()]);
  browser.set({ mode: 'login' });
  await run(browser.command, [start()]);
  back.length = 0;
  browser.set({ mode: 'abandon' });
  await run(browser.command, [start()]);
  assert.deepEqual(
    browser.visits().map(({ mode, ended, form }) => [mode, ended, form]),
    [
      ['abandon', 'abandoned', false],
      ['login', 'callback', true],
      ['abandon', 'abandoned', false],
    ],
  );
  assert.equal(back.length, 0);
});

test('deny cancels at the IdP, and the program hears access_denied', async () => {
  browser.set({ mode: 'deny' });
  await run(browser.command, [start()]);
  assert.equal(back[0]?.searchParams.get('error'), 'access_denied');
  assert.equal(browser.visits()[0]?.form, false);
});

test('slow takes its time, and an open tab is seen before it ends', async () => {
  browser.set({ mode: 'slow:1' });
  const running = run(browser.command, [start()]);
  while (idp.forms === 0) await new Promise((done) => setTimeout(done, 10));
  assert.deepEqual(
    browser.visits().map(({ ended }) => ended),
    [undefined],
  );
  assert.ok((await running).ms >= 1000);
  assert.equal((await browser.waitForVisits(1))[0]?.ended, 'callback');
});

test('an error of the IdP is a page, and a server out of reach a failure', async () => {
  await run(browser.command, [`${idp.issuer}/auth?client_id=nobody`]);
  await run(browser.command, ['http://127.0.0.1:9/']);
  const [page, failure] = browser.visits();
  assert.deepEqual([page?.ended, page?.status], ['page', 400]);
  assert.match(page?.text ?? '', /invalid_client/);
  assert.equal(failure?.ended, 'failed');
});

test('twenty browsers at once, on one jar, all arrive', async () => {
  await Promise.all(Array.from({ length: 20 }, () => run(browser.command, [start()])));
  const visits = browser.visits();
  assert.equal(visits.length, 20);
  assert.ok(visits.every(({ ended }) => ended === 'callback'));
});
