// How much longer one command takes than another: the ratio of the medians of interleaved runs.

import path from 'node:path';
import { run } from '../../scripts/run.ts';
import type { Command, Task, Times } from './pairs_main.ts';
import { median } from './statistics.ts';

export type { Command };

export interface Comparison {
  readonly pairs: number;
  readonly name: readonly [string, string];
  readonly log: (line: string) => void;
}

/** @returns the median time of `first` over that of `second` @throws Error when a run of either fails */
export async function compare(first: Command, second: Command, comparison: Comparison): Promise<number> {
  const [one, two] = await timeBoth(first, second, comparison);
  return one / two;
}

/** @returns the median of each, in milliseconds @throws Error when a run of either fails */
export async function timeBoth(
  first: Command,
  second: Command,
  { pairs, name, log }: Comparison,
): Promise<readonly [number, number]> {
  const task: Task = { pairs, first, second };
  const timing = await run(process.execPath, [path.join(import.meta.dirname, 'pairs_main.ts')], {
    input: JSON.stringify(task),
    timeout: 600_000,
  });
  if (timing.code !== 0) throw new Error(`the commands could not be timed: ${timing.stderr.slice(-800)}`);
  const times = JSON.parse(timing.stdout) as Times;
  const [one, two] = [median(times.first), median(times.second)];
  log(`${pairs} pairs: ${name[0]} ${one.toFixed(1)} ms, ${name[1]} ${two.toFixed(1)} ms (medians)`);
  return [one, two];
}
