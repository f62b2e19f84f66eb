// Whether others can exchange what is at a path: whoever can write a folder on the way there, or own it, can put another
// in its place. Links are followed step by step, as each may be in such a folder.

import { lstatSync, readFileSync, readlinkSync, type Stats } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { UserId } from '../warm/machine.ts';

/** As many as Linux follows. */
const MOST_LINKS = 40;
const STICKY = 0o1000;

/** @returns what others could change, as a sentence; nothing where there are no user ids. What is missing yet is nobody's */
export function faultOfPlace(path: string, uid: UserId, trusted = 0): string | undefined {
  if (uid === undefined) return undefined;
  let links = 0;
  let rest = resolve(path).split('/').filter(Boolean);
  let here = '/';
  for (;;) {
    const stat = look(here);
    if (stat === 'closed') return `${dirname(here)} is closed to this user (uid ${uid})`;
    if (!stat) return undefined;
    const fault = faultOf(stat, uid, trusted, rest.length === 0);
    if (fault !== undefined) return `${here} ${fault}`;
    if (stat.isSymbolicLink()) {
      links += 1;
      if (links > MOST_LINKS) return `${path} has too many links`;
      rest = [...resolve(dirname(here), readlinkSync(here)).split('/').filter(Boolean), ...rest];
      here = '/';
      continue;
    }
    const [next, ...after] = rest;
    if (next === undefined) return undefined;
    here = here === '/' ? `/${next}` : `${here}/${next}`;
    rest = after;
  }
}

function look(path: string): Stats | 'closed' | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false });
  } catch {
    return 'closed';
  }
}

function faultOf(stat: Stats, uid: number, trusted: number, last: boolean): string | undefined {
  if (![uid, trusted, 0].includes(stat.uid) && !isRootUnseen(stat.uid))
    return `belongs to another user (uid ${stat.uid})`;
  if (stat.isSymbolicLink()) return undefined;
  const { mode } = stat;
  // In a sticky folder (/tmp) nobody moves what is another's; but what is looked for itself must not be one.
  if ((mode & STICKY) !== 0 && stat.isDirectory() && !last) return undefined;
  const group = (mode & 0o020) !== 0 && !isAlone(stat.gid, uid);
  if ((mode & 0o002) === 0 && !group) return undefined;
  return `can be written by others (its mode is ${(mode & 0o7777).toString(8).padStart(4, '0')})`;
}

/** The owner that Linux shows for whoever has no name in this user namespace: in a sandbox (bubblewrap, Flatpak) that is root. */
export function isRootUnseen(owner: number): boolean {
  if (owner !== UNSEEN) return false;
  try {
    const ranges = readFileSync('/proc/self/uid_map', 'utf8').trim().split('\n');
    return !ranges.some((range) => range.trim().startsWith('0 '));
  } catch {
    return false;
  }
}

const UNSEEN = 65_534;

/** Whether a group has no other members than this user, as where each user has a group of their own. */
function isAlone(gid: number, uid: number): boolean {
  try {
    const users = rowsOf('/etc/passwd');
    const name = users.find((row) => row[2] === String(uid))?.[0];
    const group = rowsOf('/etc/group').find((row) => row[2] === String(gid));
    if (name === undefined || !group) return false;
    const members = (group[3] ?? '').split(',').filter(Boolean);
    return (
      members.every((member) => member === name) && users.every((row) => row[3] !== String(gid) || row[0] === name)
    );
  } catch {
    return false;
  }
}

function rowsOf(file: string): readonly (readonly string[])[] {
  return readFileSync(file, 'utf8')
    .split('\n')
    .map((line) => line.split(':'));
}
