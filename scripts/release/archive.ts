// Archives that are equal to the byte for equal contents: sorted, one time for all, nobody's, and nothing of gzip's own.

import { readdir } from 'node:fs/promises';
import { must } from './must.ts';

/** Modes that an archive may have: those of other umasks are none of these. */
const MODE = 'u=rwX,go=rX';

/**
 * @param folder with one folder in it, or several: what the archive holds at its top
 * @param out ends in .tar.gz
 * @param epochSeconds the time of everything in it
 */
export async function writeArchive(folder: string, out: string, epochSeconds: number): Promise<void> {
  const plain = [
    '--sort=name',
    `--mtime=@${epochSeconds}`,
    '--owner=0',
    '--group=0',
    '--numeric-owner',
    `--mode=${MODE}`,
  ];
  const names = (await readdir(folder)).sort();
  if (names.length === 0) throw new TypeError(`${folder} is empty`);
  await must('tar', [
    ...plain,
    '--format=ustar',
    '--use-compress-program=gzip -9n',
    '-cf',
    out,
    '-C',
    folder,
    ...names,
  ]);
}
