// Times two commands in turn, whole processes from spawn to exit. A small program of its own, as a large parent makes every
// spawn slower and so hides what is measured. Reads the task from stdin, prints the times.

import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync } from 'node:fs';

export interface Command {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Its exit status; 0 unless told. */
  readonly status?: number;
  /** A folder that is emptied before each run, outside the time. */
  readonly empty?: string;
}

export interface Task {
  readonly pairs: number;
  readonly first: Command;
  readonly second: Command;
}

/** Milliseconds of each run. */
export interface Times {
  readonly first: readonly number[];
  readonly second: readonly number[];
}

/** Runs of each that come before and do not count. */
const WARM_UP = 3;

function time({ command, args, env, empty, status: expected = 0 }: Command): number {
  if (empty !== undefined) for (const name of readdirSync(empty)) rmSync(`${empty}/${name}`, { recursive: true });
  const begin = performance.now();
  const { status, stderr, error } = spawnSync(command, args, { env: { ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  const ms = performance.now() - begin;
  if (status !== expected)
    throw error ?? new Error(`${command} ended with ${status}: ${stderr.toString().slice(0, 500)}`);
  return ms;
}

function timePairs({ pairs, first, second }: Task): Times {
  const times = { first: [] as number[], second: [] as number[] };
  for (let pair = -WARM_UP; pair < pairs; pair++) {
    // Each is first as often as the other.
    const early = pair % 2 === 0 ? time(first) : undefined;
    const two = time(second);
    const one = early ?? time(first);
    if (pair < 0) continue;
    times.first.push(one);
    times.second.push(two);
  }
  return times;
}

if (import.meta.main) {
  const task = JSON.parse(readFileSync(0, 'utf8')) as Task;
  process.stdout.write(JSON.stringify(timePairs(task)));
}
