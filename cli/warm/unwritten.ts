// What is said where stdout does not take the answer: the native program says the same. Loads nothing.

import { CurfewError } from '../../shared/errors.ts';

/** One error and one hint, never a stack: whoever called may have been ended by its person. */
export function unwritten(): CurfewError {
  const hint = 'what reads it has ended, or has no space left: try again';
  return new CurfewError('unavailable', 'the answer cannot be written', { hint });
}
