// The container image of broker and gateway: the tree of the release on a root without a shell, as an OCI layout in one file.

import { chmod, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { NOBODYS, plainTar } from './archive.ts';
import { putDebianFiles } from './debian_files.ts';
import { must } from './must.ts';
import type { NodeRuntime } from './node_runtime.ts';
import { writeLayout } from './oci.ts';
import type { System } from './systems.ts';
import { writeTree } from './tree.ts';

/** Nobody's on any machine, as in images of this style. */
const USER = 65_532;
const PROGRAMS = ['curfew-broker', 'curfew-gateway'] as const;
/** The only folders that are written to: volumes, or a tmpfs. */
const [TMP, STATE] = ['tmp', 'var/lib/curfew'];

export interface ImageOptions {
  readonly version: string;
  readonly epochSeconds: number;
  readonly log: (line: string) => void;
}

/**
 * @param folder of the layout: is made
 * @returns the digest of the image
 */
export async function writeImage(
  folder: string,
  system: System,
  node: NodeRuntime,
  { version, epochSeconds, log }: ImageOptions,
): Promise<string> {
  const work = await mkdtemp(path.join(tmpdir(), 'curfew-image-'));
  try {
    const root = path.join(work, 'root');
    await writeRoot(root, system, node, log);
    const layer = path.join(work, 'layer.tar');
    await writeLayer(root, layer, epochSeconds);
    return await writeLayout(folder, await readFile(layer), {
      ...{ architecture: system.debian, epochSeconds, tag: version },
      user: `${USER}:${USER}`,
      // Whatever the machine says to Node.js is not meant for these.
      env: ['PATH=/usr/bin', 'NODE_OPTIONS=', 'SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt'],
      command: ['curfew-broker', '--help'],
      labels: {
        'org.opencontainers.image.title': 'curfew',
        'org.opencontainers.image.version': version,
        'org.opencontainers.image.licenses': 'Apache-2.0',
      },
    });
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/**
 * The layout in one file, as skopeo and engines take it (`oci-archive:`).
 *
 * @param folder of the layout
 */
export async function archiveLayout(folder: string, file: string, epochSeconds: number): Promise<void> {
  const options = ['-cf', file, ...plainTar(folder, epochSeconds), ...NOBODYS];
  await must('tar', [...options, 'blobs', 'index.json', 'oci-layout']);
}

/** @param root is made */
async function writeRoot(root: string, system: System, node: NodeRuntime, log: ImageOptions['log']): Promise<void> {
  const put = async (name: string, text: string, mode = 0o644) => {
    const file = path.join(root, name);
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, text);
    await chmod(file, mode);
  };
  const packages = await putDebianFiles(root, system, log);
  await writeTree(path.join(root, 'usr'), system, node, PROGRAMS);
  await mkdir(path.join(root, 'usr/share/doc/curfew'), { recursive: true });
  const texts = ['LICENSE', 'NODE-LICENSE', ...PROGRAMS.map((name) => `THIRD-PARTY-${name}`)];
  for (const text of texts)
    await rename(path.join(root, 'usr', text), path.join(root, 'usr/share/doc/curfew', text)).catch(missing(text));
  // The launchers of the tree are shell scripts, and this root has no shell.
  for (const name of PROGRAMS)
    await put(`usr/bin/${name}`, `#!/usr/lib/curfew/node\nrequire('/usr/lib/curfew/${name}.cjs');\n`, 0o755);
  await put(
    'usr/share/doc/curfew/debian-packages',
    packages.map(({ name, version, sha256 }) => `${name} ${version} ${sha256}\n`).join(''),
  );
  await put(
    'etc/passwd',
    `root:x:0:0:root:/:/nonexistent\ncurfew:x:${USER}:${USER}:curfew:/nonexistent:/nonexistent\n`,
  );
  await put('etc/group', `root:x:0:\ncurfew:x:${USER}:\n`);
  await put('etc/nsswitch.conf', 'hosts: files dns\n');
  // Where an engine mounts something.
  for (const name of [TMP, STATE, 'dev', 'proc', 'sys', 'run', 'etc/curfew'])
    await mkdir(path.join(root, name), { recursive: true });
}

/** Texts of licences come with the bundles that have them. */
function missing(text: string): (error: unknown) => void {
  return (error) => {
    if (!text.startsWith('THIRD-PARTY') || !(error instanceof Error && 'code' in error && error.code === 'ENOENT'))
      throw error;
  };
}

/** Everything is root's and readable by all, but for where the programs write. Equal to the byte, whoever makes it. */
async function writeLayer(root: string, layer: string, epochSeconds: number): Promise<void> {
  const add = (mode: string, owner: number, ...what: readonly string[]) =>
    must('tar', [
      '-rf',
      layer,
      ...plainTar(root, epochSeconds),
      `--mode=${mode}`,
      `--owner=${owner}`,
      `--group=${owner}`,
      ...what,
    ]);
  const apart = [TMP, STATE].map((name) => `--exclude=./${name}`);
  await add('u=rwX,go=rX', 0, ...apart, '.');
  await add('1777', 0, '--no-recursion', `./${TMP}`);
  await add('0700', USER, '--no-recursion', `./${STATE}`);
}
