// `npm run fuzz [-- TARGET... --seconds N --seed N]`: fuzzes targets one after the other. What fails is printed as soon as it is small,
// with its seed; exit 1 where something did.

import { parseArgs } from 'node:util';
import { readCorpus, writeCorpus } from './corpus.ts';
import { type Finding, fuzz, type Outcome } from './fuzz.ts';
import { KNOWN } from './known.ts';
import { loadTargets } from './load.ts';
import { smallest } from './smallest.ts';

const USAGE = 64;
const LONGEST_SHOWN = 2_000;

const options = {
  seconds: { type: 'string', default: '10' },
  seed: { type: 'string' },
  keep: { type: 'boolean', default: false },
} as const;

/** @returns the exit status */
async function main(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({ args: [...args], allowPositionals: true, options });
  const loaded = await loadTargets();
  const names = Object.keys(loaded.targets);
  const unknown = positionals.filter((name) => !names.includes(name));
  if (unknown.length > 0) return refuse(`there is no ${unknown.join(', ')}`, `choose from: ${names.join(' ')}`);
  const seconds = Number(values.seconds);
  const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31));
  if (!(seconds > 0) || !Number.isSafeInteger(seed)) return refuse('expected numbers', '--seconds 10 --seed 1');
  let status = 0;
  for (const name of positionals.length > 0 ? positionals : names) {
    const outcome = await fuzz(
      loaded,
      name,
      { ms: seconds * 1000, seed, stop: false, corpus: readCorpus(name), known: KNOWN },
      sayFinding,
    );
    for (const [{ says, reason }, times] of outcome.known)
      console.log(`${name}: known, ${times} times: ${says}: ${reason}`);
    console.log(sayOutcome(name, seed, outcome));
    if (outcome.findings.length > 0) status = 1;
    if (values.keep) writeCorpus(name, await smallest(loaded, name, outcome.kept));
  }
  return status;
}

function refuse(error: string, hint: string): number {
  process.stderr.write(`fuzz: error: ${error}\nfuzz: hint: ${hint}\n`);
  return USAGE;
}

function sayFinding({ target, seed, runs, error, input }: Finding): void {
  const [, place = ''] = /\n\s+at ([^\n]*)/.exec(error.stack ?? '') ?? [];
  console.log(`${target}: found after ${runs} runs with --seed ${seed}: ${error.name}: ${error.message}`);
  console.log(`  input: ${JSON.stringify(input).slice(0, LONGEST_SHOWN)}\n  at: ${place}`);
}

function sayOutcome(name: string, seed: number, outcome: Outcome): string {
  const { runs, per_second, seeded, covered, kept, findings, slowest } = outcome;
  const slow = `slowest ${slowest.ms.toFixed(1)} ms`;
  const branches = `${covered} branches (${seeded} by seeds and corpus)`;
  return `${name}: seed ${seed}, ${runs} runs, ${per_second}/s, ${branches}, ${kept.length} inputs kept, ${slow}, ${findings.length} findings`;
}

process.exitCode = await main(process.argv.slice(2));
