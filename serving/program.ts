// What the programs of both servers share: how they end on a signal, and how they say what went wrong.

import { type Command, CommanderError } from 'commander';
import { CurfewError, EXIT, meaning } from '../shared/errors.ts';

const ENDING = ['SIGTERM', 'SIGINT'] as const;

/** Waits for SIGTERM or SIGINT. A second one is a person who cannot wait: it ends the process. */
export async function endingSignal(): Promise<NodeJS.Signals> {
  const signal = await new Promise<NodeJS.Signals>((resolve) => {
    for (const ending of ENDING) process.once(ending, () => resolve(ending));
  });
  for (const ending of ENDING) process.once(ending, () => process.exit(EXIT.software));
  return signal;
}

/** Runs a command. What fails gives one error line, one hint line and an exit status; what is not ours to explain is our bug. */
export async function runProgram(program: Command): Promise<void> {
  try {
    await program.parseAsync();
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return;
    const failure = asFailure(error, program.name());
    process.stderr.write(`curfew: error: ${failure.message}\ncurfew: hint: ${failure.hint}\n`);
    process.exitCode = meaning(failure.code).exit;
  }
}

function asFailure(error: unknown, program: string): CurfewError {
  if (error instanceof CurfewError) return error;
  if (error instanceof CommanderError) {
    const message = error.code === 'commander.help' ? 'no command was given' : error.message.replace(/^error: /, '');
    return new CurfewError('usage', message, { hint: `see ${program} --help` });
  }
  return new CurfewError('internal', `unexpected ${error instanceof Error ? error.name : 'error'}`, { cause: error });
}
