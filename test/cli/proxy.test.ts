// Which way a request goes: the same as kubectl's (P16), by vectors that Go's own code has made.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, connect, type Server } from 'node:net';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { createSend, HttpFault } from '../../cli/wire/http.ts';
import { proxyFor } from '../../cli/wire/proxy.ts';
import { CurfewError } from '../../shared/errors.ts';
import { type CertificateAuthority, createCertificateAuthority } from '../support/certificates.ts';
import { temporaryFolder, testHost } from './host.ts';

interface Vector {
  readonly https_proxy: string;
  readonly no_proxy: string;
  readonly target: string;
  readonly proxy: string;
}

const vectors = readFileSync(path.join(import.meta.dirname, '../vectors/proxies.jsonl'), 'utf8')
  .trimEnd()
  .split('\n')
  .map((line) => JSON.parse(line) as Vector);

/** Scheme, host and port, as Go has them. */
function wayOf(env: Readonly<Record<string, string>>, target: string): string {
  try {
    const found = proxyFor(env, new URL(target));
    return found === undefined ? '' : `${new URL(found.url).protocol}//${found.host}`;
  } catch (error) {
    assert.ok(error instanceof CurfewError && error.code === 'configuration', String(error));
    return 'refused';
  }
}

/** With the port that is meant where none is said. */
function whole(proxy: string): string {
  if (proxy === '' || /:\d+$/.test(proxy)) return proxy;
  return `${proxy}:${proxy.startsWith('https:') ? 443 : 80}`;
}

describe('P16 the proxy of a request', () => {
  it('is the one that kubectl takes, or is refused by name', () => {
    assert.ok(vectors.length > 300);
    for (const { https_proxy, no_proxy, target, proxy } of vectors) {
      const way = wayOf({ HTTPS_PROXY: https_proxy, NO_PROXY: no_proxy }, target);
      const expected = proxy.startsWith('socks') ? 'refused' : whole(proxy);
      assert.equal(way, expected, JSON.stringify({ https_proxy, no_proxy, target }));
    }
  });

  it('is named by the variable in capitals first, as kubectl has it', () => {
    const target = 'https://curfew.example/';
    const both = { HTTPS_PROXY: 'one.example:1', https_proxy: 'two.example:2' };
    assert.equal(wayOf(both, target), 'http://one.example:1');
    assert.equal(wayOf({ ...both, HTTPS_PROXY: '' }, target), 'http://two.example:2');
    assert.equal(wayOf({ https_proxy: 'two.example:2', no_proxy: 'curfew.example' }, target), '');
    assert.equal(
      wayOf({ https_proxy: 'two.example:2', NO_PROXY: 'x', no_proxy: 'curfew.example' }, target),
      'http://two.example:2',
    );
    assert.equal(wayOf({ HTTP_PROXY: 'one.example:1', ALL_PROXY: 'one.example:1' }, target), '');
  });

  it('is refused where it cannot be understood, by the name of the variable, without its value', () => {
    for (const value of [
      ...['http://me:pa#ss@proxy.example:3128', 'http://me:pa/ss@proxy.example:x', 'http://', '://proxy.example'],
      ...[
        'socks5://me:pa%23ss@proxy.example',
        'socks5h://proxy.example',
        'socks4://x',
        'ftp://proxy.example',
        'proxy example',
      ],
      ...['http://proxy.example:99999', 'http://[::1', '\u0000', 'file:///etc/passwd', 'javascript://x'],
    ]) {
      for (const variable of ['HTTPS_PROXY', 'https_proxy']) {
        assert.throws(
          () => proxyFor({ [variable]: value }, new URL('https://curfew.example/')),
          (error: unknown) => {
            assert.ok(error instanceof CurfewError, value);
            const said = `${error.message} ${error.hint}`;
            assert.equal(error.code, 'configuration');
            assert.match(said, new RegExp(variable));
            assert.doesNotMatch(said, /pa#ss|pa\/ss|pa%23ss|passwd/);
            return true;
          },
        );
      }
    }
  });
});

describe('P16 a request through a proxy', () => {
  let authority: CertificateAuthority;
  let target: Server;
  let proxy: Server;
  /** What the proxy answers; 200 opens the way. */
  let status = 200;
  let asked: { readonly host: string; readonly authorization: string | undefined }[] = [];
  const portOf = (server: Server) => (server.address() as AddressInfo).port;
  before(async () => {
    authority = await createCertificateAuthority(temporaryFolder('ca'));
    const { certFile, keyFile } = await authority.issue({ name: 'curfew', hosts: ['curfew.example'] });
    target = createHttpsServer({ cert: readFileSync(certFile), key: readFileSync(keyFile) }, (_request, response) =>
      response.end('from the target'),
    ).listen(0, '127.0.0.1');
    const server = createHttpServer((_request, response) => response.writeHead(400).end());
    server.on('connect', (request, socket) => {
      asked.push({ host: request.url ?? '', authorization: request.headers['proxy-authorization'] });
      socket.on('error', () => undefined);
      if (status !== 200) return void socket.end(`HTTP/1.1 ${status} No\r\nContent-Length: 0\r\n\r\n`);
      const way = connect(portOf(target), '127.0.0.1', () => socket.write('HTTP/1.1 200 OK\r\n\r\n'));
      way.on('error', () => socket.destroy());
      way.pipe(socket).pipe(way);
    });
    proxy = server.listen(0, '127.0.0.1');
    await Promise.all([once(target, 'listening'), once(proxy, 'listening')]);
  });
  after(() => {
    target.close();
    proxy.close();
  });
  const ask = (value: string, url = 'https://curfew.example/') => {
    asked = [];
    return createSend({ ...testHost(), env: { HTTPS_PROXY: value }, platform: 'linux' }, authority.caFile)(url, {
      method: 'GET',
    });
  };
  const faultOf = async (answer: Promise<unknown>) => {
    const error = await answer.then(
      () => assert.fail('it was answered'),
      (fault: unknown) => fault,
    );
    assert.ok(error instanceof HttpFault, String(error));
    return error.message;
  };

  it('reaches the target, in its TLS, with the user that the variable names', async () => {
    status = 200;
    const answer = await ask(`http://me:pa%23ss@127.0.0.1:${portOf(proxy)}/`);
    assert.equal(answer.body, 'from the target');
    const authorization = `Basic ${Buffer.from('me:pa#ss').toString('base64')}`;
    assert.deepEqual(asked, [{ host: 'curfew.example:443', authorization }]);
    assert.equal((await ask(`127.0.0.1:${portOf(proxy)}`)).body, 'from the target');
  });

  it('that fails on the way names the proxy and its variable, and never its password', async () => {
    for (const [code, said] of [
      [407, 'the proxy wants a user and a password, or refuses them'],
      [403, 'the proxy answered HTTP 403'],
      [502, 'the proxy answered HTTP 502'],
    ] as const) {
      status = code;
      const port = portOf(proxy);
      assert.equal(
        await faultOf(ask(`http://me:secret@127.0.0.1:${port}`)),
        `${said} (through the proxy 127.0.0.1:${port} of HTTPS_PROXY)`,
      );
    }
    assert.equal(
      await faultOf(ask('http://me:secret@127.0.0.1:1')),
      'connection refused (through the proxy 127.0.0.1:1 of HTTPS_PROXY)',
    );
  });

  it('to this very machine goes to no proxy', async () => {
    await faultOf(ask(`http://127.0.0.1:${portOf(proxy)}`, 'https://127.0.0.1:1/'));
    assert.deepEqual(asked, []);
  });
});
