// `npm test`: sees that all that tests need is there (building it where it can), then runs them all with node's runner.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
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

const chosen = process.argv.slice(2);
const files = chosen.length > 0 ? chosen : globSync('test/**/*.test.ts', { cwd: root });
if (files.length === 0) throw new Error('no test files were found');
const alone = files.filter((file) => ALONE.includes(file));
const together = files.filter((file) => !ALONE.includes(file));
const codes: number[] = [];
for (const group of [alone, together]) if (group.length > 0) codes.push(await runTests(group));
process.exit(Math.max(...codes));

async function runTests(group: readonly string[]): Promise<number> {
  const options = ['--test', '--test-concurrency=6', '--test-timeout=300000', '--test-reporter=spec'];
  const child = spawn(process.execPath, [...options, ...[...group].sort()], { cwd: root, stdio: 'inherit' });
  const pass = (signal: NodeJS.Signals) => child.kill(signal);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, pass);
  const [code] = await once(child, 'exit');
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, pass);
  return code ?? 1;
}
