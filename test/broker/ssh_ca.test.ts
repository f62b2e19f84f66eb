// The keys that certify SSH keys, in the long run: one signs for a target only once it was in print for its host for a day, the one of before
// stays until then, and one that is taken back signs nothing any more. On both databases.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { exportAuditLog } from '../../broker/commands/audit_commands.ts';
import { rotateEncryption } from '../../broker/commands/keys.ts';
import { listCaKeys, revokeCa, rotateCaKeys } from '../../broker/commands/ssh_ca.ts';
import { printSshdConfig } from '../../broker/commands/sshd_config.ts';
import { loadConfig } from '../../broker/config/load.ts';
import { CurfewError, EXIT } from '../../shared/errors.ts';
import { startTestService, type TestService } from '../support/service.ts';
import { DATABASES } from '../support/stores.ts';

const DAY = 86_400;
const CA_FILE = '/etc/ssh/curfew/ca.pub';
const CONFIG_FILE = '/etc/ssh/sshd_config.d/00-curfew.conf';
const GATEWAY = {
  target_gateway: {
    ...{ public_url: 'wss://gateway.example.com', token_file: 'dev-gateway' },
    source_addresses: ['10.0.9.4/24', '2001:db8::4'],
  },
};
const ssh = (name: string, more: object = {}) => ({
  ...{ name, kind: 'ssh', address: `${name}.internal:22`, allowed_groups: ['sre'] },
  host_key: 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA',
  accounts: [
    { account: 'deploy', groups: ['sre'] },
    { account: 'root', groups: ['oncall'] },
  ],
  ...more,
});
const TARGETS = { ...GATEWAY, targets: [ssh('bastion'), ssh('legacy', { permit: [] })] };

for (const database of DATABASES) {
  describe(`the ssh-ca (${database})`, () => {
    let service: TestService;
    before(async () => {
      service = await startTestService(TARGETS, { postgres: database === 'postgres' });
    });
    after(() => service.stop());

    const config = () => loadConfig(service.configFile, { env: process.env });
    const around = () => ({ now: () => service.now, by: 'root', note: 'drill' });
    const print = async (target: string, file?: string) => printSshdConfig(await config(), { target, file }, around());
    const trusted = async (target: string) => (await print(target, CA_FILE)).trimEnd().split('\n');
    const list = async () => listCaKeys(await config(), () => service.now);
    const kids = async () => (await list()).map((line) => line.split(' ')[0] ?? '');
    const rotate = async () => rotateCaKeys(await config(), around());
    const revoke = async (...which: string[]) =>
      revokeCa(await config(), which.length > 0 ? { kids: which } : { all: true }, around());
    const isUsage = (words: RegExp) => (error: unknown) =>
      error instanceof CurfewError && error.code === 'usage' && words.test(error.message);
    const pass = async (length: number) => {
      service.advance(length);
      await service.sweep();
    };
    const rows = async () => {
      const lines: string[] = [];
      await exportAuditLog(
        await config(),
        { since: undefined, now: service.now },
        async (line) => lines.push(line) > 0,
      );
      return lines.map((line) => JSON.parse(line)).filter((row) => row.event === 'keys' && row.of === 'ssh-ca');
    };
    const newest = async () => (await rows()).findLast(({ change }) => change === 'added').kids[0];

    test('has one first key, however many want it at once', async () => {
      const all = await Promise.all(Array.from({ length: 6 }, () => trusted('bastion')));
      assert.equal(new Set(all.map((keys) => keys.join())).size, 1);
      assert.equal((await kids()).length, 1);
      assert.equal((await rows()).filter(({ change }) => change === 'added').length, 1);
      assert.equal((await rows()).filter(({ change }) => change === 'printed').length, 1);
    });

    test('has a first key once there are targets, which signs at once; what is printed is for the host of one target', async () => {
      await service.sweep();
      const [only = '', ...others] = await list();
      assert.deepEqual(others, []);
      assert.match(only, /^SHA256:\S{43} {2}signs for bastion, legacy; made 2027-/);
      const text = await print('bastion');
      assert.match(text, /^## \/etc\/ssh\/curfew\/ca\.pub\nssh-ed25519 [A-Za-z0-9+/]{68}\n/);
      const from = 'from="10.0.9.0/24,2001:db8::4"';
      assert.equal(await print('bastion', '/etc/ssh/curfew/principals/deploy'), `${from} bastion/deploy\n`);
      assert.equal(await print('bastion', '/etc/ssh/curfew/principals/root'), `${from} bastion/root\n`);
      const settings = await print('bastion', CONFIG_FILE);
      for (const line of ['PermitTTY yes', 'AllowTcpForwarding no', 'ChannelTimeout session:shell=30m'])
        assert.ok(settings.split('\n').includes(line), line);
      assert.match(settings, /^Match Address \*,!10\.0\.9\.0\/24,!2001:db8::4\n {4}TrustedUserCAKeys none$/m);
      assert.match(await print('legacy', CONFIG_FILE), /^PermitTTY no$/m);
      assert.deepEqual(await trusted('legacy'), await trusted('bastion'));
    });

    test('prints nothing for a target that is none, or a file that is none', async () => {
      await assert.rejects(print('dev'), isUsage(/no target "dev"/));
      await assert.rejects(print('bastion', '/etc/ssh/curfew/principals/alice'), isUsage(/no file/));
    });

    test('K7 another key signs for each target a day after it was printed for it, and for none before', async () => {
      const [old = ''] = await kids();
      assert.match((await rotate())[1] ?? '', /^target bastion \(bastion\.internal port 22\): replace /);
      const fresh = await newest();
      assert.notEqual(fresh, old);
      assert.deepEqual(await kids(), [fresh, old]);
      await pass(40 * DAY);
      assert.match(
        (await list())[0] ?? '',
        /signs for bastion once it is printed; signs for legacy once it is printed/,
      );
      await assert.rejects(rotate(), isUsage(/signs for no target yet/));
      // What is not the file of keys tells the host of none.
      await print('bastion', CONFIG_FILE);
      assert.ok((await rows()).every(({ change, kids }) => change !== 'printed' || kids.includes(old)));
      const both = await trusted('bastion');
      assert.equal(both.length, 2);
      const printed = (await rows()).at(-1);
      assert.deepEqual(
        [printed.change, printed.kids, printed.target, printed.by],
        ['printed', [fresh], 'bastion', 'root'],
      );
      await pass(DAY - 1);
      // Printed again: it counts from the first time.
      assert.deepEqual(await trusted('bastion'), both);
      assert.match((await list())[1] ?? '', / {2}signs for bastion, legacy;/);
      await pass(1);
      assert.match((await list())[0] ?? '', /signs for bastion; signs for legacy once it is printed/);
      assert.match((await list())[1] ?? '', /signs for legacy;/);
      await pass(200);
      // The host is not to trust the old one any longer; the other's still is, and the key stays.
      assert.deepEqual(await trusted('bastion'), [both[0]]);
      assert.equal((await trusted('legacy')).length, 2);
      assert.equal((await kids()).length, 2);
      await pass(DAY + 119);
      assert.equal((await kids()).length, 2);
      await pass(1);
      assert.deepEqual(await kids(), [fresh]);
      const last = (await rows()).at(-1);
      assert.deepEqual([last.change, last.kids], ['retired', [old]]);
    });

    test('K7 is replaced by the schedule of the signing keys: the next one waits until it is printed', async () => {
      await service.reload({ ...TARGETS, keys: { encryption_key_file: 'key', rotate_every: '90d' } });
      await pass(90 * DAY);
      await service.sweep();
      await service.sweep();
      const [next = '', signing = ''] = await kids();
      assert.equal((await rows()).at(-1).by, undefined);
      await pass(200 * DAY);
      assert.deepEqual(await kids(), [next, signing], 'while one waits no further one is made');
      for (const target of ['bastion', 'legacy']) await print(target);
      await pass(DAY + 120);
      assert.equal((await kids()).includes(signing), false);
      await service.reload({ ...TARGETS, keys: { encryption_key_file: 'key', rotate_every: 'off' } });
    });

    test('K7 revoked: signs no more at once, and the hosts that must change are named', async () => {
      const all = await kids();
      const { lines, exit } = await revoke();
      assert.equal(exit, EXIT.try_again);
      const [left, ...others] = await kids();
      assert.deepEqual(others, []);
      assert.ok(left !== undefined && !all.includes(left));
      assert.equal(lines[0], `ok: revoked ${all.join(', ')}; ${left} signs from now on`);
      assert.match(
        lines[1] ?? '',
        /hosts trust the revoked keys until they are changed, and the broker cannot reach them/,
      );
      assert.match(lines.slice(2).join('\n'), /^target bastion \(.*\): replace .*\ntarget legacy /);
      assert.match((await list())[0] ?? '', /signs for bastion, legacy;/);
      const [revoked, added] = (await rows()).slice(-2);
      assert.deepEqual([revoked.change, revoked.kids, revoked.by, revoked.note], ['revoked', all, 'root', 'drill']);
      assert.deepEqual([added.change, added.kids], ['added', [left]]);
      assert.equal((await trusted('bastion')).length, 1);
    });

    test('K7 revoked while another is in print: that one signs at once, and none is made', async () => {
      const [old = ''] = await kids();
      await rotate();
      const fresh = await newest();
      await print('bastion');
      await revoke(old);
      assert.deepEqual(await kids(), [fresh]);
      assert.match((await list())[0] ?? '', /signs for bastion, legacy;/);
      await assert.rejects(revoke(old), isUsage(/no key "SHA256:.*" of the ssh-ca: nothing was done/));
      assert.deepEqual(await kids(), [fresh]);
    });

    test('is sealed by the encryption key that seals, when that is replaced', async () => {
      const [key = ''] = await kids();
      await writeFile(path.join(path.dirname(service.configFile), 'key-next'), randomBytes(32).toString('base64'), {
        mode: 0o600,
      });
      const keys = { encryption_key_file: 'key-next', other_encryption_key_file: 'key' };
      await service.reload({ ...TARGETS, keys: { encryption_key_file: 'key', other_encryption_key_file: 'key-next' } });
      await service.reload({ ...TARGETS, keys });
      assert.match((await rotateEncryption(await config(), around()))[0] ?? '', /^ok: [2-9] signing keys sealed/);
      assert.deepEqual([(await rows()).at(-1).change, (await rows()).at(-1).kids], ['sealed', [key]]);
      const alone = { ...TARGETS, keys: { encryption_key_file: 'key-next' } };
      assert.equal((await service.reload(alone)).outcome, 'reloaded');
      assert.deepEqual(await kids(), [key]);
    });
  });
}
