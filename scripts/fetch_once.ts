// A folder in the cache outside the checkout that is filled once, whoever wants it first; what was begun and not ended is never taken for it.

import { existsSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { cacheFolder } from './cache_folder.ts';
import { withLock } from './lock.ts';

export interface Fetched {
  /** With all that decides what is in it. */
  readonly name: string;
  /** As in `another process is fetching WHAT`. */
  readonly what: string;
  /** Is said before it is filled. */
  readonly says: string;
  readonly fill: (folder: string) => Promise<void>;
}

/** @returns the folder. @throws whatever `fill` throws: the next one begins anew */
export async function fetchOnce({ name, what, says, fill }: Fetched, log: (line: string) => void): Promise<string> {
  const folder = path.join(cacheFolder(), name);
  await mkdir(cacheFolder(), { recursive: true });
  await withLock(
    `${folder}.lock`,
    () => log(`another process is fetching ${what}: waiting for it`),
    async () => {
      if (existsSync(folder)) return;
      const unfinished = `${folder}.unfinished`;
      await rm(unfinished, { recursive: true, force: true });
      await mkdir(unfinished);
      log(says);
      await fill(unfinished);
      await rename(unfinished, folder);
    },
  );
  return folder;
}
