// The container image as a release makes it: equal to the byte each time, taken by skopeo, and run as a pod of the chart runs it: from a
// read-only root, as nobody, by the settings that the chart writes.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { Agent, fetch } from 'undici';
import { buildBundles } from '../../scripts/bundle.ts';
import { archiveLayout, writeImage } from '../../scripts/release/image.ts';
import { nodeRuntime } from '../../scripts/release/node_runtime.ts';
import { OURS } from '../../scripts/release/systems.ts';
import { run } from '../../scripts/run.ts';
import { objectsIn, packageVersion, ROOT, render, valuesOf } from '../chart/render.ts';
import { freePort } from '../cluster/ports.ts';
import { createCertificateAuthority } from '../support/certificates.ts';
import { Holder, type Target } from '../support/holder.ts';
import { type ImageRoot, unpackImage } from '../support/image_root.ts';
import { until } from '../support/patience.ts';
import { startRunning } from '../support/running.ts';
import { type StaticIssuer, startStaticIssuer } from '../support/static_issuer.ts';

const EPOCH = 1_795_000_000;
const log = (line: string) => void process.stderr.write(`# ${line}\n`);

let folder: string;
let version: string;
let issuer: StaticIssuer;
let image: ImageRoot;
let url: string;
let ca: string;
const inFolder = (name: string) => path.join(folder, name);

before(async () => {
  assert.equal(process.getuid?.(), 0, 'files of several owners are made by root alone');
  folder = await mkdtemp(path.join(tmpdir(), 'curfew-image-'));
  version = await packageVersion();
  issuer = await startStaticIssuer();
  await buildBundles();
  await build('layout');
  url = `https://127.0.0.1:${await freePort()}`;
  const authority = await createCertificateAuthority(inFolder('pki'));
  ca = authority.caPem;
  const { certFile, keyFile } = await authority.issue({ name: 'tls', hosts: ['127.0.0.1'] });
  image = await unpackImage(inFolder('layout'), folder, {
    '/etc/curfew/config': { 'curfew-broker.yaml': await settings() },
    '/etc/curfew/keys': { 'encryption-key': `${randomBytes(32).toString('base64')}\n` },
    '/etc/curfew/tls': { 'tls.crt': await readFile(certFile, 'utf8'), 'tls.key': await readFile(keyFile, 'utf8') },
  });
});
after(async () => {
  await issuer?.stop();
  await rm(folder, { recursive: true, force: true });
});

async function build(name: string): Promise<string> {
  if (!OURS) throw new Error('no image is made for this machine');
  return await writeImage(inFolder(name), OURS, await nodeRuntime(OURS, log), { version, epochSeconds: EPOCH, log });
}

/** The chart's own, but for the port, which others on this machine may have. */
async function settings(): Promise<string> {
  const { code, yaml, said } = await render([valuesOf('broker-on-sqlite')], {
    'broker.config.issuer': url,
    'broker.config.identity_provider.issuer': issuer.issuer,
  });
  assert.equal(code, 0, said);
  const text = objectsIn(yaml).find(({ kind }) => kind === 'ConfigMap')?.data?.['curfew-broker.yaml'] ?? '';
  return text.replace(/port: 8443$/m, `port: ${new URL(url).port}`).replace(/port: 9090$/m, 'port: 0');
}

const inImage = (...command: readonly string[]) => run(image.by[0] ?? '', [...image.by.slice(1), ...command]);
const NODE = '/usr/lib/curfew/node';

test('two builds are equal to the byte, whatever the umask and the hour', async () => {
  const umask = process.umask(0o077);
  try {
    await build('again');
  } finally {
    process.umask(umask);
  }
  const files = (await readdir(inFolder('layout'), { recursive: true, withFileTypes: true })).filter((file) =>
    file.isFile(),
  );
  assert.equal(files.length, 5);
  for (const { parentPath, name } of files) {
    const one = path.join(parentPath, name);
    const other = path.join(inFolder('again'), path.relative(inFolder('layout'), one));
    assert.ok((await readFile(one)).equals(await readFile(other)), `${name} differs`);
  }
});

test('skopeo takes it as one file: it reads what it is, and a copy has the same digest', async () => {
  await archiveLayout(inFolder('layout'), inFolder('image.tar'), EPOCH);
  const source = `oci-archive:${inFolder('image.tar')}:${version}`;
  const inspected = await run('skopeo', ['inspect', source]);
  assert.equal(inspected.code, 0, inspected.stderr);
  const about = JSON.parse(inspected.stdout) as { Digest: string; Os: string; Labels: Record<string, string> };
  assert.equal(about.Os, 'linux');
  assert.equal(about.Labels['org.opencontainers.image.version'], version);
  const copied = await run('skopeo', ['copy', '--insecure-policy', source, `oci:${inFolder('copy')}:${version}`]);
  assert.equal(copied.code, 0, copied.stderr);
  const again = await run('skopeo', ['inspect', `oci:${inFolder('copy')}:${version}`]);
  assert.equal((JSON.parse(again.stdout) as { Digest: string }).Digest, about.Digest);
});

test('there is no shell and no package manager in it, nothing is setuid, and all is root’s but where the broker writes', async () => {
  const layer = (await readdir(inFolder('layout/blobs/sha256'), { withFileTypes: true })).map(({ name }) => name);
  assert.equal(layer.length, 3);
  const programs = await readdir(path.join(image.root, 'usr/bin'));
  assert.deepEqual(programs.sort(), ['curfew-broker', 'curfew-gateway']);
  const found = await run('find', [
    image.root,
    '-perm',
    '/7000',
    '-printf',
    '%P %m\n',
    '-o',
    '!',
    '-uid',
    '0',
    '-printf',
    '%P %U\n',
  ]);
  assert.deepEqual(found.stdout.trim().split('\n').sort(), ['tmp 1777', 'var/lib/curfew 65532']);
  const executables = await run('find', [
    image.root,
    '-type',
    'f',
    '-perm',
    '/111',
    '!',
    '-name',
    '*.so*',
    '-printf',
    '%P\n',
  ]);
  assert.deepEqual(executables.stdout.trim().split('\n').sort(), [
    'usr/bin/curfew-broker',
    'usr/bin/curfew-gateway',
    'usr/lib/curfew/node',
  ]);
  assert.match(
    await readFile(path.join(image.root, 'usr/share/doc/curfew/debian-packages'), 'utf8'),
    /^libc6 2\.\S+ [0-9a-f]{64}$/m,
  );
});

test('both programs start in it as nobody, know the system’s certificates, and can write nowhere but where they may', async () => {
  for (const program of ['curfew-broker', 'curfew-gateway']) {
    const said = await inImage(program, '--version');
    assert.equal(said.stdout.trim(), version, said.stderr);
  }
  const roots = await inImage(NODE, '--print', "process.getuid() + ' ' + tls.getCACertificates('system').length");
  const [uid, count] = roots.stdout.trim().split(' ').map(Number);
  assert.equal(uid, 65_532, roots.stderr);
  assert.ok((count ?? 0) > 100, roots.stdout);
  for (const [place, outcome] of [
    ['/x', 'EROFS'],
    ['/etc/curfew/x', 'EROFS'],
    ['/usr/lib/curfew/x', 'EROFS'],
    ['/etc/curfew/keys/x', 'EROFS'],
    ['/tmp/x', 'written'],
    ['/var/lib/curfew/x', 'written'],
  ] as const) {
    const tried = await inImage(
      NODE,
      '--print',
      `try { fs.writeFileSync('${place}', ''); fs.rmSync('${place}'); 'written' } catch ({ code }) { code }`,
    );
    assert.equal(tried.stdout.trim(), outcome, place + tried.stderr);
  }
});

test('the broker serves a login in it, by the settings and volumes of the chart, with no right of root’s', async (context) => {
  const [command = '', ...args] = [
    ...image.by,
    'curfew-broker',
    'serve',
    '--config',
    '/etc/curfew/config/curfew-broker.yaml',
  ];
  const running = startRunning(command, args);
  context.after(() => running.kill());
  const dispatcher = new Agent({ connect: { ca } });
  context.after(() => dispatcher.close());
  const send = ((to: string, init: object) => fetch(to, { ...init, dispatcher })) as unknown as NonNullable<
    Target['send']
  >;
  const ready = () =>
    fetch(`${url}/readyz`, { dispatcher }).then(
      ({ status }) => status === 200,
      () => false,
    );
  await until(async () => running.ended || (await ready()), `it is not ready:\n${running.stderr()}`);
  assert.ok(!running.ended, running.stderr());

  const status = await readFile(`/proc/${running.pid}/status`, 'utf8');
  assert.match(status, /^Uid:\t65532\t65532\t65532\t65532$/m);
  assert.match(status, /^Gid:\t65532\t65532\t65532\t65532$/m);
  assert.match(status, /^CapEff:\t0{16}$/m);

  const holder = new Holder({ url, issuer: url, send });
  const now = holder.now();
  const { granted } = await holder.exchange(
    issuer.sign({
      ...{
        iss: issuer.issuer,
        aud: 'curfew',
        sub: 'alice',
        iat: now,
        exp: now + 300,
        auth_time: now,
        nonce: holder.nonce,
      },
      ...{ email: 'alice@example.com', email_verified: true },
    }),
    { audience: 'dev' },
  );
  const { refresh_token: handle = '' } = granted;
  assert.equal((await holder.renew(handle, 'dev')).status, 200);
  assert.equal((await holder.revoke(handle)).status, 200);
  assert.notEqual((await holder.renew(handle, 'dev')).status, 200);

  running.signal('SIGTERM');
  assert.equal(await running.exit, 0, running.stderr());
  assert.ok((await readdir(image.state)).includes('curfew.db'));
});

test('the Containerfile makes an image that is run alike', async () => {
  const text = await readFile(path.join(ROOT, 'deploy/image/Containerfile'), 'utf8');
  const { User, Env, Cmd } = image.about.config;
  assert.ok(text.includes(`\nUSER ${User}\n`));
  assert.ok(text.includes(`\nENV ${Env.join(' ')}\n`));
  assert.ok(text.includes(`\nCMD ${JSON.stringify(Cmd).replaceAll(',', ', ')}\n`));
  for (const [, from] of text.matchAll(/COPY (lib[^/]*\/curfew\/.*) \/usr\/lib\/curfew\//g))
    for (const file of (from ?? '').split(' '))
      assert.ok((await readdir(path.join(image.root, 'usr/lib/curfew'))).includes(path.basename(file)));
});
