// `npm test -- --changed`: the tests nearest to what was changed, as many as take a minute or two. In rings: what was changed itself,
// then what imports it, then what imports that. With the programs that tests start everything reaches everything, so the rest is
// for `npm test`: what is left out is said.

import { execFileSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';

/** Test files that one call runs, apart from those that were changed themselves. */
const BUDGET = 8;
/** What takes minutes for a file, or the whole machine. */
const LONG = /^test\/(e2e|bench|demo|long)\//;
/** Tests of files that nobody imports. */
const BESIDE: readonly (readonly [RegExp, string])[] = [
  [/\.md$|^package(-lock)?\.json$|^test\/(docs|debian-packages)/, 'test/docs/docs.test.ts'],
  [/^(cli|broker|gateway|serving|shared)\/.*\.ts$/, 'test/shared/rooms.test.ts'],
  [/^cli\/(package\.json|native\/)/, 'test/native/engine.test.ts'],
];

export interface Chosen {
  readonly files: readonly string[];
  /** How many others reach what was changed by longer ways. */
  readonly left_out: number;
}

/** Since the last commit; where nothing is, what the last commit changed. By paths from the root. */
export function changedFiles(root: string): readonly string[] {
  const git = (...args: readonly string[]) =>
    execFileSync('git', args, { cwd: root, encoding: 'utf8' })
      .split('\n')
      .filter((line) => line !== '');
  const now = [...git('diff', '--name-only', 'HEAD'), ...git('ls-files', '--others', '--exclude-standard')];
  return now.length > 0 ? now : git('diff', '--name-only', 'HEAD~1', 'HEAD');
}

/** Who imports a file, by paths from the root. */
export function importersIn(root: string): ReadonlyMap<string, readonly string[]> {
  const importers = new Map<string, string[]>();
  for (const file of globSync('{shared,serving,cli,broker,gateway,test,scripts}/**/*.ts', {
    cwd: root,
    exclude: ['**/node_modules/**'],
  })) {
    const text = readFileSync(path.join(root, file), 'utf8');
    for (const [, name = ''] of text.matchAll(/(?:\bfrom|\bimport\()\s*'(\.[^']+\.ts)'/g)) {
      const to = path.join(path.dirname(file), name);
      importers.set(to, [...(importers.get(to) ?? []), file]);
    }
  }
  return importers;
}

export function chooseTests(
  changed: readonly string[],
  importers: ReadonlyMap<string, readonly string[]>,
  exists: (file: string) => boolean = () => true,
): Chosen {
  const isTest = (file: string) => file.endsWith('.test.ts') && exists(file);
  const own = changed.filter(isTest);
  const beside = BESIDE.flatMap(([form, test]) =>
    changed.some((file) => form.test(file)) && exists(test) ? [test] : [],
  );
  const reached = [...ringsFrom(changed, importers)].filter(([file]) => isTest(file) && !own.includes(file));
  const rooms = new Set(changed.map((file) => file.split('/')[0]));
  const isNear = (file: string) => rooms.has(file.split('/')[1] ?? '');
  const near = reached
    .filter(([file]) => !LONG.test(file))
    .sort(([a, one], [b, other]) => one - other || Number(isNear(b)) - Number(isNear(a)) || (a < b ? -1 : 1))
    .map(([file]) => file);
  const files = [...new Set([...own, ...beside, ...near.slice(0, BUDGET)])];
  return { files, left_out: reached.filter(([file]) => !files.includes(file)).length };
}

/** Each file that reaches what was changed, with how many imports lie between. */
function ringsFrom(
  changed: readonly string[],
  importers: ReadonlyMap<string, readonly string[]>,
): ReadonlyMap<string, number> {
  const rings = new Map(changed.map((file) => [file, 0]));
  // A map is gone through in the order of its entries, also those that are added meanwhile: nearer ones first.
  for (const [file, ring] of rings) {
    for (const importer of importers.get(file) ?? []) if (!rings.has(importer)) rings.set(importer, ring + 1);
  }
  return rings;
}
