// `npm test`: all tests, or those of the files that are named.

import { globSync } from 'node:fs';
import { ROOT, runGroups } from './runner.ts';

/** What needs the whole machine for itself: beside it, deadlines of others would be missed. */
const ALONE: readonly string[] = ['test/e2e/parallel.test.ts'];
/** What waits the most begins first: at the end nothing is left to fill its pauses. */
const SLOW_FIRST: readonly string[] = ['test/e2e/', 'test/threats/faults', 'test/cli/', 'test/threats/'];
const SIDE_BY_SIDE = { concurrency: 6, timeout: 600_000 } as const;

const chosen = process.argv.slice(2);
const files = (chosen.length > 0 ? chosen : globSync('test/**/*.test.ts', { cwd: ROOT })).toSorted(
  (a, b) => rank(a) - rank(b) || (a < b ? -1 : 1),
);
if (files.length === 0) throw new Error('no test files were found');
await runGroups([
  { files: files.filter((file) => ALONE.includes(file)), ...SIDE_BY_SIDE },
  { files: files.filter((file) => !ALONE.includes(file)), ...SIDE_BY_SIDE },
]);

/** The lower, the sooner. */
function rank(file: string): number {
  const folder = SLOW_FIRST.findIndex((start) => file.startsWith(start));
  return folder === -1 ? SLOW_FIRST.length : folder;
}
