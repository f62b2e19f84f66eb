// `kubectl curfew ssh` and plain ssh by what `setup --ssh` writes: real OpenSSH at both ends, with a broker and a gateway that the test holds.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { brokerName } from '../../cli/session/ssh_folder.ts';
import { type RunResult, run } from '../../scripts/run.ts';
import type { TargetCredential } from '../../shared/targets.ts';
import { seconds } from '../../shared/time.ts';
import { until } from '../support/patience.ts';
import { makeSshServer, type SshServer } from '../support/sshd.ts';
import { refusalOf } from './desk.ts';
import { openTargetDesk, type TargetDesk } from './target_desk.ts';

const hash = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

let desk: TargetDesk;
let server: SshServer;
let signed = 0;

before(async () => {
  desk = await openTargetDesk({ bastion: 'ssh', cache: 'tcp' });
  server = await makeSshServer(['deploy', 'ops']);
  const authority = path.join(desk.dir, 'ssh-ca');
  const made = await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', authority]);
  assert.equal(made.code, 0, made.stderr);
  await server.put('/etc/ssh/ca.pub', readFileSync(`${authority}.pub`, 'utf8'));
  await server.put('/etc/ssh/sshd_config.d/ca.conf', 'TrustedUserCAKeys /etc/ssh/ca.pub\nPasswordAuthentication no\n');
  await server.start();
  const { broker } = desk;
  broker.upstream.set('bastion', server.port);
  broker.targets = broker.targets.map((target) =>
    target.kind === 'ssh' ? { ...target, host_key: server.host_key } : target,
  );
  broker.accounts.set('bastion', ['deploy', 'ops']);
  broker.credentials.set('bastion', ({ ssh_public_key = '', account: login = 'deploy' }) => {
    if (ssh_public_key === '') return undefined;
    signed += 1;
    return certify(authority, ssh_public_key, login, 60);
  });
});
after(async () => {
  await desk[Symbol.asyncDispose]();
  await server.stop();
});

/** By the machine's own ssh-keygen. */
function certify(authority: string, key: string, login: string, life: number): TargetCredential {
  const file = path.join(desk.dir, `signed-${signed}`);
  writeFileSync(`${file}.pub`, `${key}\n`);
  const words = ['-q', '-s', authority, '-I', 'sid-1', '-n', login, '-V', `-1m:+${life}s`, `${file}.pub`];
  execFileSync('ssh-keygen', words);
  const certificate = readFileSync(`${file}-cert.pub`, 'utf8').trim();
  return { kind: 'ssh', certificate, login, valid_until: seconds(desk.broker.now() + life) };
}

const folder = () => {
  const [name = ''] = readdirSync(path.join(desk.dir, 'cache/ssh'));
  return path.join(desk.dir, 'cache/ssh', name);
};

describe('kubectl curfew ssh', () => {
  it('runs a command there as the account of the session, and passes its exit status and output on', async () => {
    const { code, stdout, stderr } = await desk.curfew(['ssh', 'bastion', 'echo $LOGNAME; exit 5']);
    assert.deepEqual({ code, stdout, stderr }, { code: 5, stdout: 'deploy\n', stderr: '' });
  });

  it('takes the account before and behind the name of the target, and leaves flags of ssh to ssh', async () => {
    for (const words of [
      ['--account', 'ops', 'bastion', '-o', 'LogLevel=ERROR', 'echo $LOGNAME'],
      ['bastion', '--account', 'ops', '-q', 'printenv', 'LOGNAME'],
      ['bastion', '--account=ops', 'echo $LOGNAME'],
    ]) {
      const { code, stdout, stderr } = await desk.curfew(['ssh', ...words]);
      assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: 'ops\n', stderr: '' }, words.join(' '));
    }
  });

  it('keeps the key of the session in a folder of its own, asks for a certificate once while that is good, and makes another key for another session', async () => {
    const before = signed;
    for (let i = 0; i < 2; i++) assert.equal((await desk.curfew(['ssh', 'bastion', 'true'])).code, 0);
    assert.equal(signed, before);
    const names = readdirSync(folder());
    const keys = names.filter((name) => name.endsWith('.key'));
    assert.equal(keys.length, 1, names.join(' '));
    for (const name of names.filter((one) => !one.endsWith('.key.pub')))
      assert.equal(statSync(path.join(folder(), name)).mode & 0o777, 0o600, name);
    assert.equal(statSync(folder()).mode & 0o777, 0o700);
    desk.broker.session = { ...desk.broker.session, sid: 'sid-2' };
    await desk.logIn();
    assert.equal((await desk.curfew(['ssh', 'bastion', 'true'])).code, 0);
    assert.equal(signed, before + 1);
    const later = readdirSync(folder()).filter((name) => name.endsWith('.key'));
    assert.equal(later.length, 1);
    assert.notDeepEqual(later, keys);
  });

  it('believes the host key of the metadata alone', async () => {
    const { broker } = desk;
    const targets = broker.targets;
    broker.targets = targets.map((target) => ({
      ...target,
      host_key: `ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI${'A'.repeat(43)}`,
    }));
    rmSync(path.join(desk.dir, 'cache'), { recursive: true });
    const refused = await desk.curfew(['ssh', 'bastion', 'true']);
    broker.targets = targets;
    rmSync(path.join(desk.dir, 'cache'), { recursive: true });
    assert.equal(refused.code, 255);
    assert.match(refused.stderr, /HOST IDENTIFICATION HAS CHANGED|Host key verification failed/);
    assert.equal((await desk.curfew(['ssh', 'bastion', 'true'])).code, 0);
  });

  it('exits 77 with our lines when the session is over, after ssh has given the terminal back', async () => {
    using pty = desk.atTerminal(['ssh', 'bastion', '-t', 'echo ready; cat']);
    await pty.waitFor('ready');
    desk.broker.open.find(({ target }) => target === 'bastion')?.cut('session_ended: ended by an administrator');
    await pty.waitFor('curfew: error: the connection to bastion was closed: ended by an administrator');
    await pty.waitFor('curfew: hint: run: kubectl curfew login');
    assert.deepEqual(await pty.exit, { code: 77, signal: 0 });
    assert.equal(pty.output().match(/curfew: error/g)?.length, 1);
    await until(() => !server.processes().some((line) => line.endsWith('cat')), 'cat is left on the host');
    await desk.logIn();
  });

  it('refuses a target of another kind, and what the broker refuses, before ssh runs', async () => {
    const kind = await desk.curfew(['ssh', 'cache', 'true']);
    assert.equal(kind.code, 64);
    assert.deepEqual(refusalOf(kind), {
      error: 'cache is of kind tcp, not ssh',
      hint: 'run: kubectl curfew connect cache -- COMMAND',
      before: [],
    });
    desk.broker.refuse = { code: 'acr_too_low', message: 'the login is too weak' };
    const weak = await desk.curfew(['ssh', 'bastion', '--account', 'ops', 'true'], {
      env: { CURFEW_CACHE_DIR: path.join(desk.dir, 'other-cache') },
    });
    desk.broker.refuse = undefined;
    assert.equal(weak.code, 77);
    assert.match(refusalOf(weak).hint, /run this at a terminal: it logs in at that level/);
  });

  it('says what is missing where there is no ssh-keygen', async () => {
    const env = { PATH: '/nonexistent', CURFEW_CACHE_DIR: path.join(desk.dir, 'without') };
    const refused = await desk.curfew(['ssh', 'bastion', 'true'], { env });
    assert.equal(refused.code, 78);
    assert.equal(refusalOf(refused).error, 'ssh-keygen is not found');
  });
});

describe('setup --ssh', () => {
  const config = () => path.join(desk.dir, '.ssh/config');
  const setup = (...words: readonly string[]) => desk.curfew(['setup', '--broker', desk.broker.url, '--ssh', ...words]);
  /** As a person's programs call it, where HOME is not the account's. */
  const ssh = (...words: readonly string[]): Promise<RunResult> =>
    run('ssh', ['-F', config(), ...words], { env: { ...desk.env, HOME: desk.dir } });
  const OWN = '# mine, as it is\r\nHost old\n  User root   \n\nHost *\n  ServerAliveInterval 5\n  ControlMaster no';

  before(() => {
    mkdirSync(path.join(desk.dir, '.ssh'), { mode: 0o700 });
    writeFileSync(config(), OWN, { mode: 0o640 });
  });

  it('shows what it would change, and changes nothing', async () => {
    const { code, stdout } = await setup('--dry-run');
    assert.equal(code, 0);
    assert.match(
      stdout,
      new RegExp(`^\\+\\+\\+ ${config()}\\n@@ -\\d,0 \\+1,1 @@\\n\\+Include "${desk.dir}/config/ssh/\\*\\.conf"`, 'm'),
    );
    assert.match(stdout, /^\+Match originalhost bastion exec/m);
    assert.equal(readFileSync(config(), 'utf8'), OWN);
    assert.ok(!existsSync(path.join(desk.dir, 'config/ssh')));
  });

  it('P22 puts one line before all else, once, and leaves the rest, the mode and links as they are', async () => {
    renameSync(config(), path.join(desk.dir, 'dotfile'));
    symlinkSync('../dotfile', config());
    for (let i = 0; i < 2; i++) {
      const { code, stdout, stderr } = await setup();
      assert.equal(code, 0, stderr);
      assert.match(stdout, /^ {2}ssh bastion$/m);
    }
    const line = `Include "${desk.dir}/config/ssh/*.conf"`;
    assert.equal(readFileSync(config(), 'utf8'), `${line}\r\n${OWN}`);
    assert.ok(lstatSync(config()).isSymbolicLink());
    assert.equal(statSync(config()).mode & 0o777, 0o640);
    const [name = ''] = readdirSync(path.join(desk.dir, 'config/ssh'));
    assert.equal(statSync(path.join(desk.dir, 'config/ssh', name)).mode & 0o777, 0o600);
  });

  it('has plain ssh reach the target, with options of ours before those of the person', async () => {
    const { code, stdout, stderr } = await ssh('bastion', 'echo $LOGNAME');
    assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: 'deploy\n', stderr: '' });
    const { stdout: settings } = await ssh('-G', 'bastion');
    for (const line of [
      'serveraliveinterval 0',
      'stricthostkeychecking true',
      'identitiesonly yes',
      'user deploy',
      'hostkeyalias curfew-bastion',
    ])
      assert.ok(settings.split('\n').includes(line), `${line}\n${settings}`);
    const { stdout: others } = await ssh('-G', 'elsewhere');
    for (const line of ['serveraliveinterval 5']) assert.ok(others.split('\n').includes(line));
    assert.doesNotMatch(others, /kubectl-curfew|proxycommand/);
  });

  it('serves scp, sftp and git, equal by hash', async () => {
    const bytes = randomBytes(4 * 1024 * 1024);
    const file = path.join(desk.dir, 'bytes');
    writeFileSync(file, bytes);
    const there = path.join(server.home('deploy'), 'there');
    // Where every account can run it.
    const sftp_server = path.join(server.folder, 'sftp-server');
    copyFileSync(server.programs.sftp_server, sftp_server);
    chmodSync(sftp_server, 0o755);
    const wrapper = path.join(desk.dir, 'ssh-of-mine');
    writeFileSync(wrapper, `#!/bin/sh\nexec ssh -F '${config()}' "$@"\n`, { mode: 0o755 });
    const people = {
      GIT_AUTHOR_NAME: 'a',
      GIT_AUTHOR_EMAIL: 'a@b',
      GIT_COMMITTER_NAME: 'a',
      GIT_COMMITTER_EMAIL: 'a@b',
    };
    const env = { ...desk.env, ...people, HOME: desk.dir, GIT_SSH_COMMAND: wrapper, GIT_CONFIG_NOSYSTEM: '1' };
    const same = (copy: string) => assert.equal(hash(readFileSync(copy)), hash(bytes), copy);
    const must = async (program: string, words: readonly string[], input = '') => {
      const { code, stdout, stderr } = await run(program, words, { env, input, cwd: desk.dir, timeout: 120_000 });
      assert.equal(code, 0, `${program}: ${stdout}${stderr}`);
      return stdout;
    };
    await must('scp', ['-q', '-O', '-S', wrapper, file, `bastion:${there}`]);
    same(there);
    await must('scp', ['-q', '-O', '-S', wrapper, `bastion:${there}`, `${file}.scp`]);
    same(`${file}.scp`);
    await must('sftp', ['-q', '-S', wrapper, '-s', sftp_server, '-b', '-', 'bastion'], `get ${there} ${file}.sftp\n`);
    same(`${file}.sftp`);
    await must(wrapper, ['bastion', 'git init -q --bare repository']);
    await must('git', ['init', '-q', 'work']);
    await must('git', ['-C', 'work', 'commit', '-q', '--allow-empty', '-m', 'one']);
    await must('git', ['-C', 'work', 'push', '-q', 'bastion:repository', 'HEAD:refs/heads/main']);
    await must('git', ['clone', '-q', '-b', 'main', 'bastion:repository', 'again']);
    assert.equal(await must('git', ['-C', 'again', 'log', '--format=%s']), 'one\n');
  });

  it('P22 goes nowhere without a session: never past the gateway, and says why', async () => {
    const { url } = desk.broker;
    assert.equal((await ssh('bastion', 'true')).code, 0);
    const kept = path.join(desk.dir, 'cache/ssh', brokerName(url));
    assert.ok(readdirSync(kept).some((name) => name.endsWith('.key')));
    await desk.curfew(['logout', '--broker', url]);
    assert.ok(!existsSync(kept), 'keys and certificates are gone');
    const { code, stdout, stderr } = await ssh('bastion', 'echo $LOGNAME');
    assert.equal(code, 255);
    assert.equal(stdout, '');
    assert.match(stderr, /^curfew: error: logged out$/m);
    assert.match(stderr, /^curfew: hint: run: kubectl curfew login/m);
    assert.doesNotMatch(stderr, /resolve/);
    await desk.logIn();
    assert.equal((await ssh('bastion', 'true')).code, 0);
  });

  it('is seen by doctor: the line, what it leads to, and programs', async () => {
    const check = async (env = {}) => {
      const { stdout } = await desk.curfew(['doctor', '-o', 'json'], { env });
      const { checks } = JSON.parse(stdout) as { checks: { name: string; ok: boolean; says: string; todo?: string }[] };
      return checks.find(({ name }) => name === 'ssh');
    };
    assert.equal((await check())?.ok, true);
    const text = readFileSync(config(), 'utf8');
    writeFileSync(config(), OWN);
    assert.deepEqual([(await check())?.ok, (await check())?.todo?.includes('--ssh')], [false, true]);
    writeFileSync(config(), `Host x\n${text}`);
    assert.match((await check())?.says ?? '', /behind a Host or Match/);
    writeFileSync(config(), text);
    assert.match((await check({ PATH: '/nonexistent' }))?.says ?? '', /ssh/);
  });

  it('writes it to another file for itself, and takes away all that it wrote and nothing else', async () => {
    const apart = path.join(desk.dir, 'apart.conf');
    const { code, stdout } = await setup('--output', apart);
    assert.equal(code, 0, stdout);
    assert.match(readFileSync(apart, 'utf8'), /^Match originalhost bastion exec/m);
    assert.equal((await setup('--output', apart)).code, 78);
    const removed = await setup('--remove');
    assert.equal(removed.code, 0, removed.stderr);
    assert.equal(readFileSync(config(), 'utf8'), OWN);
    assert.ok(!existsSync(path.join(desk.dir, 'config/ssh')));
    // By setup without --ssh as well.
    assert.equal((await setup()).code, 0);
    const whole = await desk.curfew(['setup', '--broker', desk.broker.url, '--remove']);
    assert.equal(whole.code, 0, whole.stderr);
    assert.equal(readFileSync(config(), 'utf8'), OWN);
  });
});
