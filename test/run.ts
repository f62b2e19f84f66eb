// `npm test`: sees that all that tests need is there (building it where it can), then runs them all with node's runner.

import { globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { ensureBinaries } from './cluster/build.ts';
import { buildNative, OURS } from './native/build.ts';
import { buildBundles } from './support/bundle.ts';
import { missingPackages } from './support/debian.ts';

const root = path.dirname(import.meta.dirname);
const list = path.join(import.meta.dirname, 'debian-packages.txt');
const say = (line: string) => void process.stderr.write(`${line}\n`);

const missing = missingPackages(readFileSync(list, 'utf8'));
if (missing.length > 0) {
  say(`test: error: Debian packages are missing: ${missing.join(' ')}`);
  say(`test: hint: install them: apt-get install --no-install-recommends ${missing.join(' ')}`);
  process.exit(1);
}

await ensureBinaries(say);
await buildBundles();
await buildNative(OURS, say);

/** What needs the whole machine for itself: beside it, deadlines of others would be missed. */
const ALONE: readonly string[] = ['test/e2e/parallel.test.ts'];
/** What waits the most begins first: at the end nothing is left to fill its pauses. */
const SLOW_FIRST: readonly string[] = ['test/e2e/', 'test/threats/faults', 'test/cli/', 'test/threats/'];

const chosen = process.argv.slice(2);
const files = chosen.length > 0 ? chosen : globSync('test/**/*.test.ts', { cwd: root });
if (files.length === 0) throw new Error('no test files were found');
const interrupted = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    process.exitCode = 130;
    interrupted.abort();
  });
}
// Much of the time of these tests is Node.js compiling the same sources for one program after another.
const compiled = mkdtempSync(path.join(tmpdir(), 'curfew-compiled-'));
process.env.NODE_COMPILE_CACHE = compiled;
try {
  await runTests(files.filter((file) => ALONE.includes(file)));
  await runTests(files.filter((file) => !ALONE.includes(file)));
} finally {
  rmSync(compiled, { recursive: true, force: true });
}

async function runTests(group: readonly string[]): Promise<void> {
  if (group.length === 0 || interrupted.signal.aborted) return;
  const inOrder = group.toSorted((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
  const tests = run({
    files: inOrder.map((file) => path.resolve(root, file)),
    ...{ concurrency: 6, timeout: 600_000, signal: interrupted.signal },
  });
  tests.on('test:fail', () => {
    process.exitCode ||= 1;
  });
  for await (const text of tests.compose(new spec())) process.stdout.write(String(text));
}

/** The lower, the sooner. */
function rank(file: string): number {
  const folder = SLOW_FIRST.findIndex((start) => file.startsWith(start));
  return folder === -1 ? SLOW_FIRST.length : folder;
}
