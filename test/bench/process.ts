// What a process has used so far, as the kernel tells it.

import { readFile } from 'node:fs/promises';

/** Seconds of processor that the process has used; the kernel counts hundredths. */
export async function processorTime({ pid }: { readonly pid: number }): Promise<number> {
  const [, fields = ''] = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ');
  const [user, system] = fields.split(' ').slice(11, 13).map(Number);
  if (user === undefined || system === undefined) throw new Error('the kernel does not tell processor times');
  return (user + system) / 100;
}

/** MiB. */
export async function residentMemory({ pid }: { readonly pid: number }): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1];
  if (kib === undefined) throw new Error('the kernel does not tell VmRSS');
  return Number(kib) / 1024;
}
