// One target is fuzzed: inputs are mutated, those that reach something new are kept and mutated on, and what fails is made small.

import { chanceOf } from '../support/chance.ts';
import { type Known, knownOf } from './known.ts';
import type { Loaded } from './load.ts';
import { minimise } from './minimise.ts';
import { mutator } from './mutate.ts';
import type { Target } from './target.ts';

export interface Budget {
  readonly ms: number;
  readonly seed: number;
  /** Whether the first finding ends it. */
  readonly stop: boolean;
  /** What it begins with, beside the seeds of the target. */
  readonly corpus: readonly string[];
  /** What may be found, and ends nothing. */
  readonly known?: readonly Known[];
}

export interface Finding {
  readonly target: string;
  readonly seed: number;
  readonly runs: number;
  readonly error: Error;
  /** As short as it was made. */
  readonly input: string;
}

export interface Outcome {
  readonly findings: readonly Finding[];
  /** How often each of those that are known was met. */
  readonly known: ReadonlyMap<Known, number>;
  readonly runs: number;
  readonly per_second: number;
  /** Branches reached by seeds and corpus, and in all. */
  readonly seeded: number;
  readonly covered: number;
  /** What has reached something new, the corpus included. */
  readonly kept: readonly string[];
  readonly slowest: { readonly ms: number; readonly input: string };
}

/** Before this many runs the engine is still compiling: nothing is called slow. */
const WARM_RUNS = 2_000;
const MOST_FINDINGS = 10;

/** @param onFinding as soon as it is small */
export async function fuzz(
  { targets, coverage, words }: Loaded,
  name: string,
  budget: Budget,
  onFinding: (finding: Finding) => void = () => {},
): Promise<Outcome> {
  const target = targets[name];
  if (!target) throw new TypeError(`there is no target ${name}`);
  coverage.forget();
  const fuzzing = new Fuzzing(target, coverage);
  const chance = chanceOf(name, budget.seed);
  const mutate = mutator(chance, [words, target.words ?? []], coverage.compared);
  const findings: Finding[] = [];
  const found = new Set<string>();
  const met = new Map<Known, number>();
  const consider = async (input: string) => {
    const error = await fuzzing.consider(input);
    const known = error && knownOf(budget.known ?? [], name, error);
    if (known) met.set(known, (met.get(known) ?? 0) + 1);
    if (!error || known || found.has(kindOf(error))) return;
    found.add(kindOf(error));
    const { runs } = fuzzing;
    const small = await minimise(input, async (shorter) => {
      const other = await fuzzing.execute(shorter);
      return other !== undefined && kindOf(other) === kindOf(error);
    });
    const finding: Finding = { target: name, seed: budget.seed, runs, error, input: small };
    findings.push(finding);
    onFinding(finding);
  };
  const begin = performance.now();
  for (const input of [...target.seeds, ...budget.corpus]) await consider(input);
  const seeded = coverage.covered;
  const isOver = () => (budget.stop && findings.length > 0) || findings.length >= MOST_FINDINGS;
  while (performance.now() - begin < budget.ms && !isOver()) {
    const { kept } = fuzzing;
    const recent = kept[kept.length - 1 - Math.floor((chance.below(1000) / 1000) ** 2 * kept.length)];
    const source = (chance.below(2) === 0 ? recent : chance.pick(kept)) ?? chance.pick(target.seeds) ?? '';
    // So that what it is compared with is known.
    if (chance.below(4) === 0) await fuzzing.execute(source);
    await consider(mutate(source, chance.pick(kept) ?? source));
  }
  const { runs, kept, slowest } = fuzzing;
  const per_second = Math.round((runs / (performance.now() - begin)) * 1000);
  return { findings, known: met, runs, per_second, seeded, covered: coverage.covered, kept, slowest };
}

/** Runs a target, counts, and keeps what is new. */
class Fuzzing {
  readonly #target: Target;
  readonly #coverage: Loaded['coverage'];
  readonly kept: string[] = [];
  runs = 0;
  slowest = { ms: 0, input: '' };

  constructor(target: Target, coverage: Loaded['coverage']) {
    this.#target = target;
    this.#coverage = coverage;
  }

  /** @returns why it fails */
  async execute(input: string): Promise<Error | undefined> {
    this.runs += 1;
    this.#coverage.begin();
    const begin = performance.now();
    try {
      const pending = this.#target.run(input);
      if (pending) await pending;
      return undefined;
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error));
    } finally {
      const ms = performance.now() - begin;
      if (this.runs > WARM_RUNS && ms > this.slowest.ms) this.slowest = { ms, input };
    }
  }

  async consider(input: string): Promise<Error | undefined> {
    const error = await this.execute(input);
    if (!error && this.#coverage.isNew()) this.kept.push(input);
    return error;
  }
}

/** Two errors of one kind are one finding: by the place where they were thrown, and the beginning of what they say. */
function kindOf({ name, message, stack = '' }: Error): string {
  const place = /\n\s+at ([^\n]*)/.exec(stack)?.[1] ?? '';
  return `${name} ${message.slice(0, 12)} ${place}`;
}
