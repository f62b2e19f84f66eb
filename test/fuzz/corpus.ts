// Inputs that reach something that no other does: test/fuzz/corpus/TARGET, one a file. `npm test` runs them all.

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const CORPUS = path.join(import.meta.dirname, 'corpus');

/** The shortest first. */
export function readCorpus(target: string): readonly string[] {
  const folder = path.join(CORPUS, target);
  if (!existsSync(folder)) return [];
  const inputs = readdirSync(folder).map((file) => readFileSync(path.join(folder, file), 'latin1'));
  return inputs.toSorted((a, b) => a.length - b.length || (a < b ? -1 : 1));
}

/** In place of what is there. */
export function writeCorpus(target: string, inputs: readonly string[]): void {
  const folder = path.join(CORPUS, target);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const input of inputs) {
    const name = createHash('sha256').update(input, 'latin1').digest('hex').slice(0, 16);
    writeFileSync(path.join(folder, name), input, 'latin1');
  }
}
