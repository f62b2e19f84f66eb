// What a session is given for an SSH server: a certificate of the person's key, with the token and for no longer than that. On both databases.

import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { revokeCa } from '../../broker/commands/ssh_ca.ts';
import { printSshdConfig } from '../../broker/commands/sshd_config.ts';
import { loadConfig } from '../../broker/config/load.ts';
import { fingerprintOf, publicKeyLine } from '../../broker/ssh/public_key.ts';
import { run } from '../../scripts/run.ts';
import { isTargetTokenReply } from '../../shared/targets.ts';
import { type Answer, claimsOf, type Holder } from '../support/holder.ts';
import { startTestService, type TestService } from '../support/service.ts';
import { DATABASES } from '../support/stores.ts';

const CA_FILE = '/etc/ssh/curfew/ca.pub';
const TARGETS = {
  target_gateway: { public_url: 'wss://gw.example.com', token_file: 'dev-gateway', source_addresses: ['10.0.9.4/24'] },
  targets: [
    {
      ...{ name: 'bastion', kind: 'ssh', address: '10.0.0.7:22', allowed_groups: ['sre'], audience: 'the-bastion' },
      host_key: publicKeyLine(generateKeyPairSync('ed25519').publicKey),
      accounts: [
        { account: 'deploy', groups: ['sre'] },
        { account: 'backup', groups: ['*'] },
        { account: 'root', groups: ['oncall'] },
      ],
      permit: ['pty', 'agent-forwarding'],
    },
  ],
};
const KEY = publicKeyLine(generateKeyPairSync('ed25519').publicKey);
const blobOfLine = (line: string) => Buffer.from(line.split(' ')[1] ?? '', 'base64');

for (const database of DATABASES) {
  describe(`an SSH certificate of a session (${database})`, () => {
    let service: TestService;
    let holder: Holder;
    let handle: string;
    let folder: string;
    before(async () => {
      folder = await mkdtemp(path.join(tmpdir(), 'curfew-certificate-'));
      service = await startTestService(TARGETS, { postgres: database === 'postgres' });
      await open();
    });
    after(async () => {
      await service.stop();
      await rm(folder, { recursive: true });
    });

    async function open(): Promise<void> {
      service.advance(2);
      holder = service.holder();
      handle = (await service.login(holder, { jti: `${service.now}` })).granted.refresh_token ?? '';
    }
    const ask = (fields: Readonly<Record<string, string>> = {}) =>
      holder.renew(handle, 'the-bastion', { ssh_public_key: KEY, ...fields });
    const around = () => ({ now: () => service.now, by: 'root', note: 'drill' });
    const config = () => loadConfig(service.configFile, { env: process.env });
    const rows = () => service.audit.filter(({ event }) => event === 'credential');

    function credentialOf({ status, body }: Answer) {
      assert.ok(status === 200 && isTargetTokenReply(body), `${status} ${JSON.stringify(body)}`);
      const { credential, access_token, account } = body;
      assert.ok(credential?.kind === 'ssh');
      return { ...credential, account, token: claimsOf(access_token) };
    }

    /** As ssh-keygen reads it, by its heads. */
    async function said(certificate: string): Promise<Readonly<Record<string, string>>> {
      const file = path.join(folder, 'id-cert.pub');
      await writeFile(file, `${certificate}\n`);
      const { code, stdout, stderr } = await run('ssh-keygen', ['-L', '-f', file], {
        env: { ...process.env, TZ: 'UTC0' },
      });
      assert.equal(code, 0, stderr);
      const text = stdout
        .replace(/^.*\n/, '')
        .replaceAll(/:\s*\n\s+/g, ': ')
        .replaceAll(/\n {16,}/g, ' ');
      return Object.fromEntries([...text.matchAll(/^\s+([A-Z][\w ]+): (.*)$/gm)].map(([, head, what]) => [head, what]));
    }

    test('K1 is for the one account and the one key, from the gateway, as long as its token; it is in the audit log before it is signed', async () => {
      const { certificate, login, account, valid_until, token } = credentialOf(await ask());
      const sid = String(token.sid);
      assert.deepEqual([login, account, token.account], ['deploy', 'deploy', 'deploy']);
      assert.equal(valid_until, token.exp);
      assert.ok(valid_until <= service.now + 60);
      const [row, ...others] = rows();
      assert.ok(row?.event === 'credential' && others.length === 0);
      const ca = await printSshdConfig(await config(), { target: 'bastion', file: CA_FILE }, around());
      assert.equal(row.ca, fingerprintOf(blobOfLine(ca)));
      assert.deepEqual(await said(certificate), {
        Type: 'ssh-ed25519-cert-v01@openssh.com user certificate',
        'Public key': `ED25519-CERT ${fingerprintOf(blobOfLine(KEY))}`,
        'Signing CA': `ED25519 ${row.ca} (using ssh-ed25519)`,
        'Key ID': `"sid=${sid} user=curfew:alice@example.com"`,
        Serial: row.serial,
        Valid: `from ${instant(service.now - 60)} to ${instant(valid_until)}`,
        Principals: 'bastion/deploy',
        'Critical Options': 'source-address 10.0.9.0/24',
        Extensions: 'permit-agent-forwarding permit-pty',
      });
      assert.deepEqual(
        [row.sid, row.username, row.target, row.kind, row.account, row.principal, row.valid_until],
        [sid, 'curfew:alice@example.com', 'bastion', 'ssh', 'deploy', 'bastion/deploy', valid_until],
      );
      assert.equal(row.key_id, `sid=${sid} user=curfew:alice@example.com`);
      assert.ok(!JSON.stringify(service.audit).includes(certificate.split(' ')[1] ?? ''));
    });

    const instant = (at: number) => new Date(at * 1000).toISOString().slice(0, 19);

    test('K1 is for another account of theirs where they ask for it, and for none that is not theirs', async () => {
      const other = credentialOf(await ask({ account: 'backup' }));
      assert.equal(other.login, 'backup');
      assert.equal((await said(other.certificate)).Principals, 'bastion/backup');
      const count = rows().length;
      for (const account of ['root', 'nobody', '*', 'deploy root']) {
        const { refused, status } = await ask({ account });
        assert.ok(status === 400 || status === 403, String(status));
        assert.ok(['invalid_target', 'invalid_request'].includes(refused.error), `${account} ${refused.error}`);
      }
      assert.equal(rows().length, count);
    });

    test('K1 is over with the session, where that is over before', async () => {
      await open();
      for (let i = 0; i < 5; i++) {
        service.advance(700);
        await holder.renew(handle, 'dev');
      }
      service.advance(80);
      const { certificate, valid_until, token } = credentialOf(await ask());
      assert.ok(valid_until - service.now < 30, `${valid_until - service.now}`);
      assert.equal(valid_until, token.exp);
      assert.equal((await said(certificate)).Valid?.slice(-19), instant(valid_until));
    });

    test('K1 is given to no session that is over, and not for a key of another kind', async () => {
      await open();
      const count = rows().length;
      for (const ssh_public_key of ['ssh-rsa AAAAB3NzaC1yc2E', `${KEY} alice`, 'x', KEY.replace('AAAAC3', 'AAAAC4')]) {
        const { refused, status } = await ask({ ssh_public_key });
        assert.deepEqual([status, refused.error], [400, 'invalid_request'], ssh_public_key);
      }
      await holder.revoke(handle);
      assert.notEqual((await ask()).status, 200);
      assert.equal(rows().length, count);
      await open();
    });

    test('comes with the session at a login, and only where a key is shown', async () => {
      service.advance(2);
      const another = service.holder();
      const fields = { audience: 'the-bastion', ssh_public_key: KEY };
      const answer = await service.login(another, { jti: `login ${service.now}` }, fields);
      assert.equal(credentialOf(answer).login, 'deploy');
      const { body } = await holder.renew(handle, 'the-bastion');
      assert.ok(isTargetTokenReply(body) && body.credential === undefined);
      const cluster = await holder.renew(handle, 'dev', { ssh_public_key: KEY });
      assert.ok(!('credential' in cluster.granted));
    });

    test('K7 is signed by no key of the ssh-ca that was revoked before', async () => {
      const before = (await said(credentialOf(await ask()).certificate))['Signing CA'];
      const { lines } = await revokeCa(await config(), { all: true }, around());
      const after = (await said(credentialOf(await ask()).certificate))['Signing CA'] ?? '';
      assert.notEqual(after, before);
      assert.ok(lines[0]?.includes(`${after.split(' ')[1]} signs from now on`));
    });
  });
}
