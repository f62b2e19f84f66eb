// SSH certificates as OpenSSH reads them: ssh-keygen says of each what was meant, whatever name is in it; and no key, principal or place that
// would open more than one account gets into one.

import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { isIP, SocketAddress } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import type { SshPermit } from '../../broker/config/target_settings.ts';
import { inNetwork } from '../../broker/net/network.ts';
import {
  EXTENSIONS,
  isPrincipalPart,
  keyIdOf,
  newSerial,
  principalOf,
  signUserCertificate,
  type UserCertificate,
} from '../../broker/ssh/certificate.ts';
import { ed25519Blob } from '../../broker/ssh/encoding.ts';
import { placesOf } from '../../broker/ssh/places.ts';
import { fingerprintOf, parsePublicKey, publicKeyLine, type SshPublicKey } from '../../broker/ssh/public_key.ts';
import { run } from '../../scripts/run.ts';
import { seconds } from '../../shared/time.ts';

const NEVER = 'A'.repeat(43);

function keyOf(line: string): SshPublicKey {
  const read = parsePublicKey(line);
  assert.ok('raw' in read, 'not read');
  return read;
}

const rawKey = fc.uint8Array({ minLength: 32, maxLength: 32 });
const lineOf = (raw: Uint8Array) => `ssh-ed25519 ${Buffer.from(ed25519Blob(raw)).toString('base64')}`;

describe("a person's SSH public key", () => {
  test('is read as it is, and written again it is the same line', () => {
    fc.assert(
      fc.property(rawKey, (raw) => {
        const read = keyOf(lineOf(raw));
        assert.deepEqual([...read.raw], [...raw]);
        assert.equal(`ssh-ed25519 ${Buffer.from(read.blob).toString('base64')}`, lineOf(raw));
      }),
    );
  });

  test('one character otherwise is another key or none, never the same', () => {
    const character = fc.oneof(
      fc.constantFrom(...'AaZz09+/=-_ \t\n\r\0"#,'),
      fc.string({ minLength: 1, maxLength: 1 }),
    );
    fc.assert(
      fc.property(rawKey, fc.nat(200), character, fc.constantFrom('put', 'in', 'out'), (raw, at, one, how) => {
        const line = lineOf(raw);
        const i = at % line.length;
        const other = line.slice(0, i) + (how === 'out' ? '' : one) + line.slice(how === 'in' ? i : i + 1);
        if (other === line) return;
        const read = parsePublicKey(other);
        if ('fault' in read) assert.ok(!read.fault.includes(line.slice(12)));
        else assert.notDeepEqual([...read.raw], [...raw]);
      }),
      { numRuns: 2_000 },
    );
  });

  test('of another kind, with options, a comment or more than one line, or without an end is refused', () => {
    const good = lineOf(new Uint8Array(32));
    const kinds = ['ssh-rsa', 'ssh-dss', 'ecdsa-sha2-nistp256', 'sk-ssh-ed25519@openssh.com'];
    for (const kind of [...kinds, 'ssh-ed25519-cert-v01@openssh.com']) {
      const read = parsePublicKey(`${kind} ${NEVER}`);
      assert.ok('fault' in read && read.fault.includes('ssh-ed25519'), kind);
    }
    const others = [
      ...['', 'ssh-ed25519', `${good} alice@laptop`, `${good}\n`, `${good}\n${good}`, ` ${good}`, `${good}=`],
      ...[`restrict ${good}`, good.replace(' ', '  '), good.replace('AAAAC3', 'AAAAC4'), good.replace('ssh', 'SSH')],
      ...[`ssh-ed25519 ${good.split(' ')[1]?.slice(0, -4)}`, `ssh-ed25519 ${'A'.repeat(1_000_000)}`],
    ];
    for (const line of others) assert.ok('fault' in parsePublicKey(line), JSON.stringify(line.slice(0, 80)));
  });
});

describe('a block of addresses', () => {
  const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
  const v4 = fc.tuple(
    bytes(4).map((all) => all.join('.')),
    fc.integer({ min: 0, max: 32 }),
  );
  const v6 = fc.tuple(
    bytes(16).map((all) => new SocketAddress({ address: hextets(all), family: 'ipv6' }).address),
    fc.integer({ min: 0, max: 128 }),
  );
  const hextets = (all: Uint8Array) => (Buffer.from(all).toString('hex').match(/.{4}/g) ?? []).join(':');

  test('begins where it begins, and is the same block', () => {
    fc.assert(
      fc.property(fc.oneof(v4, v6), bytes(16), ([address, bits], other) => {
        if (address.startsWith('::ffff:')) return;
        const [place] = placesOf([`${address}/${bits}`]);
        const [start = ''] = place.split('/');
        const family = isIP(address) === 4 ? 'ipv4' : 'ipv6';
        const elsewhere = family === 'ipv4' ? other.slice(0, 4).join('.') : hextets(other);
        assert.equal(isIP(start), isIP(address));
        for (const one of [address, start, elsewhere])
          assert.equal(inNetwork(one, place), inNetwork(one, `${address}/${bits}`));
        assert.equal(placesOf([place])[0], place);
        // No address of the block is before it.
        assert.ok(numberOf(start) <= numberOf(address));
      }),
    );
  });

  function numberOf(address: string): bigint {
    const [whole = ''] = placesOf([`${address}/${isIP(address) === 4 ? 32 : 128}`]);
    const parts = whole.replace(/\/.*/, '').split(/[.:]/);
    return parts.reduce((sum, part) => sum * 65_536n + BigInt(isIP(address) === 4 ? part : `0x${part}`), 0n);
  }

  test('is written as sshd takes it', () => {
    assert.deepEqual(placesOf(['10.0.9.4', '10.0.9.4/24', '::1', '2001:db8::7/32', '::ffff:10.1.2.3/104']), [
      ...['10.0.9.4', '10.0.9.0/24', '::1', '2001:db8:0:0:0:0:0:0/32', '10.0.0.0/8'],
    ]);
    assert.throws(() => placesOf([]), TypeError);
    assert.throws(() => placesOf(['gateway']), TypeError);
  });
});

describe('a user certificate', () => {
  const ca = generateKeyPairSync('ed25519').privateKey;
  const subject = keyOf(publicKeyLine(generateKeyPairSync('ed25519').publicKey));
  const meant: UserCertificate = {
    serial: 42n,
    key_id: keyIdOf({ sid: 'abc', username: 'alice' }),
    principals: [principalOf('bastion', 'deploy')],
    valid_after: seconds(1_800_000_000),
    valid_before: seconds(1_800_000_060),
    source_addresses: ['10.0.9.4/32'],
    permit: ['pty'],
  };
  let folder: string;
  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'curfew-ssh-'));
  });
  after(() => rm(folder, { recursive: true }));

  /** What ssh-keygen says of it, a line each, without what is there for the eye. */
  async function said(certificate: string): Promise<readonly string[]> {
    const file = path.join(folder, `${randomBytes(8).toString('hex')}-cert.pub`);
    await writeFile(file, `${certificate}\n`);
    const { code, stdout, stderr } = await run('ssh-keygen', ['-L', '-f', file], {
      env: { ...process.env, TZ: 'UTC0' },
    });
    assert.equal(code, 0, stderr);
    return stdout
      .split('\n')
      .slice(1)
      .map((line) => line.trim())
      .filter((line) => line !== '');
  }

  test('says to ssh-keygen what was meant, and is signed by the ssh-ca', async () => {
    const serial = newSerial();
    const permit: SshPermit[] = ['user-rc', 'x11-forwarding', 'pty', 'port-forwarding', 'agent-forwarding', 'pty'];
    const source_addresses = ['10.0.9.4/32', 'fd00::/8'] as const;
    const certificate = signUserCertificate(ca, subject, { ...meant, serial, permit, source_addresses });
    assert.deepEqual(await said(certificate), [
      'Type: ssh-ed25519-cert-v01@openssh.com user certificate',
      `Public key: ED25519-CERT ${fingerprintOf(subject.blob)}`,
      `Signing CA: ED25519 ${fingerprintOf(keyOf(publicKeyLine(ca)).blob)} (using ssh-ed25519)`,
      'Key ID: "sid=abc user=alice"',
      `Serial: ${serial}`,
      'Valid: from 2027-01-15T08:00:00 to 2027-01-15T08:01:00',
      'Principals:',
      'bastion/deploy',
      'Critical Options:',
      'source-address 10.0.9.4/32,fd00::/8',
      'Extensions:',
      ...Object.values(EXTENSIONS).sort(),
    ]);
  });

  test('permits nothing where its target permits nothing', async () => {
    const lines = await said(signUserCertificate(ca, subject, { ...meant, permit: [] }));
    assert.equal(lines.at(-1), 'Extensions: (none)');
  });

  test('K1 is never without principals, without a place, or for longer than it says', () => {
    const wrong: readonly object[] = [
      { principals: [] },
      { principals: [''] },
      { principals: ['deploy'] },
      { principals: ['bastion/'] },
      { principals: ['/deploy'] },
      { principals: ['bastion/deploy', ''] },
      { principals: ['bastion/deploy\nroot'] },
      { principals: ['bastion/deploy/root'] },
      { source_addresses: [] },
      { source_addresses: [''] },
      { source_addresses: ['10.0.9.4/32,0.0.0.0/0'] },
      { source_addresses: ['*'] },
      { valid_before: meant.valid_after },
      { valid_after: -1 },
      { valid_before: Number.NaN },
    ];
    for (const part of wrong) {
      const certificate = { ...meant, ...part } as UserCertificate;
      assert.throws(() => signUserCertificate(ca, subject, certificate), TypeError, JSON.stringify(part));
    }
    for (const part of ['', ' ', '*', 'a b', 'a\n', '#a', '-a', 'a/b', 'a,b', '"', 'é', 'a'.repeat(65)]) {
      assert.ok(!isPrincipalPart(part), part);
      assert.throws(() => principalOf('bastion', part), TypeError);
      assert.throws(() => principalOf(part, 'deploy'), TypeError);
    }
  });

  test('has a key id of one visible line, whatever the name: no name looks like another, or like more than one', () => {
    const name = fc.string({
      unit: fc.oneof(fc.constantFrom(...' ="%\n\r\t\\éß界=sid user'), fc.string()),
      maxLength: 40,
    });
    fc.assert(
      fc.property(name, name, (one, other) => {
        const id = keyIdOf({ sid: 'abc', username: one });
        assert.match(id, /^sid=abc user=[!-~]*$/);
        assert.ok(!/["\\]/.test(id));
        const wellFormed = one.isWellFormed() && other.isWellFormed();
        if (wellFormed && one !== other) assert.notEqual(id, keyIdOf({ sid: 'abc', username: other }));
      }),
    );
  });
});
