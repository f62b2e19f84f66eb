// The root of an image, as an engine would run it for a pod of the chart: unpacked, read-only, with the pod's volumes as a kubelet makes
// them, by the user of the image.

import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { readLayer } from '../../scripts/release/oci.ts';
import { run } from '../../scripts/run.ts';

/** A volume of a ConfigMap or Secret, by where it is mounted; by their names the contents of its files. */
export type Volumes = Readonly<Record<string, Readonly<Record<string, string>>>>;

interface About {
  readonly config: { readonly User: string; readonly Env: readonly string[]; readonly Cmd: readonly string[] };
}

export interface ImageRoot {
  readonly root: string;
  /** Of the pod: what is mounted at /var/lib/curfew. */
  readonly state: string;
  readonly about: About;
  /** The beginning of a command line: what follows is run in the image. */
  readonly by: readonly string[];
}

/** `$0` is the folder; whoever is started last has no rights of root's any more. */
const MOUNTS = `
set -e
root=$0/root
mount --bind "$root" "$root"
for volume in $VOLUMES; do
  at=$root$volume
  mount -t tmpfs -o size=4m,mode=0777 tmpfs "$at"
  mkdir "$at/..1"
  cp "$0/volumes$volume"/* "$at/..1"
  ln -s ..1 "$at/..data"
  for file in "$at/..1"/*; do ln -s "..data/\${file##*/}" "$at/\${file##*/}"; done
  chown -R 0:65532 "$at"
  chmod 0440 "$at/..1"/*
  mount -o remount,bind,ro "$at"
done
mount --bind "$0/state" "$root/var/lib/curfew"
mount -t tmpfs -o size=16m,mode=1777 tmpfs "$root/tmp"
mount --bind /dev "$root/dev"
mount -t proc proc "$root/proc"
mount -o remount,bind,ro "$root"
exec env -i $IMAGE_ENV "$CHROOT" --userspec="$IMAGE_USER" "$root" "$@"`;

/** @param layout of the image @param folder is filled; its user is root */
export async function unpackImage(layout: string, folder: string, volumes: Volumes): Promise<ImageRoot> {
  const { file, config } = await readLayer(layout);
  const about = config as About;
  const [root, state] = [path.join(folder, 'root'), path.join(folder, 'state')];
  await mkdir(root);
  await succeed('tar', ['-xzf', file, '-C', root, '--numeric-owner', '--same-owner', '-p']);
  await mkdir(state);
  // As a volume is with an fsGroup.
  await succeed('chown', [about.config.User.replace(/^\d+/, '0'), state]);
  await succeed('chmod', ['2775', state]);
  for (const [at, files] of Object.entries(volumes)) {
    await mkdir(path.join(root, at), { recursive: true });
    await mkdir(path.join(folder, 'volumes', at), { recursive: true });
    for (const [name, content] of Object.entries(files))
      await writeFile(path.join(folder, 'volumes', at, name), content);
  }
  const { stdout } = await run('sh', ['-c', 'command -v chroot || echo /usr/sbin/chroot']);
  const given = {
    VOLUMES: Object.keys(volumes).join(' '),
    IMAGE_ENV: about.config.Env.join(' '),
    IMAGE_USER: about.config.User,
    CHROOT: stdout.trim(),
  };
  const environment = Object.entries(given).map(([name, value]) => `${name}=${value}`);
  return { root, state, about, by: ['env', ...environment, 'unshare', '-m', 'sh', '-c', MOUNTS, folder] };
}

async function succeed(command: string, args: readonly string[]): Promise<void> {
  const { code, stderr } = await run(command, args, { timeout: 300_000 });
  if (code !== 0) throw new Error(`${command} ${args[0]} failed: ${stderr}`);
}
