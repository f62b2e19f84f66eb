// The image layout that a release writes, around a small layer: equal each time, and taken by skopeo.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { archiveLayout } from '../../scripts/release/image.ts';
import { type ImageConfig, readLayer, writeLayout } from '../../scripts/release/oci.ts';
import { run } from '../../scripts/run.ts';

const CONFIG: ImageConfig = {
  ...{ architecture: 'amd64', epochSeconds: 1_795_000_000, tag: '1.2.3', user: '65532:65532' },
  ...{ env: ['PATH=/usr/bin', 'EMPTY='], command: ['a', '--help'], labels: { 'org.example.a': 'b' } },
};

let folder: string;
let layer: Buffer;
const inFolder = (name: string) => path.join(folder, name);
before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'curfew-layout-'));
  await mkdir(inFolder('root'));
  await writeFile(inFolder('root/file'), 'content');
  const packed = await run('tar', ['-cf', inFolder('layer.tar'), '-C', inFolder('root'), 'file']);
  assert.equal(packed.code, 0, packed.stderr);
  layer = await readFile(inFolder('layer.tar'));
});
after(() => rm(folder, { recursive: true, force: true }));

async function contents(of: string): Promise<Readonly<Record<string, string>>> {
  const found = (await readdir(inFolder(of), { recursive: true, withFileTypes: true })).filter((file) => file.isFile());
  const read = found.map(async ({ parentPath, name }) => {
    const file = path.join(parentPath, name);
    return [path.relative(inFolder(of), file), await readFile(file, 'base64')] as const;
  });
  return Object.fromEntries(await Promise.all(read));
}

test('equal contents make equal bytes, another time makes another image', async () => {
  const digest = await writeLayout(inFolder('one'), layer, CONFIG);
  assert.equal(await writeLayout(inFolder('two'), layer, CONFIG), digest);
  assert.deepEqual(await contents('two'), await contents('one'));
  assert.notEqual(
    await writeLayout(inFolder('later'), layer, { ...CONFIG, epochSeconds: CONFIG.epochSeconds + 1 }),
    digest,
  );
});

test('each blob is named by its digest, and the layer is what was given', async () => {
  await writeLayout(inFolder('blobs-of'), layer, CONFIG);
  const all = await contents('blobs-of');
  const blobs = Object.entries(all).filter(([name]) => name.startsWith('blobs/sha256/'));
  assert.equal(blobs.length, 3);
  for (const [name, content] of blobs)
    assert.equal(path.basename(name), createHash('sha256').update(Buffer.from(content, 'base64')).digest('hex'));
  const { file, config } = await readLayer(inFolder('blobs-of'));
  const unpacked = await run('tar', ['-xzOf', file, 'file']);
  assert.equal(unpacked.stdout, 'content');
  const { rootfs } = config as { readonly rootfs: { readonly diff_ids: readonly string[] } };
  assert.deepEqual(rootfs.diff_ids, [`sha256:${createHash('sha256').update(layer).digest('hex')}`]);
});

test('skopeo takes it as one file: by its name, with user, command, environment and labels, and copies it with the same digest', async () => {
  const digest = await writeLayout(inFolder('taken'), layer, CONFIG);
  await archiveLayout(inFolder('taken'), inFolder('image.tar'), CONFIG.epochSeconds);
  const source = `oci-archive:${inFolder('image.tar')}:1.2.3`;
  const about = await inspect(source);
  assert.equal(about.Digest, digest);
  assert.deepEqual(about.Labels, CONFIG.labels);
  assert.deepEqual(about.Env, CONFIG.env);
  assert.equal(about.Architecture, 'amd64');
  const { config } = (await inspect(source, '--config')) as unknown as {
    readonly config: Readonly<Record<string, unknown>>;
  };
  assert.deepEqual([config.User, config.Cmd], [CONFIG.user, CONFIG.command]);
  const copy = `dir:${inFolder('copy')}`;
  const copied = await run('skopeo', ['copy', '--insecure-policy', source, copy]);
  assert.equal(copied.code, 0, copied.stderr);
  assert.equal((await inspect(copy)).Digest, digest);
});

test('a blob that was changed is not taken', async () => {
  await writeLayout(inFolder('changed'), layer, CONFIG);
  const { file } = await readLayer(inFolder('changed'));
  await writeFile(file, Buffer.concat([await readFile(file), Buffer.from('more')]));
  const copied = await run('skopeo', [
    'copy',
    '--insecure-policy',
    `oci:${inFolder('changed')}:1.2.3`,
    `dir:${inFolder('none')}`,
  ]);
  assert.notEqual(copied.code, 0);
});

async function inspect(source: string, ...flags: readonly string[]): Promise<Readonly<Record<string, unknown>>> {
  const { code, stdout, stderr } = await run('skopeo', ['inspect', ...flags, source]);
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout) as Readonly<Record<string, unknown>>;
}
