// SSH the whole way, all of it real: a person logs in, and ssh, scp, sftp and rsync of theirs reach a host by the gateway alone; when the session is
// over, whatever ends it, they are gone on both sides.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { appendFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { until } from '../support/patience.ts';
import type { Person } from '../support/person.ts';
import { assertEnds, ENDS_POLICY, ENDS_USERS, SSH_CAUSES } from '../support/ssh_ends.ts';
import { BASTION, type SshWorld, startSshWorld } from '../support/ssh_world.ts';
import { USERS } from '../support/world.ts';

const MIB = 1_048_576;
const hash = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
async function hashOf(file: string): Promise<string> {
  const sum = createHash('sha256');
  for await (const chunk of createReadStream(file)) sum.update(chunk as Buffer);
  return sum.digest('hex');
}

/** In the short form one store, half the causes, and 64 MiB. */
const LONG = process.env.CURFEW_LONG === '1';
const STORES = LONG ? (['sqlite', 'postgres'] as const) : (['sqlite'] as const);
const CAUSES = LONG ? Object.keys(SSH_CAUSES) : ['logout', 'ended', 'gone', 'other'];
const LARGE = (LONG ? 1_024 : 64) * MIB;

for (const store of STORES)
  describe(`ssh through the gateway (${store})`, () => {
    let world: SshWorld;
    let alice: Person;
    before(async () => {
      world = await startSshWorld({
        backchannel: true,
        ...(store === 'postgres' && { store }),
        ...{ policy: ENDS_POLICY, users: { ...USERS, ...ENDS_USERS } },
        sections: { admins: { groups: ['security'], limits: { max_age: '1h' } } },
      });
      alice = await world.loggedIn('alice');
    });
    after(() => world.stop());

    const rows = (event: string) => world.broker.audit().filter((row) => row.event === event);

    test('runs a command as the account, with its status; each login is in the audit log and in that of sshd', async () => {
      const { code, stdout, stderr } = await world.ssh(alice, BASTION, 'echo "$USER $SSH_CONNECTION"; cat; exit 7');
      assert.equal(code, 7, stderr);
      assert.match(stdout, /^deploy 127\.0\.0\.2 /);
      await until(() => rows('disconnect').length > 0, 'the end of the connection is not in the audit log');
      const [given] = rows('credential');
      const [connected] = rows('connect');
      const [gone] = rows('disconnect');
      for (const row of [given, connected, gone]) {
        assert.deepEqual([row?.target, row?.kind, row?.account], [BASTION, 'ssh', 'deploy'], JSON.stringify(row));
        assert.equal(row?.username, 'curfew:alice@example.com');
        assert.equal(row?.sid, given?.sid);
      }
      assert.ok(Number(gone?.bytes_sent) > 500 && Number(gone?.bytes_received) > 500, JSON.stringify(gone));
      const id = `ID "?sid=${given?.sid} user=curfew:alice@example\\.com"? \\(serial ${given?.serial}\\)`;
      assert.match(world.server.log(), new RegExp(`Accepted publickey for deploy from 127\\.0\\.0\\.2 .*${id}`));
      // Nothing of the host came past the gateway.
      assert.doesNotMatch(world.server.log(), /Connection from 127\.0\.0\.1 /);
    });

    test('kubectl curfew ssh does the same, as another account too', async () => {
      const { code, stdout, stderr } = await alice.curfew(['ssh', BASTION, '--account', 'ops', 'id -un']);
      assert.deepEqual({ code, stdout }, { code: 0, stdout: 'ops\n' }, stderr);
    });

    test('scp, sftp and rsync carry files there and back, each byte', async () => {
      const [mine, back] = ['mine', 'back'].map((name) => path.join(alice.dir, name)) as [string, string];
      const piece = 64 * MIB;
      for (let written = 0; written < LARGE; written += piece) await appendFile(mine, randomBytes(piece));
      const bytes = randomBytes(8 * MIB);
      const config = ['-F', path.join(alice.dir, '.ssh/config')];
      const done = async (program: string, ...words: readonly string[]) => {
        const { code, stderr } = await world.by(alice, program, ...words);
        assert.equal(code, 0, `${program}: ${stderr}`);
      };
      await done('scp', ...config, '-q', mine, `${BASTION}:there`);
      assert.equal(await hashOf(path.join(world.server.home('deploy'), 'there')), await hashOf(mine));
      await done('scp', ...config, '-q', `${BASTION}:there`, back);
      assert.equal(await hashOf(back), await hashOf(mine));
      const batch = path.join(alice.dir, 'batch');
      await writeFile(`${mine}-sftp`, bytes);
      await writeFile(batch, `put ${mine}-sftp by-sftp\nget by-sftp ${back}-sftp\n`);
      await done('sftp', ...config, '-q', '-b', batch, BASTION);
      assert.equal(hash(await readFile(`${back}-sftp`)), hash(bytes));
      await mkdir(path.join(alice.dir, 'tree/below'), { recursive: true });
      await writeFile(path.join(alice.dir, 'tree/below/one'), 'one');
      await writeFile(path.join(alice.dir, 'tree/two'), bytes.subarray(0, MIB));
      const { rsync, libraries } = world.server.programs;
      const way = ['-e', `ssh ${config.join(' ')}`, `--rsync-path=${world.server.rsync_path}`];
      await done(
        'env',
        `LD_LIBRARY_PATH=${libraries.join(':')}`,
        rsync,
        '-a',
        ...way,
        `${alice.dir}/tree/`,
        `${BASTION}:tree`,
      );
      const there = path.join(world.server.home('deploy'), 'tree');
      assert.equal(await readFile(path.join(there, 'below/one'), 'utf8'), 'one');
      assert.equal(hash(await readFile(path.join(there, 'two'))), hash(bytes.subarray(0, MIB)));
    });

    test('K5 leads to no other host: ssh -W and ProxyJump through it are refused', async () => {
      const { code, stderr } = await world.ssh(alice, '-W', `127.0.0.1:${world.server.port}`, BASTION);
      assert.equal(code, 255);
      assert.match(stderr, /administratively prohibited|forwarding failed/);
      const config = path.join(alice.dir, '.ssh/config');
      const jump = await world.by(
        alice,
        'ssh',
        '-F',
        config,
        '-J',
        BASTION,
        `deploy@127.0.0.1`,
        '-p',
        `${world.server.port}`,
        'true',
      );
      assert.equal(jump.code, 255);
    });

    test('K2 the certificate of the session is refused where ssh goes straight to the host', async () => {
      const config = path.join(alice.dir, '.ssh/config');
      const { code, stderr } = await world.by(
        alice,
        'ssh',
        '-F',
        config,
        '-o',
        'ProxyCommand=none',
        '-o',
        'HostName=127.0.0.1',
        '-p',
        `${world.server.port}`,
        BASTION,
        'true',
      );
      assert.equal(code, 255);
      assert.match(stderr, /Permission denied \(publickey\)/);
    });

    for (const name of CAUSES)
      test(`K8 when ${SSH_CAUSES[name]?.when}: ssh is gone, its process on the host is gone, and both are in the audit log`, () =>
        assertEnds(world, name));
  });
