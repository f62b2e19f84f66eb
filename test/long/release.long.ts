// A release as people get it: made twice, in two places, it is the same to the byte; each way of installing it does the main job.

import assert from 'node:assert/strict';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { must } from '../../scripts/release/must.ts';
import { nodeBuild } from '../../scripts/release/node_runtime.ts';
import { OURS, SYSTEMS } from '../../scripts/release/systems.ts';
import { PROGRAM_NAMES, type ProgramName } from '../../scripts/release/tree.ts';
import { run } from '../../scripts/run.ts';
import { ensureProgram } from '../cluster/build.ts';
import { krew, validateKrewManifest } from '../cluster/versions.ts';
import { ROOT } from '../docs/documents.ts';
import { startGatewayWorld } from '../support/gateway_world.ts';
import { mainJob } from '../support/main_job.ts';
import { type Installed, installArchive, installPackages, unpackDebian } from '../support/released.ts';

const EPOCH = '1795000000';
const VERSION = (JSON.parse(await readFile(path.join(ROOT, 'package.json'), 'utf8')) as { version: string }).version;
/** The oldest that npm's packages are for. */
const OLDEST = {
  version: '20.18.0',
  integrity: 'sha512-GxGTXDoCCOeC3uW5UGYJi/2EHXeQrlQzU9qjieEuS3VGRYgSUwDLLpYletFTAePMdfVIqtanaKqsLozTJpe4rg==',
} as const;

const folder = await mkdtemp(path.join(tmpdir(), 'curfew-released-'));
const made = path.join(folder, 'made');
const say = (line: string) => void process.stderr.write(`${line}\n`);
if (OURS?.name !== 'linux-x64') throw new Error('the long form of a release runs on Linux x64');

async function makeRelease(checkout: string, out: string): Promise<void> {
  const env = { ...process.env, SOURCE_DATE_EPOCH: EPOCH };
  const main = path.join(checkout, 'scripts/release/main.ts');
  await must(process.execPath, [main, '--dry-run', out], { env, cwd: checkout, timeout: 3_000_000 });
}

before(() => makeRelease(ROOT, made));
after(() => rm(folder, { recursive: true, force: true }));

test('two releases of the same commit, made in two places under two umasks, are equal to the byte', async () => {
  // Of different lengths, and with nothing built before.
  const elsewhere = path.join(folder, 'another/place/for/it');
  await mkdir(elsewhere, { recursive: true });
  const files = await must('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], { cwd: ROOT });
  for (const file of files.split('\0').filter((one) => one !== ''))
    await cp(path.join(ROOT, file), path.join(elsewhere, file), { recursive: true });
  await must('cp', ['-al', path.join(ROOT, 'node_modules'), elsewhere]);
  const umask = process.umask(0o077);
  try {
    await makeRelease(elsewhere, path.join(folder, 'again'));
  } finally {
    process.umask(umask);
  }
  const sums = (where: string) => readFile(path.join(folder, where, 'SHA256SUMS'), 'utf8');
  const first = await sums('made');
  assert.ok(first.split('\n').length > 15, first);
  assert.equal(await sums('again'), first);
  await must('sha256sum', ['--check', '--strict', 'SHA256SUMS'], { cwd: path.join(folder, 'again') });
});

/** Broker, gateway and plugin as they were installed. */
async function doMainJob(installed: Installed): Promise<void> {
  for (const name of PROGRAM_NAMES) {
    const said = await must(installed[name], ['--version'], { env: { PATH: process.env.PATH, HOME: folder } });
    assert.ok(said.includes(VERSION), said);
  }
  const world = await startGatewayWorld({
    plane: { webhook: { on_failure: 'deny' } },
    sections: { admins: { groups: ['security'], limits: { max_age: '1h' } } },
    brokerProgram: installed['curfew-broker'],
    gatewayProgram: installed['curfew-gateway'],
  });
  try {
    const alice = await world.person('alice', {}, { program: installed['kubectl-curfew'] });
    const carol = await world.person('carol', {}, { program: installed['kubectl-curfew'] });
    assert.equal((await carol.setup()).code, 0);
    await mainJob(alice, async () => {
      assert.equal((await carol.curfew(['login'])).code, 0);
      const ended = await carol.curfew(['sessions', 'end', '--user', 'curfew:alice@example.com']);
      assert.equal(ended.code, 0, ended.stderr);
    });
    // What kubectl runs is the native program, whichever way it came.
    const said = await must(path.join(alice.dir, 'config/bin/kubectl-curfew'), ['--version'], { env: {} });
    assert.equal(said, `kubectl-curfew ${VERSION} (native)\n`);
  } finally {
    await world.stop();
  }
}

const PACKAGES: readonly string[] = [...PROGRAM_NAMES, 'kubectl-curfew-linux-x64'];

describe('the main job', () => {
  test('from the archive', async () => {
    await doMainJob(await installArchive(made, path.join(folder, 'archive'), 'linux-x64'));
  });

  test('from the Debian packages', async () => {
    await doMainJob(await unpackDebian(made, path.join(folder, 'debian'), 'amd64'));
  });

  test('from the npm packages, on this Node.js', async () => {
    await doMainJob(await installPackages(made, path.join(folder, 'npm'), PACKAGES));
  });

  test('from the npm packages, on the oldest Node.js that they are for: the one that comes with them runs', async () => {
    const { program } = await nodeBuild({ ...OLDEST, name: 'linux-x64' }, say);
    assert.equal(await must(program, ['--version']), `v${OLDEST.version}\n`);
    const wanted = [...PACKAGES, 'curfew-node-linux-x64'];
    await doMainJob(await installPackages(made, path.join(folder, 'npm-oldest'), wanted, path.dirname(program)));
  });

  test('from krew, which takes the manifest for valid', async () => {
    await must(await ensureProgram(validateKrewManifest, say), [
      '-skip-install',
      '-manifest',
      path.join(made, 'curfew.yaml'),
    ]);
    const root = path.join(folder, 'krew');
    const archive = path.join(made, `curfew-${VERSION}-linux-x64.tar.gz`);
    const words = ['install', `--manifest=${path.join(made, 'curfew.yaml')}`, `--archive=${archive}`];
    const env = { PATH: process.env.PATH, HOME: root, KREW_ROOT: root, KREW_NO_UPGRADE_CHECK: '1' };
    await must(await ensureProgram(krew, say), words, { env });
    const plugin = path.join(root, 'bin/kubectl-curfew');
    assert.equal(await must(plugin, ['--version'], { env: {} }), `kubectl-curfew ${VERSION} (native)\n`);
    const others = await installArchive(made, path.join(folder, 'beside-krew'), 'linux-x64');
    await doMainJob({ ...others, 'kubectl-curfew': plugin });
  });
});

describe('a Debian package of a service', () => {
  const root = path.join(folder, 'root');
  const dpkg = (...words: readonly string[]) =>
    must('dpkg', [`--root=${root}`, '--force-depends', '--force-script-chrootless', '--force-bad-path', ...words]);

  before(async () => {
    await mkdir(path.join(root, 'var/lib/dpkg/info'), { recursive: true });
    await mkdir(path.join(root, 'var/lib/dpkg/updates'));
    await mkdir(path.join(root, 'etc'));
    await writeFile(path.join(root, 'var/lib/dpkg/status'), '');
  });

  for (const name of ['curfew-broker', 'curfew-gateway'] as const satisfies readonly ProgramName[]) {
    test(`${name}: its user and folder are made, what was changed stays when it is installed again, and nobody else is touched`, async () => {
      const accounts = await readFile('/etc/passwd', 'utf8');
      const file = path.join(made, `${name}_${VERSION}-1_amd64.deb`);
      await dpkg('--install', file);
      assert.match(await readFile(path.join(root, 'etc/passwd'), 'utf8'), new RegExp(`^${name}:`, 'm'));
      const { mode, gid } = await stat(path.join(root, 'etc', name));
      assert.equal(mode & 0o777, 0o750);
      const groups = await readFile(path.join(root, 'etc/group'), 'utf8');
      assert.match(groups, new RegExp(`^${name}:[^:]*:${gid}:`, 'm'));
      const settings = path.join(root, 'etc/default', name);
      await writeFile(settings, 'CONFIG=/srv/curfew.yaml\n');
      await writeFile(path.join(root, 'etc', name, `${name}.yaml`), 'mine\n');
      await dpkg('--install', file);
      assert.equal(await readFile(settings, 'utf8'), 'CONFIG=/srv/curfew.yaml\n');
      await dpkg('--remove', name);
      assert.equal(await readFile(path.join(root, 'etc', name, `${name}.yaml`), 'utf8'), 'mine\n');
      assert.equal(await readFile(settings, 'utf8'), 'CONFIG=/srv/curfew.yaml\n');
      assert.equal(await readFile('/etc/passwd', 'utf8'), accounts);
    });
  }

  test('the manual pages are read without a warning', async () => {
    const pages = await installPages();
    assert.equal(pages.length, 3);
    for (const page of pages) {
      const { code, stdout, stderr } = await run('sh', ['-c', 'gzip -dc "$0" | groff -man -Tutf8 -ww -z', page]);
      assert.deepEqual([code, stdout, stderr], [0, '', ''], page);
    }
  });
});

async function installPages(): Promise<string[]> {
  const at = path.join(folder, 'pages');
  await unpackDebian(made, at, 'amd64');
  const man = path.join(at, 'usr/share/man');
  const files = await readdir(man, { recursive: true });
  return files.filter((file) => file.endsWith('.gz')).map((file) => path.join(man, file));
}

test('there is an archive and a set of Debian packages for each system', async () => {
  const names = await readdir(made);
  for (const { name, debian } of SYSTEMS) {
    assert.ok(names.includes(`curfew-${VERSION}-${name}.tar.gz`));
    for (const program of PROGRAM_NAMES) assert.ok(names.includes(`${program}_${VERSION}-1_${debian}.deb`));
  }
});
