// A command of the person, in this terminal: its signals are passed on, and its exit status is what becomes of it.

import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { CurfewError } from '../../shared/errors.ts';
import { codeOf } from './error_code.ts';

/** What a terminal sends to all of its foreground: the command has it already. */
const OF_TERMINAL = ['SIGINT', 'SIGQUIT'] as const;
const OTHERS = ['SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2'] as const;

/**
 * @param env its whole environment
 * @param at_terminal whether this runs in the foreground of one
 * @returns the exit status; of a command that a signal ended what shells say of it (128 and its number)
 * @throws CurfewError `usage` where it cannot be run
 */
export function runCommand(
  [program = '', ...words]: readonly string[],
  env: Readonly<Record<string, string>>,
  at_terminal: boolean,
): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const passOn = (signal: NodeJS.Signals) => {
    if (!at_terminal || !OF_TERMINAL.some((one) => one === signal)) child.kill(signal);
  };
  const signals = [...OF_TERMINAL, ...OTHERS];
  // Before it begins: what it says may bring a signal sooner than this program goes on.
  for (const signal of signals) process.on(signal, passOn);
  const child = spawn(program, words, { stdio: 'inherit', env });
  child.on('error', (error) => {
    const code = codeOf(error);
    const why = code === 'ENOENT' ? 'is not found' : `cannot be run (${code})`;
    reject(new CurfewError('usage', `${program} ${why}`, { hint: 'correct the command behind --' }));
  });
  child.on('exit', (code, signal) => resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])));
  return promise.finally(() => {
    for (const signal of signals) process.off(signal, passOn);
  });
}
