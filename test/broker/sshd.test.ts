// Certificates of sessions at a real OpenSSH server, with the configuration that is printed for it: they are good by way of the gateway alone,
// for one account, for as long as they say; and nothing else opens the host.

import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { chmod, chown, mkdir, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type SshdParts, sshdFiles } from '../../broker/layers/sshd_config.ts';
import {
  keyIdOf,
  newSerial,
  principalOf,
  signUserCertificate,
  type UserCertificate,
} from '../../broker/ssh/certificate.ts';
import { parsePublicKey, publicKeyLine } from '../../broker/ssh/public_key.ts';
import { run } from '../../scripts/run.ts';
import { between, fromMilliseconds, plus, type Seconds, seconds } from '../../shared/time.ts';
import { until } from '../support/patience.ts';
import { startRunning } from '../support/running.ts';
import { GATEWAY_ADDRESS, makeSshClient, type SshClient } from '../support/ssh_client.ts';
import { makeSshServer, type SshServer, untilNobody } from '../support/sshd.ts';

const now = (): Seconds => fromMilliseconds(Date.now());
const DIRECT = '127.0.0.1';
const IDLE = seconds(2);

describe('at a real sshd a certificate of a session', () => {
  const ca = generateKeyPairSync('ed25519').privateKey;
  const parts: SshdParts = {
    target: 'bastion',
    accounts: ['deploy', 'other'],
    permit: ['pty'],
    source_addresses: [`${GATEWAY_ADDRESS}/32`],
    ca_keys: [publicKeyLine(ca), publicKeyLine(generateKeyPairSync('ed25519').publicKey)],
    inactivity_timeout: IDLE,
  };
  let client: SshClient;
  const servers: SshServer[] = [];
  let server: SshServer;

  async function serverWith(other: Partial<SshdParts>, change = (text: string) => text): Promise<SshServer> {
    const made = await makeSshServer(parts.accounts);
    servers.push(made);
    for (const { path: file, text } of sshdFiles({ ...parts, ...other })) await made.put(file, change(text));
    assert.equal(await made.judge(), '');
    await made.start();
    return made;
  }

  async function present(other: Partial<UserCertificate> = {}): Promise<void> {
    const subject = parsePublicKey(client.public_key);
    assert.ok('raw' in subject);
    const certificate = signUserCertificate(ca, subject, {
      ...{ serial: newSerial(), key_id: keyIdOf({ sid: 'the-sid', username: 'alice@example.com' }) },
      principals: [principalOf('bastion', 'deploy')],
      ...{ valid_after: between(seconds(60), now()), valid_before: plus(now(), seconds(3_600)) },
      ...{ source_addresses: parts.source_addresses, permit: parts.permit, ...other },
    });
    await client.present(certificate);
  }

  const to = async (at: SshServer, words: readonly string[], from?: string) => {
    await client.trust(at);
    return client.ssh(at, words, from);
  };
  const assertRefused = async (words: readonly string[], { at = server, from = GATEWAY_ADDRESS } = {}) => {
    const { code, stderr } = await to(at, [...words, 'true'], from);
    assert.equal(code, 255);
    assert.match(stderr, /Permission denied \(publickey\)/);
  };
  const assertTaken = async (words: readonly string[], { at = server, from = GATEWAY_ADDRESS } = {}) => {
    const { code, stdout, stderr } = await to(at, [...words, 'echo it is $USER'], from);
    assert.equal(code, 0, stderr);
    return stdout;
  };
  const logged = (what: RegExp, at = server) =>
    until(() => what.test(at.log()), `sshd does not say ${what}:\n${at.log()}`);

  before(async () => {
    client = await makeSshClient();
    server = await serverWith({});
  });
  after(async () => {
    await client.remove();
    for (const one of servers) await one.stop();
  });

  test('opens its account by way of the gateway, and sshd notes whose session it is', async () => {
    await present();
    assert.equal(await assertTaken(['deploy@127.0.0.1']), 'it is deploy\n');
    await logged(
      /Accepted publickey for deploy from 127\.0\.0\.2 .* ID "?sid=the-sid user=alice@example\.com"? \(serial \d+\)/,
    );
  });

  test('K2 is refused where it comes from anywhere else, by each of three things alone', async () => {
    await present();
    await assertRefused(['deploy@127.0.0.1'], { from: DIRECT });
    const withoutFrom = (text: string) => text.replace(/^from="[^"]*" /, '');
    const withoutMatch = (text: string) => text.replace(/^Match Address[\s\S]*/m, '');
    const anywhere = { source_addresses: ['127.0.0.0/8'] } as const;
    const alone = await serverWith({}, (text) => withoutMatch(withoutFrom(text)));
    await assertRefused(['deploy@127.0.0.1'], { at: alone, from: DIRECT });
    await present(anywhere);
    // Without any of them it is taken, so each of the refusals is that one's.
    await assertTaken(['deploy@127.0.0.1'], { at: alone, from: DIRECT });
    for (const change of [withoutFrom, withoutMatch]) {
      const at = await serverWith({}, change);
      await assertTaken(['deploy@127.0.0.1'], { at });
      await assertRefused(['deploy@127.0.0.1'], { at, from: DIRECT });
    }
  });

  test('K3 is the only way in: a key that was left behind, a password and a key of the account itself open nothing', async () => {
    const stranger = await makeSshClient();
    await present();
    const home = server.home('deploy');
    const plant = `mkdir -p ~/.ssh && chmod 700 ~/.ssh && echo '${stranger.public_key}' | tee ~/.ssh/authorized_keys ~/.ssh/authorized_keys2 && chmod 600 ~/.ssh/*`;
    assert.equal((await to(server, ['deploy@127.0.0.1', plant])).code, 0);
    assert.ok((await stat(path.join(home, '.ssh/authorized_keys'))).size > 0);
    await stranger.trust(server);
    for (const from of [GATEWAY_ADDRESS, DIRECT]) {
      const { code, stderr } = await stranger.ssh(server, ['deploy@127.0.0.1', 'true'], from);
      assert.equal(code, 255);
      // Nothing but keys is offered.
      assert.match(stderr, /Permission denied \(publickey\)/);
    }
    // Where the printed lines are not there the planted key does open it.
    const open = await serverWith({}, (text) =>
      text.replaceAll(/^(AuthorizedKeysFile|Match|AuthenticationMethods).*$/gm, ''),
    );
    const keys = path.join(open.home('deploy'), '.ssh/authorized_keys');
    await mkdir(path.dirname(keys), { mode: 0o700 });
    await writeFile(keys, `${stranger.public_key}\n`, { mode: 0o600 });
    const { uid, gid } = await stat(open.home('deploy'));
    for (const name of [path.dirname(keys), keys]) await chown(name, uid, gid);
    await stranger.trust(open);
    assert.equal((await stranger.ssh(open, ['deploy@127.0.0.1', 'true'], DIRECT)).code, 0);
    // An account for emergencies has a block of its own, behind: that account alone, with that key alone.
    const kept = await serverWith({});
    const key = path.join(kept.home('other'), 'emergency');
    await writeFile(key, `${stranger.public_key}\n`, { mode: 0o600 });
    const owner = await stat(kept.home('other'));
    await chown(key, owner.uid, owner.gid);
    const emergency = `Match User other\n    AuthorizedKeysFile ${key}\nMatch all\n`;
    await kept.put('/etc/ssh/sshd_config.d/90-emergency.conf', emergency);
    await kept.restart();
    await stranger.trust(kept);
    assert.equal((await stranger.ssh(kept, ['other@127.0.0.1', 'true'], DIRECT)).code, 0);
    assert.equal((await stranger.ssh(kept, ['deploy@127.0.0.1', 'true'], DIRECT)).code, 255);
    await assertTaken(['deploy@127.0.0.1'], { at: kept });
    await assertRefused(['deploy@127.0.0.1'], { at: kept, from: DIRECT });
    await stranger.remove();
  });

  test("K4 opens no other account, and not another key's holder", async () => {
    await present();
    await assertRefused(['other@127.0.0.1']);
    await present({ principals: [principalOf('elsewhere', 'deploy')] });
    await assertRefused(['deploy@127.0.0.1']);
    await present({ principals: [principalOf('bastion', 'other')] });
    await assertRefused(['deploy@127.0.0.1']);
    assert.equal(await assertTaken(['other@127.0.0.1']), 'it is other\n');
    // Alice's certificate, in the hands of somebody with a key of their own.
    const mallory = await makeSshClient();
    await present();
    await mallory.trust(server);
    const stolen = path.join(client.folder, 'id-cert.pub');
    const { code } = await mallory.ssh(server, ['-o', `CertificateFile=${stolen}`, 'deploy@127.0.0.1', 'true']);
    assert.equal(code, 255);
    await mallory.remove();
  });

  test('K4 is refused once it is over, and before it begins', async () => {
    await present({ valid_after: between(seconds(120), now()), valid_before: between(seconds(1), now()) });
    await assertRefused(['deploy@127.0.0.1']);
    await logged(/Certificate invalid: expired/);
    await present({ valid_after: plus(now(), seconds(600)), valid_before: plus(now(), seconds(1_200)) });
    await assertRefused(['deploy@127.0.0.1']);
  });

  test('K4 is refused where another ssh-ca has signed it', async () => {
    const other = await serverWith({ ca_keys: [publicKeyLine(generateKeyPairSync('ed25519').publicKey)] });
    await present();
    await assertRefused(['deploy@127.0.0.1'], { at: other });
  });

  test('K5 forwards nothing (ssh -W, ProxyJump, -L, -R, an agent) where that is not permitted, by either of two things alone', async (context) => {
    await present();
    const socket = path.join(client.folder, 'agent');
    const agent = startRunning('ssh-agent', ['-D', '-a', socket]);
    context.after(() => agent.kill());
    await agent.says(/SSH_AUTH_SOCK/);
    const lent = async (at: SshServer) => {
      await client.trust(at);
      const words = [...client.options(at), '-A', 'deploy@127.0.0.1', 'echo "agent=$SSH_AUTH_SOCK"'];
      const said = await run('ssh', words, { env: { ...process.env, SSH_AUTH_SOCK: socket } });
      assert.equal(said.code, 0, said.stderr);
      return said.stdout !== 'agent=\n';
    };
    const jump = ['-W', `127.0.0.1:${server.port}`, 'deploy@127.0.0.1'];
    const closed = async (at: SshServer) => {
      const { code, stderr } = await to(at, jump);
      assert.equal(code, 255);
      assert.match(stderr, /open failed: administratively prohibited|stdio forwarding failed/);
      const remote = await to(at, [
        '-o',
        'ExitOnForwardFailure=yes',
        '-R',
        '0:127.0.0.1:1',
        'deploy@127.0.0.1',
        'true',
      ]);
      assert.equal(remote.code, 255);
      assert.equal(await lent(at), false);
    };
    await closed(server);
    // The certificate alone keeps it closed where the host is open, and the host alone where the certificate is.
    const open = await serverWith({ permit: ['pty', 'port-forwarding', 'agent-forwarding'] });
    await closed(open);
    await present({ permit: ['pty', 'port-forwarding', 'agent-forwarding'] });
    await closed(server);
    const banner = await to(open, ['-W', `127.0.0.1:${open.port}`, 'deploy@127.0.0.1']);
    assert.match(banner.stdout, /^SSH-2\.0-/);
    assert.equal(await lent(open), true);
    await agent.kill();
  });

  test('K5 has no terminal, and runs no ~/.ssh/rc, where that is not permitted', async () => {
    const rc = path.join(server.home('deploy'), '.ssh');
    await mkdir(rc, { recursive: true });
    await writeFile(path.join(rc, 'rc'), 'echo ran rc\n');
    await chmod(path.join(rc, 'rc'), 0o755);
    await present({ permit: [] });
    const { stderr, stdout } = await to(server, ['-tt', 'deploy@127.0.0.1', 'tty']);
    assert.match(stderr, /PTY allocation request failed/);
    assert.doesNotMatch(stdout, /\/dev\/pts/);
    await present();
    assert.match((await to(server, ['-tt', 'deploy@127.0.0.1', 'tty'])).stdout, /^\/dev\/pts/);
    await present({ permit: ['pty', 'user-rc'] });
    assert.doesNotMatch(await assertTaken(['deploy@127.0.0.1']), /ran rc/);
    const open = await serverWith({ permit: ['pty', 'user-rc'] });
    await mkdir(path.join(open.home('deploy'), '.ssh'));
    await writeFile(path.join(open.home('deploy'), '.ssh/rc'), 'echo ran rc\n');
    assert.match(await assertTaken(['deploy@127.0.0.1'], { at: open }), /ran rc/);
  });

  test('K6 a shell without keys is closed after the inactivity timeout; a command that is silent for longer is not', async () => {
    await present();
    await client.trust(server);
    const silent = client.begin(server, ['deploy@127.0.0.1', `sleep ${IDLE * 3}; echo still here`]);
    const begin = performance.now();
    const shell = client.begin(server, ['-tt', 'deploy@127.0.0.1']);
    await until(() => shell.ended, 'the shell is not closed');
    assert.equal(await shell.exit, 255);
    assert.ok(performance.now() - begin >= IDLE * 1_000 - 1_000, 'it was closed at once');
    assert.equal(await silent.exit, 0, silent.stderr());
    assert.equal(silent.stdout(), 'still here\n');
    await untilNobody(server);
  });

  test('has no process on the host any more once its connection is cut', async () => {
    await present();
    await client.trust(server);
    const shell = client.begin(server, ['-tt', 'deploy@127.0.0.1', 'sleep 1000']);
    await until(() => server.processes().some((line) => line.includes('sleep 1000')), 'it does not begin');
    shell.signal('SIGKILL');
    await shell.exit;
    await untilNobody(server);
  });
});
