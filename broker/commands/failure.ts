// What went wrong with a command, as a code and words for a person.

import { CommanderError } from 'commander';
import { CurfewError } from '../../shared/errors.ts';

export function asFailure(error: unknown): CurfewError {
  if (error instanceof CurfewError) return error;
  if (error instanceof CommanderError) {
    const message = error.code === 'commander.help' ? 'no command was given' : error.message.replace(/^error: /, '');
    return new CurfewError('usage', message, { hint: 'see curfew-broker --help' });
  }
  return new CurfewError('internal', `unexpected ${error instanceof Error ? error.name : 'error'}`, { cause: error });
}
