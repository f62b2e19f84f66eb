// Who can read a file that holds a secret: its owner alone, or a group where it is on a Secret volume as a kubelet makes it.

import { readFile } from 'node:fs/promises';

/** What beside the mode decides. */
export interface Access {
  readonly uid: number;
  readonly gid: number;
  /** What it is mounted from; `undefined` where the system does not tell. */
  readonly mount: Mount | undefined;
  /** This process. */
  readonly reader: { readonly uid: number; readonly groups: readonly number[] };
}

export interface Mount {
  readonly type: string;
  readonly read_only: boolean;
}

/**
 * A kubelet makes the files of Secrets root's and mode 0440 where the pod has an `fsGroup`, so that a program that is not root can read
 * them. Only that is let through: what a group can read elsewhere was forgotten to be closed.
 *
 * @param mode permission bits
 * @param access absent where it is not known
 * @returns what is wrong, or `undefined` where nobody else can read it
 */
export function whyOpen(mode: number, access: Access | undefined): string | undefined {
  if ((mode & 0o077) === 0) return undefined;
  const octal = mode.toString(8).padStart(4, '0');
  if ((mode & 0o007) !== 0 || access === undefined) return `can be read by others (mode ${octal}): run chmod 600`;
  const why = whyNoSecretVolume(mode, access);
  return why && `can be read by others (mode ${octal}), and ${why}: run chmod 600`;
}

function whyNoSecretVolume(mode: number, { uid, gid, mount, reader }: Access): string | undefined {
  if ((mode & 0o077) !== 0o040) return 'its group can do more than read it';
  if (uid !== 0) return 'it is not owned by root, as files of a Secret volume are';
  if (reader.uid === 0) return 'this program runs as root, which needs no group to read it';
  if (!reader.groups.includes(gid)) return 'its group is none of this program';
  if (mount === undefined) return 'it is not known what it is mounted from';
  if (!mount.read_only && !IN_MEMORY.includes(mount.type)) return `it is on a disk that can be written (${mount.type})`;
  return undefined;
}

const IN_MEMORY: readonly string[] = ['tmpfs', 'ramfs'];

/** @param fd of the open file: its name may lead elsewhere by now */
export async function accessOf(fd: number, { uid, gid }: { readonly uid: number; readonly gid: number }) {
  const [own, groups, own_group] = [process.getuid?.(), process.getgroups?.(), process.getegid?.()];
  if (own === undefined || groups === undefined || own_group === undefined) return undefined;
  const reader = { uid: own, groups: [...groups, own_group] };
  return { uid, gid, mount: await mountOf(fd), reader } satisfies Access;
}

/** Linux tells it of each open file (proc(5)). */
async function mountOf(fd: number): Promise<Mount | undefined> {
  try {
    const about = await readFile(`/proc/self/fdinfo/${fd}`, 'utf8');
    const id = /^mnt_id:\s*(\d+)$/m.exec(about)?.[1];
    return id === undefined ? undefined : parseMount(await readFile('/proc/self/mountinfo', 'utf8'), id);
  } catch {
    return undefined;
  }
}

/** @param mountinfo `36 35 98:0 /root /mount/point ro,noatime master:1 - ext4 /dev/vda rw`; blanks in names are written `\040` */
export function parseMount(mountinfo: string, id: string): Mount | undefined {
  const line = mountinfo.split('\n').find((text) => text.startsWith(`${id} `));
  const [mount = '', filesystem] = (line ?? '').split(' - ');
  if (filesystem === undefined) return undefined;
  const options = mount.split(' ')[5] ?? '';
  const [type = '', , of_filesystem = ''] = filesystem.split(' ');
  return { type, read_only: [options, of_filesystem].some((list) => list.split(',').includes('ro')) };
}
