// Targets from login to end: the plugin at a real terminal, a real identity provider, broker and gateway, and OpenSSH behind it.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { COMPLETE_COMMAND } from '../../cli/host/launcher.ts';
import { buildBundles } from '../../scripts/bundle.ts';
import { run } from '../../scripts/run.ts';
import { freePort } from '../cluster/ports.ts';
import { createCertificateAuthority } from '../support/certificates.ts';
import { type GatewayProcess, startGatewayProcess } from '../support/gateway_process.ts';
import { until } from '../support/patience.ts';
import { listenAnywhere } from '../support/ports.ts';
import { startRunning } from '../support/running.ts';
import { makeSshServer, type SshServer } from '../support/sshd.ts';
import { type Desk, openDesk, refusalOf } from './desk.ts';

let desk: Desk;
let gateway: GatewayProcess;
let sshd: SshServer;
let echo: Server;

before(async () => {
  sshd = await makeSshServer(['deploy']);
  echo = createServer({ allowHalfOpen: true }, (socket) => void socket.on('error', () => undefined).pipe(socket));
  const echo_port = await listenAnywhere(echo);
  desk = await openDesk();
  const authority = await createCertificateAuthority(path.join(desk.dir, 'gateway-ca'));
  const port = await freePort();
  const token_file = path.join(desk.dir, 'gateway-token');
  await writeFile(token_file, randomBytes(32).toString('hex'), { mode: 0o600 });
  const public_url = `wss://127.0.0.1:${port}`;
  const ssh = { kind: 'ssh', address: `127.0.0.1:${sshd.port}`, host_key: sshd.host_key };
  await desk.restartBroker({
    target_gateway: { public_url, ca_file: authority.caFile, token_file, source_addresses: ['127.0.0.1/32'] },
    targets: [
      { name: 'bastion', ...ssh, allowed_groups: ['*'], accounts: [{ account: 'deploy', groups: ['*'] }] },
      { name: 'echo', kind: 'tcp', address: `127.0.0.1:${echo_port}`, allowed_groups: ['*'] },
      { name: 'safe', kind: 'tcp', address: '127.0.0.1:1', allowed_groups: ['nobody'] },
    ],
  });
  gateway = await startGatewayProcess({
    ...{ dir: desk.dir, authority, port, broker: { url: desk.url, ca_file: desk.ca_file, token_file }, api_server: {} },
    more: {
      targets: true,
      public_url: `wss://127.0.0.1:${port}`,
      cluster: undefined,
      api_server: undefined,
      other_credentials: undefined,
    },
  });
  const { broker } = await buildBundles();
  for (const file of [
    '/etc/ssh/curfew/ca.pub',
    '/etc/ssh/curfew/principals/deploy',
    '/etc/ssh/sshd_config.d/00-curfew.conf',
  ]) {
    const words = [
      'print',
      'sshd-config',
      '--config',
      path.join(desk.dir, 'broker.yaml'),
      '--target',
      'bastion',
      '--file',
      file,
    ];
    const { code, stdout, stderr } = await run(process.execPath, [broker, ...words]);
    assert.equal(code, 0, stderr);
    await sshd.put(file, stdout);
  }
  await sshd.start();
});
after(async () => {
  await gateway?.kill();
  await desk?.stop();
  await sshd?.stop();
  echo?.close();
});

const logOut = () => desk.curfew(['logout', '--broker', desk.url]);
const connect = (...words: readonly string[]) => [
  'connect',
  ...words.slice(0, 1),
  '--broker',
  desk.url,
  ...words.slice(1),
];

describe('a target, from login to end', () => {
  it('has a person log in at the terminal, in the middle of the command', async () => {
    using pty = desk.curfewAtTerminal(connect('echo', '--', 'sh', '-c', 'echo "at $CURFEW_PORT"; exit 3'));
    await pty.waitFor('curfew: not logged in: logging in');
    await pty.waitFor(/at \d+/);
    assert.deepEqual(await pty.exit, { code: 3, signal: 0 });
  });

  it('is reached by ssh with the certificate of the session, which sshd takes by the settings that the broker prints', async () => {
    const { code, stdout, stderr } = await desk.curfew(['ssh', 'bastion', '--broker', desk.url, 'id -un; exit 4']);
    assert.deepEqual({ code, stdout, stderr }, { code: 4, stdout: 'deploy\n', stderr: '' });
    const rows = desk.broker.audit();
    for (const event of ['credential', 'connect'])
      assert.ok(
        rows.some((row) => row.event === event && row.target === 'bastion' && row.account === 'deploy'),
        event,
      );
    await until(
      () => desk.broker.audit().some((row) => row.event === 'disconnect' && row.target === 'bastion'),
      'no end',
    );
  });

  it('is named by status, and its open connections by sessions list', async () => {
    const [command, ...words] = desk.command;
    const open = startRunning(command, [...words, ...connect('echo', '--stdio')], desk.env);
    await until(
      () => desk.broker.audit().some((row) => row.event === 'connect' && row.target === 'echo'),
      'no connection',
    );
    const list = await desk.curfew(['sessions', 'list', '--broker', desk.url]);
    assert.match(list.stdout, /^\S+ is connected to echo \(tcp\) from 127\.0\.0\.1, for \d+s$/m);
    const { stdout } = await desk.curfew(['status']);
    assert.match(stdout, /^target {3}bastion \(ssh\): ready$/m);
    assert.match(stdout, /^target {3}safe \(tcp\): not admitted: ask an administrator$/m);
    assert.match(stdout, /^cluster {2}dev: /m);
    const [{ targets }] = JSON.parse((await desk.curfew(['status', '-o', 'json'])).stdout).brokers;
    assert.deepEqual(
      targets.map(({ name, kind, allowed }: Record<string, unknown>) => ({ name, kind, allowed })),
      [
        { name: 'bastion', kind: 'ssh', allowed: true },
        { name: 'echo', kind: 'tcp', allowed: true },
        { name: 'safe', kind: 'tcp', allowed: false },
      ],
    );
    await open.kill();
    await until(
      async () => !/is connected/.test((await desk.curfew(['sessions', 'list', '--broker', desk.url])).stdout),
      'open still',
    );
  });

  it('is completed at a TAB, with the accounts that the person had there', async () => {
    const names = async (...words: readonly string[]) => {
      const { stdout } = await desk.curfew([COMPLETE_COMMAND, ...words]);
      return stdout.trimEnd().split('\n');
    };
    assert.deepEqual(await names('connect', ''), ['bastion\tssh', 'echo\ttcp', 'safe\ttcp', ':4']);
    assert.deepEqual(await names('ssh', 'b'), ['bastion\tssh', ':4']);
    assert.deepEqual(await names('ssh', ''), ['bastion\tssh', ':4']);
    assert.deepEqual(await names('ssh', 'bastion', '--account', ''), ['deploy', ':4']);
    assert.deepEqual(await names('connect', '--account', 'd'), ['deploy', ':4']);
    assert.deepEqual(await names('connect', 'echo', '--', ''), [':0']);
  });

  it('refuses whom the target does not admit, with the words of the broker', async () => {
    const refused = await desk.curfew(connect('safe', '--stdio'));
    assert.equal(refused.code, 78);
    assert.match(refusalOf(refused).hint, /ask who runs curfew-broker for access to this target/);
  });

  it('is closed by the end of the session: 77 and why, at ssh and at a command, and only a login leads back', async () => {
    using shell = desk.curfewAtTerminal(['ssh', 'bastion', '--broker', desk.url, '-t', 'echo ready; cat']);
    await shell.waitFor('ready');
    const script = `const s = require('node:net').connect(process.env["CURFEW_PORT"], '127.0.0.1', () => s.write('open'));
      s.on('data', (data) => process.stdout.write(data)); s.on('error', ({ code }) => console.log(code));`;
    using command = desk.curfewAtTerminal(connect('echo', '--', process.execPath, '-e', script));
    await command.waitFor('open');
    const { sid } = JSON.parse((await desk.curfew(['status', '-o', 'json'])).stdout).brokers[0].session;
    const ended = await desk.curfew(['sessions', 'end', sid, '--broker', desk.url, '--reason', 'laptop lost']);
    assert.equal(ended.code, 0, ended.stderr);
    for (const pty of [shell, command]) {
      await pty.waitFor(/curfew: error: the connection to (bastion|echo) was closed: .+/);
      await pty.waitFor(/curfew: hint: run: kubectl curfew login/);
      assert.deepEqual(await pty.exit, { code: 77, signal: 0 }, pty.output());
    }
    await until(() => !sshd.processes().some((line) => line.endsWith('cat')), 'cat is left on the host');
    const refused = await desk.curfew(connect('echo', '--stdio'));
    assert.equal(refused.code, 77);
    refusalOf(refused);
  });

  it('gives the terminal back at Ctrl-C while it waits for a person, and opens nothing', async () => {
    await logOut();
    const before = desk.broker.audit().filter(({ event }) => event === 'connect').length;
    using pty = desk.curfewAtTerminal(connect('echo', '--', 'sh', '-c', 'echo ran'), { BROWSER: '/bin/true' });
    await pty.waitFor('logging in');
    await pty.waitFor('waiting for the login in the browser');
    pty.write('\x03');
    const { code, signal } = await pty.exit;
    assert.ok(signal === 2 || code === 130, `${code} ${signal}`);
    assert.doesNotMatch(pty.output(), /ran/);
    assert.equal(desk.broker.audit().filter(({ event }) => event === 'connect').length, before);
  });

  it('has plain ssh log a person in whose stdin is ssh’s own', async () => {
    await desk.withBrowser({});
    const config = path.join(desk.dir, '.ssh/config');
    const set = await desk.curfew(['setup', '--broker', desk.url, '--ssh']);
    assert.equal(set.code, 0, set.stderr);
    const { runInPty } = await import('../support/pty.ts');
    const env = { ...desk.env, BROWSER: desk.browser.command, TERM: 'xterm' };
    using pty = runInPty('ssh', ['-F', config, 'bastion', 'echo $LOGNAME'], { env });
    await pty.waitFor(/^curfew: .*: logging in/m);
    await pty.waitFor('deploy');
    assert.deepEqual(await pty.exit, { code: 0, signal: 0 });
    assert.match(readFileSync(config, 'utf8'), /^Include /);
  });
});
