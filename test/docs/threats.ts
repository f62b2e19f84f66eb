// The threats that tests are named by, and those that SECURITY.md lists: both ways the same, with the files.

import { globSync } from 'node:fs';
import { namesIn, ROOT, read } from './documents.ts';

/** Files that hold tests, each with its text: `threats/sessions`. */
export type TestFiles = ReadonlyMap<string, string>;

export function testFiles(): TestFiles {
  const files = globSync('test/**/*.test.ts', { cwd: ROOT }).sort();
  return new Map(files.map((file) => [file.slice('test/'.length, -'.test.ts'.length), read(file)]));
}

/** The IDs in the names of tests (`S1 …`, `R1 I1 …`, or `… (P2, P3)` at the end), with the files that they are in. What is commented out is no test. */
export function threatTests(files: TestFiles = testFiles()): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const [place, text] of files) {
    const code = text.replaceAll(/^\s*\/\/.*$/gm, '').replaceAll(/^\s*\/\*[\s\S]*?\*\/\s*$/gm, '');
    for (const [, , name = ''] of code.matchAll(/\b(?:test|it|describe)\(\s*(['"`])((?:\\.|(?!\1)[\s\S])*?)\1/g)) {
      for (const id of idsIn(name)) {
        const places = found.get(id) ?? [];
        found.set(id, places.includes(place) ? places : [...places, place]);
      }
    }
  }
  return found;
}

/**
 * @param rows of SECURITY.md: ID, what must hold, files in backticks
 * @returns a line for each way in which they differ
 */
export function differences(
  rows: readonly (readonly string[])[],
  tests: ReadonlyMap<string, readonly string[]>,
): string[] {
  const listed = new Map<string, readonly string[]>();
  const lines: string[] = [];
  for (const [id = '', what = '', places = ''] of rows) {
    if (listed.has(id)) lines.push(`${id} is listed twice`);
    if (what === '') lines.push(`${id} says nothing of what must hold`);
    listed.set(id, namesIn(places));
  }
  for (const [id, places] of listed) {
    const real = tests.get(id) ?? [];
    if (real.length === 0) lines.push(`${id} has no test`);
    for (const place of places) if (!real.includes(place)) lines.push(`no test ${id} in test/${place}`);
    if (new Set(places).size < places.length) lines.push(`${id} names a file twice`);
  }
  for (const [id, places] of tests) {
    if (!listed.has(id)) lines.push(`${id} is tested, and not listed`);
    for (const place of places)
      if (listed.get(id)?.includes(place) === false) lines.push(`${id} is tested in ${place}, which is not listed`);
  }
  return lines;
}

const ID = '[A-Z]\\d+b?';

function idsIn(name: string): readonly string[] {
  const [first = ''] = new RegExp(`^(?:${ID} )+`).exec(name) ?? [];
  const [, last = ''] = new RegExp(`\\((${ID}(?:, ${ID})*)\\)$`).exec(name) ?? [];
  return [...first.split(' '), ...last.split(', ')].filter((id) => id !== '');
}
