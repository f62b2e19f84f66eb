// Secrets that a group can read: taken from a Secret volume as a kubelet makes it, and from nowhere else.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { stringify } from 'yaml';
import { buildBundles } from '../../scripts/bundle.ts';
import { type Access, parseMount, whyOpen } from '../../serving/files/secret_access.ts';
import { createCertificateAuthority } from '../support/certificates.ts';
import { SETTINGS } from './config_files.ts';

const ROOT = path.join(import.meta.dirname, '../..');
/** Who the programs run as in their image. */
const US = 65_532;

const VOLUME: Access = {
  ...{ uid: 0, gid: US, mount: { type: 'tmpfs', read_only: true } },
  reader: { uid: US, groups: [US] },
};

test('a file that only its owner can read is nobody else’s, wherever it is', () => {
  for (const mode of [0o400, 0o600, 0o700]) assert.equal(whyOpen(mode, undefined), undefined);
});

test('a file of a Secret volume is taken: root’s, readable by a group of ours, in memory or where nothing is written', () => {
  for (const mode of [0o440, 0o640]) assert.equal(whyOpen(mode, VOLUME), undefined);
  assert.equal(whyOpen(0o440, { ...VOLUME, mount: { type: 'tmpfs', read_only: false } }), undefined);
  assert.equal(whyOpen(0o440, { ...VOLUME, mount: { type: 'ext4', read_only: true } }), undefined);
});

const NEIGHBOURS: readonly (readonly [string, number, Access | undefined, RegExp])[] = [
  ['readable by all', 0o444, VOLUME, /^can be read by others \(mode 0444\): run chmod 600$/],
  ['writable by all', 0o442, VOLUME, /^can be read by others \(mode 0442\): run chmod 600$/],
  ['a folder to all', 0o441, VOLUME, /^can be read by others \(mode 0441\): run chmod 600$/],
  ['writable by its group', 0o460, VOLUME, /its group can do more than read it/],
  ['a program of its group', 0o450, VOLUME, /its group can do more than read it/],
  ['of another than root', 0o440, { ...VOLUME, uid: US }, /not owned by root/],
  ['read by root', 0o440, { ...VOLUME, reader: { uid: 0, groups: [0, US] } }, /runs as root/],
  ['of a group that is none of ours', 0o440, { ...VOLUME, gid: 0 }, /group is none of this program/],
  ['on a disk', 0o440, { ...VOLUME, mount: { type: 'ext4', read_only: false } }, /disk that can be written \(ext4\)/],
  ['on what is not known', 0o440, { ...VOLUME, mount: undefined }, /not known what it is mounted from/],
  ['of which nothing is known', 0o440, undefined, /^can be read by others \(mode 0440\): run chmod 600$/],
];
for (const [what, mode, access, why] of NEIGHBOURS)
  test(`a secret is refused that is ${what}`, () => {
    assert.match(whyOpen(mode, access) ?? 'taken', why);
  });

test('a mount is found by its number, and is read-only by itself or by its file system', () => {
  const mountinfo = [
    '22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda ro,discard',
    '222 22 0:47 / /run/a\\040ro\\054b rw,nosuid master:2 propagate_from:3 - tmpfs ro ro_name,rw,size=1024k',
    '2 22 0:48 /x /etc/y ro,relatime - tmpfs tmpfs rw',
  ].join('\n');
  assert.deepEqual(parseMount(mountinfo, '22'), { type: 'ext4', read_only: true });
  assert.deepEqual(parseMount(mountinfo, '222'), { type: 'tmpfs', read_only: false });
  assert.deepEqual(parseMount(mountinfo, '2'), { type: 'tmpfs', read_only: true });
  assert.equal(parseMount(mountinfo, '3'), undefined);
});

/** Files of several owners are made by root alone; anybody else is root in a namespace of their own, and owns all of it. */
const SEVERAL = process.getuid?.() === 0;

/** Mounts that end with the namespace; `$0` is the folder, the rest is run as the user of the image, or as `$AS`. */
const MOUNTS = `
set -e
mkdir -p "$0/checkout" "$0/volume" "$0/disk" "$0/closed"
mount --bind "$CHECKOUT" "$0/checkout"
mount -t tmpfs -o size=1m tmpfs "$0/volume"
mkdir "$0/volume/..1"
ln -s ..1 "$0/volume/..data"
for name in good others writable other_owner other_group; do
  cp "$0/secret" "$0/volume/..1/$name"; ln -s "..data/$name" "$0/volume/$name"
done
cp "$0/secret" "$0/disk/open"; cp "$0/secret" "$0/closed/good"
[ -n "$SEVERAL" ] && chown -R 0:${US} "$0/volume" "$0/disk" "$0/closed"
chmod 0440 "$0"/volume/..1/* "$0/disk/open" "$0/closed/good"
chmod 0444 "$0/volume/..1/others"; chmod 0460 "$0/volume/..1/writable"
[ -n "$SEVERAL" ] && chown ${US} "$0/volume/..1/other_owner" && chown :0 "$0/volume/..1/other_group"
mount -o remount,bind,ro "$0/volume"
mount --bind "$0/closed" "$0/closed"; mount -o remount,bind,ro "$0/closed"
cd "$0/checkout"
exec $AS "$@"`;

const READ = `
import { readRegularFile } from './serving/files/regular_file.ts';
import { whyOpen } from './serving/files/secret_access.ts';
const found = {};
for (const name of process.argv.slice(1)) {
  const { mode, access } = await readRegularFile(name);
  found[name.split('/').slice(-2).join('/')] = whyOpen(mode, access) ?? 'taken';
}
console.log(JSON.stringify(found));`;

describe('on real mounts', () => {
  let folder: string;
  const inFolder = (name: string) => path.join(folder, name);
  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'curfew-secret-volume-'));
    await chmod(folder, 0o755);
    await writeFile(inFolder('secret'), `${randomBytes(32).toString('base64')}\n`);
  });
  after(() => rm(folder, { recursive: true, force: true }));

  /** Programs of the checkout, by paths below it; whoever is to run them may not be let into the folders above. */
  async function run(args: readonly string[], as = `setpriv --reuid=${US} --regid=${US} --clear-groups`) {
    const node = path.relative(ROOT, process.execPath);
    const own = node.startsWith('..') ? process.execPath : `./${node}`;
    const env = { PATH: process.env.PATH, CHECKOUT: ROOT, AS: SEVERAL ? as : '', SEVERAL: SEVERAL ? 'yes' : '' };
    const command = [SEVERAL ? '-m' : '-rm', 'sh', '-c', MOUNTS, folder, own, ...args];
    return promisify(execFile)('unshare', command, { env }).then(
      ({ stdout }) => ({ code: 0, said: stdout }),
      ({ code, stdout, stderr }: { code: number; stdout: string; stderr: string }) => ({ code, said: stdout + stderr }),
    );
  }

  const judged = async (names: readonly string[], as?: string) => {
    const files = names.map(inFolder);
    const { code, said } = await run(['--input-type=module', '--eval', READ, ...files], as);
    assert.equal(code, 0, said);
    return JSON.parse(said) as Readonly<Record<string, string>>;
  };

  test('the kernel tells owner, group and mount of each: those of the volume are taken, their neighbours are not', async () => {
    if (!SEVERAL) {
      const own = await judged(['volume/good', 'volume/others', 'disk/open', 'closed/good']);
      assert.match(own['volume/good'] ?? '', /runs as root/);
      assert.match(own['closed/good'] ?? '', /runs as root/);
      assert.notEqual(own['volume/others'], 'taken');
      assert.notEqual(own['disk/open'], 'taken');
      return;
    }
    const found = await judged([
      ...['good', 'others', 'other_owner'].map((name) => `volume/${name}`),
      ...['disk/open', 'closed/good'],
    ]);
    assert.equal(found['volume/good'], 'taken');
    assert.equal(found['closed/good'], 'taken');
    assert.match(found['volume/others'] ?? '', /mode 0444/);
    assert.match(found['volume/other_owner'] ?? '', /not owned by root/);
    assert.match(found['disk/open'] ?? '', /disk that can be written/);
    const grouped = await judged(
      ['volume/writable', 'volume/other_group'],
      `setpriv --reuid=${US} --regid=0 --groups=${US}`,
    );
    assert.match(grouped['volume/writable'] ?? '', /more than read/);
    assert.equal(grouped['volume/other_group'], 'taken');
    const by_root = await judged(['volume/good', 'volume/other_group'], '');
    assert.match(by_root['volume/good'] ?? '', /runs as root/);
    assert.match(by_root['volume/other_group'] ?? '', /runs as root/);
  });

  test('broker and gateway take the key and the token of a Secret volume, and name one that is open', async () => {
    const { broker, gateway } = await buildBundles();
    const [broker_file, gateway_file] = [inFolder('broker.yaml'), inFolder('gateway.yaml')];
    const authority = await createCertificateAuthority(inFolder('pki'));
    const { certFile: cert_file, keyFile: key_file } = await authority.issue({ name: 'tls', hosts: ['127.0.0.1'] });
    await chmod(inFolder('pki'), 0o755);
    for (const file of [cert_file, key_file]) await chmod(file, 0o644);
    const [, dev] = SETTINGS.clusters;
    const withKey = (name: string) =>
      stringify({
        ...{ ...SETTINGS, issuer_ca_file: undefined, listen: { address: '127.0.0.1', port: 0 } },
        identity_provider: { ...SETTINGS.identity_provider, ca_file: undefined },
        keys: { encryption_key_file: inFolder(name) },
        clusters: [{ ...dev, ca_file: undefined }],
      });
    const withToken = (name: string) =>
      stringify({
        broker: { url: 'http://127.0.0.1:1', token_file: inFolder(name) },
        cluster: 'dev',
        listen: { address: '127.0.0.1', port: 0, tls: { cert_file, key_file } },
        api_server: { url: 'https://127.0.0.1:1' },
        ...{ other_credentials: 'refuse', on_lost_broker: { cut_after: '10s' } },
      });
    const print = [path.relative(ROOT, broker), 'print', 'authn-config', '--cluster', 'dev', '--config', broker_file];
    const check = [path.relative(ROOT, gateway), 'check', '--config', gateway_file];

    await writeFile(broker_file, withKey('volume/good'));
    const printed = await run(print);
    if (SEVERAL) {
      assert.equal(printed.code, 0, printed.said);
      assert.match(printed.said, /kind: AuthenticationConfiguration/);
    } else {
      assert.equal(printed.code, 78, printed.said);
      assert.match(printed.said, /keys\.encryption_key_file: .*runs as root/);
    }
    await writeFile(broker_file, withKey('volume/others'));
    const refused = await run(print);
    assert.equal(refused.code, 78, refused.said);
    assert.match(refused.said, /keys\.encryption_key_file: \S+ can be read by others \(mode 0444\)/);

    await writeFile(gateway_file, withToken('volume/good'));
    const asked = await run(check);
    assert.equal(asked.code, SEVERAL ? 69 : 78, asked.said);
    if (SEVERAL) assert.doesNotMatch(asked.said, /token_file/);
    else assert.match(asked.said, /broker\.token_file: .*runs as root/);
    await writeFile(gateway_file, withToken('disk/open'));
    const open = await run(check);
    assert.equal(open.code, 78, open.said);
    const why = SEVERAL ? 'and it is on a disk' : '';
    assert.match(open.said, new RegExp(`broker\\.token_file: \\S+ can be read by others \\(mode 0440\\), ${why}`));
  });
});
