// A fault of a walk: how it begins and ends, and what several kinds of them share.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Replica } from './brokers.ts';
import type { WalkSite } from './walk_site.ts';

/** Ends it. */
export type Undo = () => Promise<unknown>;
export type Begin = (site: WalkSite, replica: Replica, step: Step) => Promise<Undo>;

export interface Step {
  readonly fault: string;
  /** Which broker, by its place. */
  readonly replica: number;
  /** Milliseconds before it, and how long it lasts. */
  readonly pause_ms: number;
  readonly hold_ms: number;
  /** For what is left to chance within it. */
  readonly seed: number;
}

export const nothing = async () => undefined;

export const pidOf = ({ process: running }: Replica) => running?.pid ?? 0;

export type Faults = Readonly<Record<string, Begin>>;

/** The calls of these processes, and of those that they start, meet it, as strace injects it. */
export async function trace(pids: readonly number[], calls: string, how: string): Promise<Undo> {
  const rules = ['-e', `trace=${calls}`, '-e', `inject=${calls}:${how}`];
  const which = pids.flatMap((pid) => ['-p', `${pid}`]);
  const tracer: ChildProcess = spawn('strace', ['-f', '-qq', '-o', '/dev/null', ...rules, ...which], {
    stdio: 'ignore',
  });
  const exit = once(tracer, 'exit');
  await once(tracer, 'spawn');
  return async () => {
    tracer.kill('SIGINT');
    await exit;
  };
}
