// npm run release -- --dry-run [FOLDER]: writes all that a release consists of into a folder, dist/release unless told. Publishes nothing.

import { readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { must } from './must.ts';
import { release } from './release.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');
const log = (line: string) => void process.stderr.write(`release: ${line}\n`);

try {
  const { values, positionals } = parseArgs({ options: { 'dry-run': { type: 'boolean' } }, allowPositionals: true });
  if (!values['dry-run']) throw new Error('only a dry run is possible: --dry-run');
  const [folder] = positionals;
  const out = folder === undefined ? path.join(ROOT, 'dist/release') : path.resolve(folder);
  const { version } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8')) as { version: string };
  const epochSeconds = Number(await must('git', ['log', '-1', '--format=%ct'], { cwd: ROOT }));
  // Ours to replace; a folder that somebody names must not be there.
  if (folder === undefined) await rm(out, { recursive: true, force: true });
  await release({ out, version, epochSeconds, log });
  process.stdout.write(`${out}\n`);
} catch (error) {
  if (!(error instanceof Error)) throw error;
  log(`error: ${error.message}`);
  process.exitCode = 1;
}
