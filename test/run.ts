// `npm test`: all tests, those of the files that are named, or with `--changed` those nearest to what was changed.

import { existsSync, globSync } from 'node:fs';
import path from 'node:path';
import { changedFiles, chooseTests, importersIn } from './changed.ts';
import { ROOT, runGroups } from './runner.ts';

/** What needs the whole machine for itself: beside it, deadlines of others would be missed. */
const ALONE: readonly string[] = ['test/e2e/parallel.test.ts'];
/** What waits the most begins first: at the end nothing is left to fill its pauses. */
const SLOW_FIRST: readonly string[] = [
  'test/e2e/',
  'test/threats/faults',
  'test/threats/kills',
  'test/cli/',
  'test/threats/',
];
const SIDE_BY_SIDE = { concurrency: 6, timeout: 600_000 } as const;

const words = process.argv.slice(2);
const chosen = words.includes('--changed') ? nearest() : words;
const files = (chosen.length > 0 ? chosen : globSync('test/**/*.test.ts', { cwd: ROOT })).toSorted(
  (a, b) => rank(a) - rank(b) || (a < b ? -1 : 1),
);
if (files.length === 0) throw new Error('no test files were found');
await runGroups([
  { files: files.filter((file) => ALONE.includes(file)), ...SIDE_BY_SIDE },
  { files: files.filter((file) => !ALONE.includes(file)), ...SIDE_BY_SIDE },
]);

/** Ends this process where nothing has a test: all of them would be more than was asked for. */
function nearest(): readonly string[] {
  const changed = changedFiles(ROOT);
  const { files, left_out } = chooseTests(changed, importersIn(ROOT), (file) => existsSync(path.join(ROOT, file)));
  const others = left_out === 0 ? '' : `; ${left_out} more reach it by longer ways: npm test runs them`;
  console.error(`test: ${changed.length} files changed, ${files.length} test files near them${others}`);
  if (files.length === 0) process.exit(0);
  return files;
}

/** The lower, the sooner. */
function rank(file: string): number {
  const folder = SLOW_FIRST.findIndex((start) => file.startsWith(start));
  return folder === -1 ? SLOW_FIRST.length : folder;
}
