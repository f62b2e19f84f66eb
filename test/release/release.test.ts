// What a release says of itself: when it may be made, its checksums and their signature, units, manual pages, and what people are told.

import assert from 'node:assert/strict';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { parse } from 'yaml';
import { parseHelp } from '../../scripts/release/help.ts';
import { writeKrewManifest } from '../../scripts/release/krew.ts';
import { exitStatuses, roff } from '../../scripts/release/man.ts';
import { must } from '../../scripts/release/must.ts';
import { faultsOf } from '../../scripts/release/ready.ts';
import { NAMESPACE, sign, writeSums } from '../../scripts/release/sums.ts';
import { NODE_VERSION, SYSTEMS } from '../../scripts/release/systems.ts';
import { run } from '../../scripts/run.ts';
import { firstNames, ROOT, read, rowsOf } from '../docs/documents.ts';

let folder: string;
before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'curfew-release-test-'));
});
after(() => rm(folder, { recursive: true, force: true }));

describe('a release is made', () => {
  const files = ['package.json', 'cli/package.json', 'broker/package.json', 'gateway/package.json'];
  let [root, key] = ['', ''];
  const git = (...words: readonly string[]) =>
    must('git', ['-c', 'user.name=A', '-c', 'user.email=a@example.com', ...words], { cwd: root });
  before(async () => {
    [root, key] = [path.join(folder, 'checkout'), path.join(folder, 'a-key')];
    for (const file of [...files, 'cli/warm/version.ts', 'CHANGELOG.md'])
      await cp(path.join(ROOT, file), path.join(root, file));
    await writeFile(key, 'key');
    await git('init', '--quiet');
    await git('add', '.');
    await git('commit', '--quiet', '--message', 'one');
  });
  const faults = () => faultsOf({ root, key });

  test('of what is committed, tagged with its version, and signed; anything else is refused by name', async () => {
    const { version } = JSON.parse(read('package.json')) as { readonly version: string };
    assert.deepEqual(await faults(), [`the commit does not have the tag v${version}`]);
    await git('tag', `v${version}`);
    assert.deepEqual(await faults(), []);
    assert.match((await faultsOf({ root, key: undefined })).join(), /^no key is named/);
    assert.match((await faultsOf({ root, key: `${key}-lost` })).join(), /^there is no key/);
    const stray = path.join(root, 'stray');
    await writeFile(stray, '');
    assert.match((await faults()).join(), /not committed: 1$/);
    await rm(stray);
    for (const file of [...files.slice(1), 'cli/warm/version.ts', 'CHANGELOG.md']) {
      const text = await readFile(path.join(root, file), 'utf8');
      await writeFile(path.join(root, file), text.replace(version, '0.0.1'));
      assert.match((await faults()).join(), new RegExp(`^${file} is of version 0.0.1, not ${version}`));
      await writeFile(path.join(root, file), text);
    }
    assert.deepEqual(await faults(), []);
  });
});

test('without --dry-run the program says what is in the way, and writes nothing', async () => {
  const out = path.join(folder, 'never');
  const main = path.join(ROOT, 'scripts/release/main.ts');
  const { code, stdout, stderr } = await run(process.execPath, [main, '--only', 'npm', out]);
  assert.deepEqual([code, stdout], [1, '']);
  assert.match(stderr, /this cannot be released:[\s\S]*no key is named/);
  await assert.rejects(readFile(out), { code: 'ENOENT' });
});

test('the checksums are verified as docs/install.md says, and neither they nor a file can be changed', async () => {
  const [release, keys] = [path.join(folder, 'sums'), path.join(folder, 'keys')];
  for (const made of [release, keys]) await mkdir(made);
  await writeFile(path.join(release, 'a.tar.gz'), 'a');
  await writeFile(path.join(release, 'b.deb'), 'b');
  const key = path.join(keys, 'key');
  await must('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', '', '-f', key]);
  await writeSums(release);
  await sign(release, key);
  const signers = path.join(keys, 'allowed_signers');
  await writeFile(signers, `release@example.com ${await readFile(`${key}.pub`, 'utf8')}`);
  const verify = async () => {
    const words = ['-Y', 'verify', '-f', signers, '-I', 'release@example.com', '-n', NAMESPACE, '-s', 'SHA256SUMS.sig'];
    const input = await readFile(path.join(release, 'SHA256SUMS'));
    return (await run('ssh-keygen', words, { cwd: release, input })).code === 0;
  };
  const check = async () =>
    (await run('sha256sum', ['--check', '--strict', 'SHA256SUMS'], { cwd: release })).code === 0;
  assert.deepEqual([await verify(), await check()], [true, true]);
  await writeFile(path.join(release, 'b.deb'), 'B');
  assert.deepEqual([await verify(), await check()], [true, false]);
  await rm(path.join(release, 'SHA256SUMS.sig'));
  await writeFile(path.join(keys, 'other'), '');
  await rm(path.join(release, 'SHA256SUMS'));
  await writeSums(release);
  await must('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', '', '-f', path.join(keys, 'strange')]);
  await sign(release, path.join(keys, 'strange'));
  assert.deepEqual([await verify(), await check()], [false, true]);
});

test('the krew manifest names the archives of this release with their digests', async () => {
  const release = path.join(folder, 'krew');
  await mkdir(release);
  for (const { name } of SYSTEMS) await writeFile(path.join(release, `curfew-1.2.3-${name}.tar.gz`), name);
  await writeKrewManifest(release, '1.2.3', 'https://get.example.com/v1.2.3');
  const { spec } = parse(await readFile(path.join(release, 'curfew.yaml'), 'utf8')) as {
    readonly spec: {
      readonly version: string;
      readonly platforms: readonly { readonly uri: string; readonly sha256: string; readonly bin: string }[];
    };
  };
  assert.equal(spec.version, 'v1.2.3');
  assert.equal(spec.platforms.length, SYSTEMS.length);
  for (const [i, { name }] of SYSTEMS.entries()) {
    const file = `curfew-1.2.3-${name}.tar.gz`;
    const digest = (await must('sha256sum', [path.join(release, file)])).slice(0, 64);
    const { uri, sha256 } = spec.platforms[i] ?? {};
    assert.deepEqual([uri, sha256], [`https://get.example.com/v1.2.3/${file}`, digest]);
  }
});

for (const name of ['curfew-broker', 'curfew-gateway'])
  test(`${name}.service leaves little open: systemd's own measure is at most 1.5`, async () => {
    const unit = path.join(ROOT, 'deploy/systemd', `${name}.service`);
    const { code, stdout, stderr } = await run('systemd-analyze', [
      'security',
      '--offline=yes',
      '--threshold=15',
      unit,
    ]);
    assert.equal(code, 0, stdout + stderr);
    assert.match(stdout, new RegExp(`Overall exposure level for ${name}\\.service: [01]\\.`));
    const open = path.join(folder, `${name}.service`);
    await writeFile(open, (await readFile(unit, 'utf8')).replaceAll(/^(Protect|Restrict|Private|SystemCall).*$/gm, ''));
    assert.notEqual((await run('systemd-analyze', ['security', '--offline=yes', '--threshold=15', open])).code, 0);
  });

describe('manual pages', () => {
  test('flags that a help text says over several lines are whole', () => {
    const help = parseHelp(`Usage: a b [options]

does what
it does

Options:
  --one <file>              first words
                            last words
  --two-with-a-name <word>  second
  -h, --help                display help for command

Commands:
  c [options]  third
`);
    assert.equal(help.description, 'does what it does');
    assert.deepEqual(help.options.slice(0, 2), [
      { name: '--one <file>', text: 'first words last words' },
      { name: '--two-with-a-name <word>', text: 'second' },
    ]);
    assert.deepEqual(help.commands, [{ name: 'c [options]', text: 'third' }]);
    assert.throws(() => parseHelp('curfew: error: no'), /not a help text/);
  });

  test('what is text is text to troff, and a table that is gone is noticed', () => {
    assert.equal(roff("it's \\fB a-b\n.SH\n'x"), "it's \\efB a\\-b\n\\&.SH\n\\&'x");
    assert.throws(() => exitStatuses('# Codes\n'), /no table/);
  });
});

test('docs/install.md names each file that a release has, and the Node.js in it', () => {
  const text = read('docs/install.md');
  const rows = firstNames(rowsOf(text, 'file', 'holds'));
  assert.deepEqual(
    rows.toSorted(),
    [
      'SHA256SUMS',
      'SHA256SUMS.sig',
      'curfew-VERSION-image-ARCH.tar',
      'curfew-VERSION-linux-ARCH.tar.gz',
      'curfew-broker-VERSION.tgz',
      'curfew-broker_VERSION-1_ARCH.deb',
      'curfew-gateway-VERSION.tgz',
      'curfew-gateway_VERSION-1_ARCH.deb',
      'curfew-node-linux-ARCH-VERSION.tgz',
      'curfew.yaml',
      'kubectl-curfew-SYSTEM-VERSION.tgz',
      'kubectl-curfew-VERSION.tgz',
      'kubectl-curfew_VERSION-1_ARCH.deb',
      'PROGRAM-VERSION.cdx.json',
    ].toSorted(),
  );
  assert.ok(text.includes(`Node.js ${NODE_VERSION}`));
  assert.ok(text.includes(`-n ${NAMESPACE}`));
});
