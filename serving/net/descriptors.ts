// How many files and sockets this process may have open.

import { readFile } from 'node:fs/promises';

/** Where the system does not say: less than most allow. */
const USUAL = 4096;

export async function descriptorLimit(): Promise<number> {
  const text = await readFile('/proc/self/limits', 'latin1').catch(() => '');
  const [, soft] = /^Max open files +([0-9]+)/m.exec(text) ?? [];
  return soft === undefined ? USUAL : Number(soft);
}
