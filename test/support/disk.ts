// A disk that may lose its power (disk.c), without rights and without a device: for the folder that a broker or a database server writes to.

import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';
import { buildPreload } from '../../scripts/native/build.ts';
import type { Chance } from './chance.ts';

/** Bytes: what a disk writes whole, and what is compared at a time. */
const [SECTOR, PAGE] = [512, 4_096];

export interface Disk {
  /** For the programs that write to the folder. */
  readonly env: Readonly<Record<string, string>>;
  /** From here on no file of the folder grows, until what is returned is called. */
  fill(): () => void;
  /** From here on nothing is synced. End the programs then. */
  cut(): void;
  /** Nothing is open in the folder: as it is now it is on the disk. */
  take(): void;
  /**
   * Once they have ended: the folder becomes what the disk has.
   *
   * @param share hundredths that are there of what was not synced, by sectors; by chance, unless told
   */
  restore(chance: Chance, share?: number): void;
}

/**
 * @param folder as it is now is on the disk; nothing is open in it
 * @param beside a folder that those programs may enter and write to
 * @param lies whether syncs are acknowledged, and nothing is done
 */
export async function makeDisk(folder: string, beside: string, { lies = false } = {}): Promise<Disk> {
  const [disk, off, full, next] = ['disk', 'disk.off', 'disk.full', 'disk.next'].map((name) =>
    path.join(beside, name),
  ) as [string, string, string, string];
  const library = await buildPreload(path.join(import.meta.dirname, 'disk.c'), beside);
  chmodSync(library, 0o755);
  const begin = () => {
    rmSync(disk, { recursive: true, force: true });
    // With owners and modes.
    execFileSync('cp', ['-a', folder, disk]);
    rmSync(off, { force: true });
  };
  begin();
  return {
    env: {
      LD_PRELOAD: library,
      DISK_ROOT: folder,
      DISK: disk,
      DISK_OFF: off,
      DISK_FULL: full,
      ...(lies && { DISK_LIES: '1' }),
    },
    fill() {
      writeFileSync(full, '');
      return () => rmSync(full);
    },
    cut: () => writeFileSync(off, ''),
    take: begin,
    restore(chance, share = chance.pick([0, 0, 50, 100]) ?? 0) {
      execFileSync('cp', ['-a', folder, next]);
      for (const file of filesIn(next)) lose(path.join(next, file), readIfThere(path.join(disk, file)), share, chance);
      for (const file of filesIn(disk))
        if (!statSync(path.join(next, file), { throwIfNoEntry: false }))
          execFileSync('cp', ['-a', path.join(disk, file), path.join(next, file)]);
      rmSync(folder, { recursive: true });
      renameSync(next, folder);
      begin();
    },
  };
}

function filesIn(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name)));
}

function readIfThere(file: string): Buffer | undefined {
  return statSync(file, { throwIfNoEntry: false }) && readFileSync(file);
}

/** @param synced what the disk has for certain; nothing where the file was never synced @param share of what is not certain, in hundredths */
function lose(file: string, synced: Buffer | undefined, share: number, chance: Chance): void {
  const keeps = () => chance.below(100) < share;
  if (!synced) {
    if (!keeps()) rmSync(file);
    return;
  }
  const written = readFileSync(file);
  if (written.equals(synced)) return;
  const fd = openSync(file, 'r+');
  try {
    // Where the file is longer or shorter than it was, that may be known to the disk or not.
    const length = keeps() ? written.length : synced.length;
    for (let at = 0; at < synced.length; at += PAGE) {
      const [old, now] = [synced.subarray(at, at + PAGE), written.subarray(at, at + PAGE)];
      if (old.equals(now)) continue;
      for (let sector = 0; sector < old.length; sector += SECTOR)
        if (!keeps()) writeSync(fd, old, sector, Math.min(SECTOR, old.length - sector), at + sector);
    }
    ftruncateSync(fd, length);
  } finally {
    closeSync(fd);
  }
}
