// What `npm test` and `npm run test:long` share: they see that all that tests need is there, building it where they can, and
// run files with node's runner.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { buildBundles } from '../scripts/bundle.ts';
import { buildNative, OURS } from '../scripts/native/build.ts';
import { ensureBinaries } from './cluster/build.ts';
import { BENDABLE } from './native/launcher.ts';
import { missingPackages } from './support/debian.ts';
import { zoneBeforeMidnight } from './support/local_time.ts';

export const ROOT = path.dirname(import.meta.dirname);
const PACKAGES = path.join(import.meta.dirname, 'debian-packages.txt');
const say = (line: string) => void process.stderr.write(`${line}\n`);

/** Files that took at least so many seconds are told of at the end: the slowest so many. */
const LONG_S = 30;
const SLOWEST = 12;

/** A set of test files that run side by side. */
export interface Group {
  /** Relative to the root, in the order in which they begin. */
  readonly files: readonly string[];
  /** How many at a time. */
  readonly concurrency: number;
  /** Milliseconds for each file. */
  readonly timeout: number;
}

/**
 * Runs one group after the other and prints what becomes of each test. Sets the exit status of this process: 1 where a test
 * failed, was skipped or is yet to be written, or a Debian package is missing; 130 where it was interrupted.
 */
export async function runGroups(groups: readonly Group[]): Promise<void> {
  const missing = missingPackages(readFileSync(PACKAGES, 'utf8'));
  if (missing.length > 0) {
    say(`test: error: Debian packages are missing: ${missing.join(' ')}`);
    say(`test: hint: install them: apt-get install --no-install-recommends ${missing.join(' ')}`);
    process.exitCode = 1;
    return;
  }
  await ensureBinaries(say);
  await buildBundles();
  await buildNative([...OURS, BENDABLE], say);

  // In a zone where the day is about to end: what holds only in the middle of a day fails here at any hour.
  if (process.env.TZ === undefined) {
    const { zone, text } = zoneBeforeMidnight(new Date());
    process.env.TZ = zone;
    say(`test: the local time is ${text} (TZ=${zone}; set TZ for another)`);
  }
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
    for (const group of groups) await runGroup(group, interrupted.signal);
  } finally {
    rmSync(compiled, { recursive: true, force: true });
  }
}

export async function runGroup({ files, concurrency, timeout }: Group, signal: AbortSignal): Promise<void> {
  if (files.length === 0 || signal.aborted) return;
  const tests = run({ files: files.map((file) => path.resolve(ROOT, file)), concurrency, timeout, signal });
  tests.on('test:fail', () => {
    process.exitCode ||= 1;
  });
  // What shows nothing is not registered: a skipped test looks like one that holds.
  const silent: string[] = [];
  tests.on('test:pass', ({ name, file = '', skip, todo }) => {
    if (skip !== undefined || todo !== undefined) silent.push(`${path.relative(ROOT, file)}: ${name}`);
  });
  const seconds = new Map<string, number>();
  tests.on('test:complete', ({ nesting, file, details }) => {
    if (nesting !== 0 || file === undefined) return;
    seconds.set(file, (seconds.get(file) ?? 0) + details.duration_ms / 1000);
  });
  for await (const text of tests.compose(new spec())) process.stdout.write(String(text));
  // Where the time goes, for whoever adds to it.
  for (const [file, took] of [...seconds].toSorted((a, b) => b[1] - a[1]).slice(0, SLOWEST)) {
    if (took >= LONG_S) say(`test: ${took.toFixed(0)} s: ${path.relative(ROOT, file)}`);
  }
  for (const test of silent) say(`test: error: skipped: ${test}`);
  if (silent.length > 0) process.exitCode ||= 1;
}
