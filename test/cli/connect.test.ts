// `connect` as a person's programs use it: bytes through a WebSocket over TLS, with a pass and a proof for each connection.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { connect, createServer, type Server, type Socket } from 'node:net';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { connectUrl } from '../../shared/targets.ts';
import { until } from '../support/patience.ts';
import { listenAnywhere } from '../support/ports.ts';
import { refusalOf } from './desk.ts';
import { bytesOf, openTargetDesk, type TargetDesk } from './target_desk.ts';

const MIB = 1024 * 1024;
const hash = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

let desk: TargetDesk;
const servers: Server[] = [];
/** What the server behind a target does with a connection. */
async function serve(target: string, work: (socket: Socket) => void): Promise<void> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => undefined);
    work(socket);
  });
  servers.push(server);
  desk.broker.upstream.set(target, await listenAnywhere(server));
}
const echo = (socket: Socket) => void socket.pipe(socket);

before(async () => {
  desk = await openTargetDesk({ echo: 'tcp', talk: 'tcp', bastion: 'ssh', quiet: 'tcp' });
  await serve('echo', echo);
});
after(async () => {
  await desk[Symbol.asyncDispose]();
  for (const server of servers) server.close();
});

describe('connect --stdio', () => {
  it('carries 64 MiB of random bytes there and back, equal by hash, and ends with the target', async () => {
    const bytes = randomBytes(64 * MIB);
    const child = desk.start(['connect', 'echo', '--stdio']);
    assert.ok(child.stdin && child.stdout && child.stderr);
    const [back, errors] = [bytesOf(child.stdout), bytesOf(child.stderr)];
    child.stdin.end(bytes);
    const [code] = (await once(child, 'exit')) as [number];
    assert.equal((await errors).toString(), '');
    const came = await back;
    assert.equal(came.length, bytes.length);
    assert.equal(hash(came), hash(bytes));
    assert.equal(code, 0);
  });

  it('tells the target that no more comes, and passes on what it says after that', async () => {
    await serve('talk', (socket) => {
      const chunks: Buffer[] = [];
      socket.on('data', (chunk) => chunks.push(chunk));
      socket.on('end', () => socket.end(`heard ${Buffer.concat(chunks)}`));
    });
    const { code, stdout, stderr } = await desk.curfew(['connect', 'talk', '--stdio'], { input: 'all of it' });
    assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: 'heard all of it', stderr: '' });
  });

  it('lets its reader see the end of the target while it still sends', async () => {
    const heard = Promise.withResolvers<string>();
    await serve('talk', (socket) => {
      socket.end('that is all');
      bytesOf(socket).then((bytes) => heard.resolve(bytes.toString()), heard.reject);
    });
    const child = desk.start(['connect', 'talk', '--stdio']);
    assert.ok(child.stdin && child.stdout);
    assert.equal((await bytesOf(child.stdout)).toString(), 'that is all');
    child.stdin.end('and mine');
    assert.equal(await heard.promise, 'and mine');
    assert.deepEqual(await once(child, 'exit'), [0, null]);
  });

  it('holds the target back while nobody reads, and loses nothing of it', async () => {
    const bytes = randomBytes(64 * MIB);
    let written = 0;
    await serve('talk', (socket) => {
      const write = () => {
        while (written < bytes.length) {
          const chunk = bytes.subarray(written, written + 64 * 1024);
          written += chunk.length;
          if (!socket.write(chunk)) return void socket.once('drain', write);
        }
        socket.end();
      };
      write();
    });
    const child = desk.start(['connect', 'talk', '--stdio']);
    assert.ok(child.stdin && child.stdout);
    await until(() => written > 0, 'nothing is sent');
    // What is on its way fills what there is of room, and then stands: for as long as any look takes, many times over.
    let [before, still] = [-1, 0];
    await until(() => {
      still = before === written ? still + 1 : 0;
      before = written;
      return still > 50;
    }, 'it never stands');
    assert.ok(written < 48 * MIB, `${written} bytes are in memory somewhere`);
    const memory = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1]);
    assert.ok(memory < 256 * 1024, `${memory} KiB`);
    child.stdin.end();
    assert.equal(hash(await bytesOf(child.stdout)), hash(bytes));
    assert.deepEqual(await once(child, 'exit'), [0, null]);
  });

  it('asks for another pass at each connection, shows each proof once, and keeps neither', async () => {
    const { asked, proofs } = desk.broker;
    const before = asked.length;
    for (let i = 0; i < 2; i++) {
      const { code } = await desk.curfew(['connect', 'echo', '--stdio'], { input: 'x' });
      assert.equal(code, 0);
    }
    const mine = asked.slice(before);
    assert.equal(mine.length, 2);
    for (const form of mine) {
      assert.deepEqual(Object.keys(form).sort(), ['audience', 'credential', 'grant_type', 'refresh_token']);
      assert.equal(form.credential, 'none');
      assert.equal(form.audience, 'echo-audience');
    }
    assert.equal(new Set(proofs).size, proofs.length);
    const kept = readdirSync(path.join(desk.dir, 'cache'), { recursive: true }).map(String);
    assert.ok(kept.length > 0);
    for (const name of kept.filter((one) => !one.startsWith('lock')))
      assert.doesNotMatch(readFileSync(path.join(desk.dir, 'cache', name), 'utf8'), /access_token|eyJ/, name);
  });

  it('asks for an account where one is named, and says what the broker says of it', async () => {
    desk.broker.accounts.set('echo', ['reader', 'writer']);
    const first = await desk.curfew(['connect', 'echo', '--stdio', '--account', 'writer'], { input: 'x' });
    assert.equal(first.code, 0, first.stderr);
    assert.equal(desk.broker.asked.at(-1)?.account, 'writer');
    const refused = await desk.curfew(['connect', 'echo', '--stdio', '--account', 'root'], { input: 'x' });
    assert.equal(refused.code, 78);
    assert.match(refusalOf(refused).error, /the account root is none of yours/);
    assert.match(refusalOf(refused).hint, /whether its name and account are right/);
  });

  it('says what ended it and how to log in, with 77, when the session is over, and asks nobody any more', async () => {
    await serve('quiet', (socket) => void socket.write('hello'));
    const child = desk.start(['connect', 'quiet', '--stdio']);
    assert.ok(child.stdin && child.stdout && child.stderr);
    const errors = bytesOf(child.stderr);
    const [first] = (await once(child.stdout, 'data')) as [Buffer];
    assert.equal(first.toString(), 'hello');
    const [connection] = desk.broker.open.filter(({ target }) => target === 'quiet');
    connection?.cut('session_ended: the session was ended by an administrator');
    assert.deepEqual(await once(child, 'exit'), [77, null]);
    const [error, hint, ...more] = (await errors).toString().trimEnd().split('\n');
    assert.match(
      error ?? '',
      /^curfew: error: the connection to quiet was closed: the session was ended by an administrator$/,
    );
    assert.equal(hint, 'curfew: hint: run: kubectl curfew login');
    assert.deepEqual(more, []);
    const before = desk.broker.asked.length;
    const again = await desk.curfew(['connect', 'quiet', '--stdio']);
    assert.equal(again.code, 77);
    assert.match(refusalOf(again).error, /the session was ended by an administrator/);
    assert.equal(desk.broker.asked.length, before);
    await desk.logIn();
  });

  it('leaves why it ended in a file, where it is told to, and is silent then', async () => {
    const file = path.join(desk.dir, 'end');
    desk.broker.turn_away.push({ status: 403, code: 'invalid_target', message: 'not admitted any more' });
    const { code, stderr } = await desk.curfew(['connect', 'echo', '--stdio', '--end-file', file]);
    assert.deepEqual({ code, stderr }, { code: 78, stderr: '' });
    const { code: reason, message } = JSON.parse(readFileSync(file, 'utf8'));
    assert.deepEqual({ reason, message }, { reason: 'invalid_target', message: 'not admitted any more' });
  });

  it('comes again with another pass when a gateway has no room for a moment', async () => {
    const before = desk.broker.asked.length;
    desk.broker.turn_away.push({ status: 503, code: 'draining', message: 'it stops', retry_after: 1 });
    const { code, stdout } = await desk.curfew(['connect', 'echo', '--stdio'], { input: 'x' });
    assert.deepEqual({ code, stdout }, { code: 0, stdout: 'x' });
    assert.equal(desk.broker.asked.length, before + 2);
    desk.broker.turn_away.push({ status: 503, code: 'draining', message: 'it stops', retry_after: 100 });
    const late = await desk.curfew(['connect', 'echo', '--stdio'], { input: 'x' });
    assert.equal(late.code, 69);
    assert.match(refusalOf(late).hint, /try again in 100s/);
  });

  it('says that the target is away, and that the gateway broke off', async () => {
    desk.broker.upstream.set('quiet', 1);
    const away = await desk.curfew(['connect', 'quiet', '--stdio']);
    assert.equal(away.code, 69);
    assert.equal(refusalOf(away).error, 'quiet: the target broke off');
    await serve('quiet', (socket) => void socket.write('hello'));
    const child = desk.start(['connect', 'quiet', '--stdio']);
    assert.ok(child.stdout && child.stderr);
    const errors = bytesOf(child.stderr);
    await once(child.stdout, 'data');
    for (const { socket } of desk.broker.open) socket.terminate();
    assert.deepEqual(await once(child, 'exit'), [69, null]);
    assert.match((await errors).toString(), /the connection to the gateway at 127\.0\.0\.1:\d+ broke off/);
  });

  it('believes no gateway but that of the metadata, and looks there again when the certificate is another', async () => {
    const { targets } = desk.broker;
    const { createCertificateAuthority } = await import('../support/certificates.ts');
    const other = await createCertificateAuthority(path.join(desk.dir, 'other'));
    const wrong = Buffer.from(other.caPem).toString('base64');
    desk.broker.targets = targets.map((target) => ({ ...target, certificate_authority_data: wrong }));
    for (const name of readdirSync(path.join(desk.dir, 'cache')).filter((one) => one.startsWith('targets')))
      (await import('node:fs')).rmSync(path.join(desk.dir, 'cache', name));
    const refused = await desk.curfew(['connect', 'echo', '--stdio'], { input: 'x' });
    assert.equal(refused.code, 69);
    assert.match(refusalOf(refused).error, /its certificate is not trusted/);
    // What was remembered of before is corrected by the broker's word.
    desk.broker.targets = targets;
    const { code, stdout, stderr } = await desk.curfew(['connect', 'echo', '--stdio'], { input: 'x' });
    assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: 'x', stderr: '' });
  });

  it('names the targets that there are, and no more than one error', async () => {
    const refused = await desk.curfew(['connect', 'nowhere', '--stdio']);
    assert.equal(refused.code, 78);
    assert.deepEqual(refusalOf(refused), {
      error: 'the broker has no target nowhere',
      hint: 'the broker has: echo, talk, bastion, quiet',
      before: [],
    });
    const usage = await desk.curfew(['connect', 'echo']);
    assert.equal(usage.code, 64);
  });

  it('opens no browser and exits 77 without a terminal and without a login', async () => {
    const cache = path.join(desk.dir, 'cache2');
    const config = path.join(desk.dir, 'config2');
    const { cpSync, rmSync } = await import('node:fs');
    cpSync(path.join(desk.dir, 'config'), config, { recursive: true });
    rmSync(path.join(config, 'sessions'), { recursive: true });
    const env = { CURFEW_CONFIG_DIR: config, CURFEW_CACHE_DIR: cache };
    for (const way of [['--stdio'], ['--listen', '0'], ['--', 'touch', path.join(desk.dir, 'ran')]]) {
      const refused = await desk.curfew(['connect', 'echo', ...way], { env });
      assert.equal(refused.code, 77);
      assert.deepEqual(refusalOf(refused), { error: 'not logged in', hint: 'run: kubectl curfew login', before: [] });
    }
    assert.ok(!existsSync(path.join(desk.dir, 'ran')));
  });

  it('goes through the proxy of the environment, and names it where it does not let it pass', async () => {
    const [, port = ''] = desk.broker.gateway.split(':');
    const passed: string[] = [];
    const proxy = createHttpServer().on('connect', (request, socket: Socket, head: Buffer) => {
      passed.push(String(request.url));
      const through = connect(Number(port), '127.0.0.1', () => {
        socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
        if (head.length > 0) through.write(head);
        through.pipe(socket).pipe(through);
      });
      for (const one of [socket, through]) one.on('error', () => undefined);
    });
    const { targets } = desk.broker;
    // Of a name that is nowhere but behind the proxy; the broker is on loopback, which no proxy is asked for.
    const url = connectUrl(`wss://gateway.test:${port}`, 'echo');
    desk.broker.targets = targets.map((target) => (target.name === 'echo' ? { ...target, url } : target));
    desk.broker.public_gateway = `gateway.test:${port}`;
    const cache = path.join(desk.dir, 'proxied');
    try {
      const env = { HTTPS_PROXY: `http://127.0.0.1:${await listenAnywhere(proxy)}`, CURFEW_CACHE_DIR: cache };
      const { code, stdout, stderr } = await desk.curfew(['connect', 'echo', '--stdio'], {
        env,
        input: 'by the proxy',
      });
      assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: 'by the proxy', stderr: '' });
      assert.deepEqual(passed, [`gateway.test:${port}`]);
      proxy.close();
      proxy.closeAllConnections();
      const away = await desk.curfew(['connect', 'echo', '--stdio'], { env });
      assert.equal(away.code, 69);
      assert.match(
        refusalOf(away).error,
        /the gateway at gateway\.test:\d+ is out of reach: .*through the proxy 127\.0\.0\.1:\d+ of HTTPS_PROXY/,
      );
    } finally {
      desk.broker.targets = targets;
      desk.broker.public_gateway = desk.broker.gateway;
    }
  });

  it('loads WebSockets for connections alone: no call of kubectl has to', () => {
    const text = (name: string) => readFileSync(path.join(path.dirname(desk.command[1]), name), 'utf8');
    assert.ok(text('websocket.cjs').includes('Sec-WebSocket-Key'));
    for (const name of ['kubectl-curfew.cjs', 'full.cjs']) assert.ok(!text(name).includes('Sec-WebSocket-Key'), name);
  });
});
