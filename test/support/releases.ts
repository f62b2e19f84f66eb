// Programs of earlier releases, as they were shipped (test/releases).

import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { brotliDecompressSync } from 'node:zlib';

const FOLDER = path.resolve(import.meta.dirname, '../releases');
const PROGRAMS = { 'kubectl-curfew': 'kubectl-curfew.cjs', 'curfew-broker': 'curfew-broker.cjs' } as const;

export type ReleasedProgram = keyof typeof PROGRAMS;

/** The versions of which a program is kept, oldest first. */
export function releasesOf(program: ReleasedProgram): readonly string[] {
  return readdirSync(FOLDER)
    .flatMap((file) => (file.startsWith(`${program}-`) ? [file.slice(program.length + 1, -'.tar.br'.length)] : []))
    .toSorted((a, b) => a.localeCompare(b, 'en', { numeric: true }));
}

/** Unpacks one. @param folder is made @returns the program's path, to be run by Node.js */
export function unpackRelease(program: ReleasedProgram, version: string, folder: string): string {
  mkdirSync(folder, { recursive: true });
  const tar = brotliDecompressSync(readFileSync(path.join(FOLDER, `${program}-${version}.tar.br`)));
  execFileSync('tar', ['-C', folder, '-xf', '-'], { input: tar });
  return path.join(folder, PROGRAMS[program]);
}
