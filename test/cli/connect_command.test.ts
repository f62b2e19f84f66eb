// `connect` with a listener: for a command, with what it learns of the target, and at a port; who is let in, and what becomes of it at an end.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { peerOf, uidIn } from '../../cli/targets/peer.ts';
import { run } from '../../scripts/run.ts';
import { seconds } from '../../shared/time.ts';
import { until } from '../support/patience.ts';
import { listenAnywhere } from '../support/ports.ts';
import { refusalOf } from './desk.ts';
import { bytesOf, openTargetDesk, type TargetDesk } from './target_desk.ts';

let desk: TargetDesk;
const servers: Server[] = [];
async function serve(target: string, work: (socket: Socket) => void): Promise<void> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => undefined);
    work(socket);
  });
  servers.push(server);
  desk.broker.upstream.set(target, await listenAnywhere(server));
}

before(async () => {
  desk = await openTargetDesk({ echo: 'tcp', quiet: 'tcp', 'orders-db': 'postgres' });
  await serve('echo', (socket) => void socket.pipe(socket));
  await serve('quiet', (socket) => void socket.write('hello'));
  await serve('orders-db', (socket) => void socket.pipe(socket));
  desk.broker.accounts.set('orders-db', ['orders_ro']);
  desk.broker.credentials.set('orders-db', () => ({
    ...{ kind: 'postgres', role: 'alice_1', password: 'a:b\\c', databases: ['orders', 'stock'] },
    valid_until: seconds(desk.broker.now() + 600),
    certificate_authority_data: Buffer.from('-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----').toString(
      'base64',
    ),
  }));
});
after(async () => {
  await desk[Symbol.asyncDispose]();
  for (const server of servers) server.close();
});

/** What a command's environment is. */
async function environment(target: string, env: Record<string, string> = {}): Promise<Record<string, string>> {
  const script =
    'cat "$PGPASSFILE" "$PGSSLROOTCERT" >&2; stat -c %a "$PGPASSFILE" "$(dirname "$PGPASSFILE")" >&2; env -0';
  const { code, stdout, stderr } = await desk.curfew(['connect', target, '--', 'sh', '-c', `${script}`], { env });
  assert.equal(code, 0, stderr);
  const pairs = stdout.split('\0').map((one) => one.split(/=(.*)/s).slice(0, 2) as [string, string]);
  return { ...Object.fromEntries(pairs), said: stderr };
}

/** Of a program that connects, sends a line, and prints what comes back. */
const TALK = `
  const socket = require('node:net').connect(process.env["CURFEW_PORT"], process.env["CURFEW_HOST"]);
  socket.on('data', (data) => process.stdout.write(data));
  socket.on('error', ({ code }) => { process.stdout.write(code); process.exit(3); });
  socket.on('end', () => process.stdout.write('|end'));
`;

describe('connect -- COMMAND', () => {
  it('tells a client of PostgreSQL all that it needs, with the password in a file that it alone can read, and leaves none', async () => {
    const set = await environment('orders-db', { PGPASSWORD: 'of another', PGSERVICE: 'other', PGAPPNAME: 'mine' });
    const { PGHOST, PGHOSTADDR, PGPORT, PGUSER, PGDATABASE, PGSSLMODE, PGPASSFILE = '', CURFEW_PORT } = set;
    assert.deepEqual(
      { PGHOST, PGHOSTADDR, PGUSER, PGDATABASE, PGSSLMODE },
      {
        PGHOST: 'orders-db',
        PGHOSTADDR: '127.0.0.1',
        PGUSER: 'alice_1',
        PGDATABASE: 'orders',
        PGSSLMODE: 'verify-full',
      },
    );
    assert.match(PGPORT ?? '', /^\d+$/);
    assert.equal(CURFEW_PORT, PGPORT);
    assert.equal(set.PGPASSWORD, undefined);
    assert.equal(set.PGSERVICE, undefined);
    assert.equal(set.PGAPPNAME, 'mine');
    const [line, ...rest] = (set.said ?? '').trimEnd().split('\n');
    assert.equal(line, '*:*:*:alice_1:a\\:b\\\\c');
    assert.deepEqual(rest, ['-----BEGIN CERTIFICATE-----', 'MA==', '-----END CERTIFICATE-----', '600', '700']);
    assert.ok(!existsSync(PGPASSFILE));
    const left = () => readdirSync(path.join(desk.dir, 'cache')).filter((name) => name.startsWith('connect-'));
    assert.deepEqual(left(), []);
    // What a call leaves that is killed, the next takes away.
    const child = desk.start(['connect', 'orders-db', '--listen', '0']);
    await until(() => left().length === 1, 'no folder');
    child.kill('SIGKILL');
    await once(child, 'exit');
    assert.equal(left().length, 1);
    assert.equal((await desk.curfew(['connect', 'orders-db', '--', 'true'])).code, 0);
    assert.deepEqual(left(), []);
  });

  it('tells of a port what programs for MySQL, PostgreSQL and others read, and of no account', async () => {
    const { code, stdout } = await desk.curfew(['connect', 'echo', '--', 'env']);
    assert.equal(code, 0);
    const port = /^CURFEW_PORT=(\d+)$/m.exec(stdout)?.[1];
    for (const line of [
      ...['CURFEW_TARGET=echo', 'CURFEW_HOST=127.0.0.1', 'PGHOST=127.0.0.1', `PGPORT=${port}`],
      ...['MYSQL_HOST=127.0.0.1', `MYSQL_TCP_PORT=${port}`],
    ])
      assert.ok(stdout.split('\n').includes(line), line);
    assert.doesNotMatch(stdout, /^(PGUSER|PGPASSFILE|PGSSLMODE)=/m);
  });

  it('opens a connection at the gateway for each of its own, with a pass and a proof each', async () => {
    const { asked, proofs } = desk.broker;
    const [passes, shown] = [asked.length, proofs.length];
    const script = `
      const { connect } = require('node:net');
      let left = 3;
      for (const word of ['one', 'two', 'three']) {
        const socket = connect(process.env["CURFEW_PORT"], process.env["CURFEW_HOST"], () => socket.end(word));
        let text = '';
        socket.on('data', (data) => { text += data; });
        socket.on('end', () => { if (text !== word) process.exit(9); if (--left === 0) process.stdout.write('all'); });
      }`;
    const { code, stdout, stderr } = await desk.curfew(['connect', 'echo', '--', process.execPath, '-e', script]);
    assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: 'all', stderr: '' });
    assert.equal(asked.length, passes + 3);
    // Only the first brings what is presented at the target.
    assert.deepEqual(
      asked.slice(passes).map(({ credential }) => credential),
      [undefined, 'none', 'none'],
    );
    // Each pass was asked for with a proof, and each connection made with another.
    assert.equal(proofs.length, shown + 6);
  });

  it('loses nothing of what a command wrote that was gone before it arrived', async () => {
    const heard = Promise.withResolvers<Buffer>();
    await serve('quiet', (socket) => {
      bytesOf(socket).then(heard.resolve, heard.reject);
      socket.on('end', () => socket.end());
    });
    const script = `
      const socket = require('node:net').connect(process.env["CURFEW_PORT"], process.env["CURFEW_HOST"]);
      socket.write(Buffer.alloc(1 << 20, 7), () => process.exit(0));`;
    const { code } = await desk.curfew(['connect', 'quiet', '--', process.execPath, '-e', script]);
    assert.equal(code, 0);
    assert.equal((await heard.promise).length, 1 << 20);
    await serve('quiet', (socket) => void socket.write('hello'));
  });

  it('passes on the exit status, and what a signal made of it', async () => {
    const status = async (script: string) => (await desk.curfew(['connect', 'echo', '--', 'sh', '-c', script])).code;
    assert.equal(await status('exit 0'), 0);
    assert.equal(await status('exit 7'), 7);
    assert.equal(await status('kill -TERM $$'), 128 + 15);
    const missing = await desk.curfew(['connect', 'echo', '--', '/nowhere/at/all']);
    assert.equal(missing.code, 64);
    assert.equal(refusalOf(missing).error, '/nowhere/at/all is not found');
  });

  it('passes SIGTERM on, and ends as the command does', async () => {
    const script = "trap 'echo heard; exit 5' TERM; echo ready; while :; do sleep 0.1; done";
    const child = desk.start(['connect', 'echo', '--', 'sh', '-c', script]);
    assert.ok(child.stdout);
    let text = '';
    child.stdout.on('data', (chunk) => {
      text += chunk;
      if (text === 'ready\n') child.kill('SIGTERM');
    });
    assert.deepEqual(await once(child, 'exit'), [5, null]);
    assert.equal(text, 'ready\nheard\n');
  });

  it('leaves Ctrl-C at a terminal to the command, which gets it once', async () => {
    const script = `
      let times = 0;
      process.on('SIGINT', () => { times += 1; setTimeout(() => { console.log('heard ' + times); process.exit(6); }, 500); });
      setInterval(() => undefined, 1000); console.log('ready');`;
    using pty = desk.atTerminal(['connect', 'echo', '--', process.execPath, '-e', script]);
    await pty.waitFor('ready');
    pty.write('\x03');
    await pty.waitFor('heard 1');
    assert.deepEqual(await pty.exit, { code: 6, signal: 0 });
  });

  it('exits 77 with our lines once, whatever the command makes of it, and resets what was cut', async () => {
    const again = `${TALK}
      socket.on('data', () => process.stdout.write('|'));
      socket.removeAllListeners('error');
      socket.on('error', ({ code }) => {
        process.stdout.write(code);
        const other = require('node:net').connect(process.env["CURFEW_PORT"], process.env["CURFEW_HOST"]);
        other.on('error', ({ code }) => { process.stdout.write('|' + code); process.exit(0); });
      });`;
    const child = desk.start(['connect', 'quiet', '--', process.execPath, '-e', again]);
    assert.ok(child.stdout && child.stderr);
    const [out, errors] = [bytesOf(child.stdout), bytesOf(child.stderr)];
    let said = '';
    child.stdout.on('data', (chunk: Buffer) => {
      said += chunk;
    });
    await until(() => said === 'hello|', 'nothing was connected');
    desk.broker.refuse = { code: 'session_ended', message: 'session is over: ended by its owner' };
    desk.broker.open[0]?.cut('session_ended: ended by its owner');
    const [code] = (await once(child, 'exit')) as [number];
    desk.broker.refuse = undefined;
    await desk.logIn();
    assert.equal(code, 77);
    assert.equal((await out).toString(), 'hello|ECONNRESET|ECONNRESET');
    assert.deepEqual((await errors).toString().trimEnd().split('\n'), [
      'curfew: error: the connection to quiet was closed: ended by its owner',
      'curfew: hint: run: kubectl curfew login',
    ]);
  });
});

describe('connect --listen', () => {
  /** @returns its port, once it listens */
  const portOf = (child: ReturnType<TargetDesk['start']>) =>
    new Promise<number>((resolve, reject) => {
      let text = '';
      child.stdout?.on('data', (chunk) => {
        text += chunk;
        const port = /^CURFEW_PORT=(\d+)$/m.exec(text)?.[1];
        if (port) resolve(Number(port));
      });
      child.once('exit', () => reject(new Error(`it ended: ${text}`)));
    });

  it('serves programs of this user on loopback alone, says so, and stays until it is told to end', async () => {
    const child = desk.start(['connect', 'echo', '--listen', '0']);
    assert.ok(child.stderr);
    const errors = bytesOf(child.stderr);
    const port = await portOf(child);
    for (const word of ['one', 'two']) {
      const socket = connect(port, '127.0.0.1', () => socket.end(word));
      assert.equal((await bytesOf(socket)).toString(), word);
    }
    const everywhere = await run('sh', [
      '-c',
      `grep -il ':${port.toString(16)} ' /proc/net/tcp; grep -i '00000000:${port.toString(16)} ' /proc/net/tcp`,
    ]);
    assert.equal(everywhere.stdout, '/proc/net/tcp\n');
    child.kill('SIGINT');
    assert.deepEqual(await once(child, 'exit'), [0, null]);
    const said = `echo is at 127.0.0.1:${port} for processes of this user alone (uid ${process.geteuid?.()}), until Ctrl-C`;
    assert.equal((await errors).toString(), `curfew: ${said}\n`);
  });

  it('P21 takes no connection of another user', async () => {
    const mine = process.geteuid?.();
    const socket = connect(desk.broker.upstream.get('echo') ?? 0, '127.0.0.1');
    await once(socket, 'connect');
    assert.equal(peerOf(socket.localPort ?? 0, socket.remotePort ?? 0), mine);
    socket.destroy();
    // As another user's program sees it, where this one may become one; the table says the same of both.
    const child = desk.start(['connect', 'echo', '--listen', '0']);
    assert.ok(child.stderr);
    const errors = bytesOf(child.stderr);
    const port = await portOf(child);
    const before = desk.broker.asked.length;
    const script = TALK.replace('process.env["CURFEW_PORT"]', String(port)).replace(
      'process.env["CURFEW_HOST"]',
      '"127.0.0.1"',
    );
    const other = mine === 0 ? { uid: 65_534, gid: 65_534 } : {};
    const { stdout } = await run(process.execPath, ['-e', `${script} socket.end('x')`], {
      ...other,
      cwd: '/',
      env: {},
    });
    assert.equal(stdout, mine === 0 ? 'ECONNRESET' : 'x|end');
    assert.equal(desk.broker.asked.length, mine === 0 ? before : before);
    child.kill('SIGINT');
    await once(child, 'exit');
    if (mine === 0) assert.match((await errors).toString(), /a connection of uid 65534 was refused/);
  });

  it('P21 reads whose a connection is from the tables of Linux, also where IPv6 carries it, and takes nobody for anybody', () => {
    const head = '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode';
    const row = (local: string, remote: string, uid: number) =>
      `   0: ${local} ${remote} 01 00000000:00000000 00:00000000 00000000  ${uid}        0 12345 1 0000 20 0 0 10 -1`;
    const [from, to] = ['0100007F:8AE5', '0100007F:1F90'];
    assert.equal(uidIn([head, row(to, from, 1), row(from, to, 1000)].join('\n'), 0x8ae5, 0x1f90), 1000);
    const six = '0000000000000000FFFF00000100007F';
    assert.equal(uidIn([head, row(`${six}:8AE5`, `${six}:1F90`, 1001)].join('\n'), 0x8ae5, 0x1f90), 1001);
    for (const other of [
      row(from, '0200007F:1F90', 1000),
      row('0100007F:8AE6', to, 1000),
      row(to, from, 1000),
      '',
      head,
    ])
      assert.equal(uidIn(other, 0x8ae5, 0x1f90), undefined, other);
    assert.equal(
      peerOf(1, 2, () => ''),
      undefined,
    );
  });

  it('exits 77 with our lines when the session is over', async () => {
    const child = desk.start(['connect', 'quiet', '--listen', '0']);
    assert.ok(child.stderr);
    const errors = bytesOf(child.stderr);
    const socket = connect(await portOf(child), '127.0.0.1');
    socket.on('error', () => undefined);
    await once(socket, 'data');
    desk.broker.open[0]?.cut('login_too_old: last login 15m ago, limit 15m');
    assert.deepEqual(await once(child, 'exit'), [77, null]);
    const [, error, hint] = (await errors).toString().split('\n');
    assert.equal(error, 'curfew: error: the connection to quiet was closed: last login 15m ago, limit 15m');
    assert.equal(hint, 'curfew: hint: run: kubectl curfew login');
  });

  it('says that its port is taken, and prints the file with the password for PostgreSQL, which goes with it', async () => {
    const taken = desk.broker.upstream.get('echo') ?? 0;
    const refused = await desk.curfew(['connect', 'echo', '--listen', String(taken)]);
    assert.equal(refused.code, 75);
    assert.equal(refusalOf(refused).error, `port ${taken} of 127.0.0.1 is taken`);
    assert.equal((await desk.curfew(['connect', 'echo', '--listen', '65536'])).code, 64);
    const child = desk.start(['connect', 'orders-db', '--listen', '0']);
    assert.ok(child.stdout);
    let text = '';
    child.stdout.on('data', (chunk) => {
      text += chunk;
    });
    await portOf(child);
    await until(() => /^PGSSLROOTCERT=/m.test(text), 'no variables');
    const file = /^PGPASSFILE=(.*)$/m.exec(text)?.[1] ?? '';
    assert.equal(statSync(file).mode & 0o777, 0o600);
    child.kill('SIGTERM');
    assert.deepEqual(await once(child, 'exit'), [0, null]);
    assert.ok(!existsSync(file));
  });
});
