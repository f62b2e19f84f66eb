// Archives that are equal to the byte for equal contents: sorted, one time for all, nobody's, and nothing of gzip's own.

import { readdir } from 'node:fs/promises';
import { must } from './must.ts';

/** Whose its files are, and their modes: those of other umasks are none of these. */
export const NOBODYS = ['--owner=0', '--group=0', '--mode=u=rwX,go=rX'] as const;

/** What is the same whoever writes it. @param folder that its names are from */
export function plainTar(folder: string, epochSeconds: number): readonly string[] {
  return ['--sort=name', `--mtime=@${epochSeconds}`, '--numeric-owner', '--format=ustar', '-C', folder];
}

/**
 * @param folder with one folder in it, or several: what the archive holds at its top
 * @param out ends in .tar.gz
 * @param epochSeconds the time of everything in it
 */
export async function writeArchive(folder: string, out: string, epochSeconds: number): Promise<void> {
  const names = (await readdir(folder)).sort();
  if (names.length === 0) throw new TypeError(`${folder} is empty`);
  await must('tar', [
    ...['-cf', out, ...plainTar(folder, epochSeconds), ...NOBODYS],
    '--use-compress-program=gzip -9n',
    ...names,
  ]);
}
