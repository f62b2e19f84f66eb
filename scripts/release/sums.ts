// SHA256SUMS over all files of a release, and its signature: who has checked both has checked all.

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { must } from './must.ts';

export const SUMS = 'SHA256SUMS';

/** What the signature is for: one of another purpose is not taken (ssh-keygen -n). */
export const NAMESPACE = 'curfew-release';

/** A line for each file in the folder, as `sha256sum --check` reads them. */
export async function writeSums(out: string): Promise<void> {
  const lines: string[] = [];
  for (const name of (await readdir(out)).sort()) lines.push(`${await digestOf(path.join(out, name))}  ${name}\n`);
  await writeFile(path.join(out, SUMS), lines.join(''));
}

/** @returns SHA-256 of a file, hex */
export async function digestOf(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}

/** Writes SHA256SUMS.sig. @param key a private key for ssh-keygen, or a public one whose private key is with the agent */
export async function sign(out: string, key: string): Promise<void> {
  await must('ssh-keygen', ['-q', '-Y', 'sign', '-f', key, '-n', NAMESPACE, path.join(out, SUMS)]);
}
