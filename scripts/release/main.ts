// npm run release: writes all that a release consists of into a folder. It publishes nothing: docs/releasing.md says how that is done.

import { readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { epochOf } from '../supply/programs.ts';
import { must } from './must.ts';
import { faultsOf } from './ready.ts';
import { PARTS, type Part, release } from './release.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');
const USAGE = `usage: npm run release -- [--dry-run] [--key FILE] [--from URL] [--only PART]... [FOLDER]

  --dry-run    also of what is not committed, tagged or signed
  --key FILE   signs SHA256SUMS: a key of ssh-keygen
  --from URL   the folder that its files will be fetched from, for the krew manifest
  --only PART  ${PARTS.join(', ')}; may be repeated
  FOLDER       where everything goes, which must not be there; without it dist/release, which is replaced
`;
const log = (line: string) => void process.stderr.write(`release: ${line}\n`);

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    options: {
      'dry-run': { type: 'boolean', default: false },
      key: { type: 'string' },
      from: { type: 'string' },
      only: { type: 'string', multiple: true },
      help: { type: 'boolean', default: false },
    },
    allowPositionals: true,
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return;
  }
  const { key, only } = values;
  if (!only?.every(isPart) && only) throw new Error(`--only takes ${PARTS.join(', ')}`);
  if (!values['dry-run']) {
    const faults = await faultsOf({ root: ROOT, key });
    if (only) faults.push('a release is whole (--only)');
    if (faults.length > 0) throw new Error(`this cannot be released:\n  ${faults.join('\n  ')}`);
  }
  const { version } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8')) as { version: string };
  const { from = `https://example.com/curfew/v${version}` } = values;
  const epochSeconds = epochOf(process.env.SOURCE_DATE_EPOCH) ?? (await timeOfCommit());
  const [folder] = positionals;
  const out = folder === undefined ? path.join(ROOT, 'dist/release') : path.resolve(folder);
  // Ours to replace; a folder that somebody names must not be there.
  if (folder === undefined) await rm(out, { recursive: true, force: true });
  await release({ out, version, epochSeconds, from, key, parts: only?.filter(isPart), log });
  process.stdout.write(`${out}\n`);
}

async function timeOfCommit(): Promise<number> {
  return Number(await must('git', ['log', '-1', '--format=%ct'], { cwd: ROOT }));
}

function isPart(word: string): word is Part {
  return PARTS.some((part) => part === word);
}

try {
  await main();
} catch (error) {
  if (!(error instanceof Error)) throw error;
  log(`error: ${error.message}`);
  process.exitCode = 1;
}
