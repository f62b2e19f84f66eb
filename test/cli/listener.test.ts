// The listener on loopback (P9): what it takes, what it does not mind, and that it closes.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, Server } from 'node:net';
import { after, before, describe, it, mock } from 'node:test';
import { openListener } from '../../cli/login/listener.ts';
import { openBrowser, splitList, splitWords } from '../../cli/login/open_browser.ts';
import { page } from '../../cli/login/page.ts';
import { run } from '../../scripts/run.ts';
import { freePort } from '../cluster/ports.ts';
import { PROGRAMS } from '../native/launcher.ts';
import { type Desk, openDesk } from './desk.ts';
import { testHost } from './host.ts';

const get = (url: string) => fetch(url, { redirect: 'manual' });

describe('the listener', () => {
  it('hears localhost in both families at one port, and takes no port that another has in one of them', async () => {
    await using listener = await openListener('localhost', []);
    const { port } = new URL(listener.redirect_uri);
    const heard = async (host: string) => (await get(`http://${host}:${port}/callback?state=wrong`)).status;
    assert.deepEqual([await heard('127.0.0.1'), await heard('[::1]')], [404, 404]);
    const [first, second] = [await freePort(), await freePort()];
    const squatter = createServer().listen(first, '::1');
    await once(squatter, 'listening');
    try {
      await using other = await openListener('localhost', [first, second]);
      assert.equal(new URL(other.redirect_uri).port, String(second));
      await assert.rejects(openListener('localhost', [first]), /no redirect port of 127\.0\.0\.1 and ::1 .*EADDRINUSE/);
      await assert.rejects(fetch(`http://127.0.0.1:${first}/callback`), TypeError);
    } finally {
      squatter.close();
    }
  });

  for (const code of ['EADDRNOTAVAIL', 'EAFNOSUPPORT'] as const) {
    it(`is on the family that there is, where the machine has no other (${code}) (P9)`, async () => {
      const real = Server.prototype.listen;
      // As where the kernel has no IPv6, or loopback no such address.
      const listen = mock.method(Server.prototype, 'listen', function (this: Server, ...args: unknown[]) {
        if (
          !args.some(
            (one) => one === '::1' || (typeof one === 'object' && one !== null && 'host' in one && one.host === '::1'),
          )
        )
          return Reflect.apply(real, this, args);
        process.nextTick(() => this.emit('error', Object.assign(new Error(code), { code })));
        return this;
      });
      try {
        await using listener = await openListener('localhost', []);
        const { port } = new URL(listener.redirect_uri);
        assert.equal((await get(`http://127.0.0.1:${port}/callback?state=wrong`)).status, 404);
        await assert.rejects(openListener('[::1]', []), { code: 'busy' });
      } finally {
        listen.mock.restore();
      }
    });
  }

  it('leads from a short address to the long one: once, by GET alone, kept by no cache, without a referrer', async () => {
    await using listener = await openListener('127.0.0.1', []);
    const long = 'https://idp.example.com/auth?client_id=curfew&state=secret';
    const short = listener.shorten(long);
    assert.ok(short.length < 60, short);
    const path = new URL(short).pathname;
    assert.match(path, /^\/[A-Za-z0-9_-]{22}$/, '128 bits');
    for (const other of [
      `${short}x`,
      short.slice(0, -1),
      `${short}?x`,
      short.toUpperCase(),
      new URL('/', short).href,
    ]) {
      assert.equal((await get(other)).status, 404, other);
    }
    for (const method of ['POST', 'HEAD', 'PUT']) {
      assert.equal((await fetch(short, { method, redirect: 'manual' })).status, 404, method);
    }
    const { status, headers } = await get(short);
    assert.deepEqual([status, headers.get('location')], [303, long]);
    assert.deepEqual([headers.get('cache-control'), headers.get('referrer-policy')], ['no-store', 'no-referrer']);
    assert.equal((await get(short)).status, 404);
    const again = listener.shorten(long);
    assert.notEqual(again, short);
    assert.equal((await get(short)).status, 404);
    assert.equal((await get(again)).status, 303);
  });

  it('takes the visit with its state once, and ignores wrong states, other paths and other methods (P9)', async () => {
    await using listener = await openListener('127.0.0.1', []);
    const { redirect_uri } = listener;
    const waiting = listener.wait('right', 10_000);
    const { origin } = new URL(redirect_uri);
    for (const stray of [
      '',
      '?state=wrong&code=x',
      '?code=x',
      '?state=',
      '?state=right2',
      `?state=${'x'.repeat(5_000)}`,
    ]) {
      assert.equal((await get(redirect_uri + stray)).status, 404);
    }
    assert.equal((await get(`${origin}/favicon.ico`)).status, 404);
    assert.equal((await get(`${origin}/?state=right`)).status, 404);
    assert.equal((await fetch(`${redirect_uri}?state=right`, { method: 'POST' })).status, 404);

    const answer = get(`${redirect_uri}?code=abc&state=right`);
    const visit = await waiting;
    assert.equal(visit.query, 'code=abc&state=right');
    assert.equal((await get(`${redirect_uri}?code=abc&state=right`)).status, 404);
    await visit.answer(200, page('Logged in', ['done']));
    const response = await answer;
    assert.equal(response.status, 200);
    assert.match(response.headers.get('content-security-policy') ?? '', /^default-src 'none'/);
    assert.match(await response.text(), /<h1>Logged in<\/h1>/);
  });

  it("is not disturbed by another process's connections that say nothing, or nonsense (P9)", async () => {
    await using listener = await openListener('127.0.0.1', []);
    const port = Number(new URL(listener.redirect_uri).port);
    const sockets = Array.from({ length: 20 }, () => connect(port, '127.0.0.1'));
    for (const [i, socket] of sockets.entries()) {
      socket.on('error', () => undefined);
      if (i % 2 === 0) socket.write('\0\x16\x03\x01 nonsense\r\n\r\n');
    }
    const waiting = listener.wait('right', 10_000);
    const answer = get(`${listener.redirect_uri}?state=right`);
    await (await waiting).answer(200, '');
    assert.equal((await answer).status, 200);
    for (const socket of sockets) socket.destroy();
  });

  it('sends the same tab on to a second request with a state of its own', async () => {
    await using listener = await openListener('127.0.0.1', []);
    const first = listener.wait('one', 10_000);
    const answer = get(`${listener.redirect_uri}?state=one`);
    const visit = await first;
    const second = listener.wait('two', 10_000);
    await visit.redirect('https://idp.example.com/auth?state=two');
    assert.equal((await answer).headers.get('location'), 'https://idp.example.com/auth?state=two');
    assert.equal((await get(`${listener.redirect_uri}?state=one`)).status, 404);
    void get(`${listener.redirect_uri}?state=two`).catch(() => undefined);
    assert.equal((await second).query, 'state=two');
  });

  it('closes: at its deadline, and with all connections (P9)', async () => {
    let url = '';
    const login = async () => {
      await using listener = await openListener('127.0.0.1', []);
      url = listener.redirect_uri;
      await listener.wait('right', 60);
    };
    await assert.rejects(login(), { code: 'login_failed', message: /^nobody logged in within/ });
    await assert.rejects(get(url), TypeError);
  });

  it('takes the next port when one is taken, and says which were when all are (P9)', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const { port } = taken.address() as AddressInfo;
    const free = createServer().listen(0, '127.0.0.1');
    await once(free, 'listening');
    const next = (free.address() as AddressInfo).port;
    free.close();
    await once(free, 'close');
    {
      await using listener = await openListener('localhost', [port, next]);
      assert.equal(listener.redirect_uri, `http://localhost:${next}/callback`);
    }
    await assert.rejects(openListener('127.0.0.1', [port]), {
      code: 'busy',
      message: new RegExp(`${port} \\(EADDRINUSE\\)`),
    });
    taken.close();
  });
});

for (const via of PROGRAMS)
  describe(`the listener of a login (${via})`, () => {
    let desk: Desk;
    let taken: Server;
    let ports: readonly number[];
    before(async () => {
      ports = [await freePort(), await freePort()];
      taken = createServer().listen(ports[0], '127.0.0.1');
      await once(taken, 'listening');
      desk = await openDesk({}, { via, identityProvider: { redirect_ports: ports } });
      desk.browser.set({ mode: 'abandon' });
    });
    after(async () => {
      taken.close();
      await desk.stop();
    });

    it('is on the next port when one is taken, minds neither strangers nor wrong states, and closes after one success (P9)', async () => {
      using pty = desk.curfewAtTerminal(['login', '--broker', desk.url, '--ca-file', desk.ca_file]);
      const address = await pty.waitFor(/(?<=log in at: )\S+/);
      const short = new URL(address);
      assert.match(address, /^http:\/\/127\.0\.0\.1:[0-9]+\/[A-Za-z0-9_-]{22}$/);
      assert.equal(Number(short.port), ports[1]);
      const callback = new URL('/callback', short);
      const strangers = Array.from({ length: 5 }, () => connect(Number(callback.port), '127.0.0.1'));
      for (const socket of strangers) socket.on('error', () => undefined).write('nonsense\r\n');
      for (const query of ['', '?state=wrong&code=x', '?code=x']) {
        assert.equal((await get(`${callback}${query}`)).status, 404);
      }
      assert.equal((await get(`${short.origin}/${'A'.repeat(22)}`)).status, 404);
      await run((await desk.withBrowser({ mode: 'login' })).command, [address]);
      assert.equal((await get(address).catch(() => ({ status: 404 }))).status, 404, 'it leads there once');
      await pty.waitFor(/logged in as curfew:alice@example\.com for /);
      assert.equal((await pty.exit).code, 0);
      await assert.rejects(get(callback.href), TypeError);
      for (const socket of strangers) socket.destroy();
    });
  });

describe('BROWSER', () => {
  it('is split into words as a shell does, and nothing is expanded', () => {
    assert.deepEqual(splitWords(`firefox --new-window`), ['firefox', '--new-window']);
    assert.deepEqual(splitWords(`'/a b/browser' "x \\" y" z\\ z '' $HOME $(id)`), [
      '/a b/browser',
      'x " y',
      'z z',
      '',
      '$HOME',
      '$(id)',
    ]);
    assert.deepEqual(splitWords('  '), []);
    assert.deepEqual(splitList('a b:c %s::"d:e" f:\\:g: ', 'linux'), ['a b', 'c %s', '"d:e" f', '\\:g']);
    assert.deepEqual(splitList('C:\\browser.exe', 'win32'), ['C:\\browser.exe']);
  });
});

describe('the page', () => {
  it('escapes all that others wrote', () => {
    const html = page('Logged in', [`<script>alert("1")</script> & 'x'`]);
    assert.ok(!html.includes('<script') && html.includes('&#60;script&#62;alert(&#34;1&#34;)'));
    assert.ok(!/(src|href|url\()/.test(html));
  });
});

describe('BROWSER as a list', () => {
  for (const [list, opened] of [
    ['no-such-browser:true', true],
    ['false:true', true],
    ['no-such-browser:false', false],
    ['false', false],
    ['sh -c "exit 3" %s:sleep 5 &', false],
    [':: :true', true],
  ] as const)
    it(`${list} ${opened ? 'opens one' : 'opens none, and nothing hangs'}`, async () => {
      assert.equal(
        await openBrowser(testHost({ PATH: process.env.PATH ?? '', BROWSER: list }), 'http://x.example/'),
        opened,
      );
    });
});
