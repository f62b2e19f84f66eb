// What became of a connection, and what is told of it.

import { CurfewError } from '../../shared/errors.ts';
import { sayStoreFault } from '../store/words.ts';

/** The database did not wait for its standby: what was written may be nowhere else. */
export class Unacknowledged extends Error {
  override name = 'Unacknowledged';
  readonly code = '01000';
}

export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
}

/** After these a connection is of no more use, or it is not known what became of what was sent on it. */
export function isLost(error: unknown): boolean {
  if (!(error instanceof Error) || error instanceof CurfewError || error instanceof TypeError) return false;
  const code = codeOf(error);
  return code === '' || !/^[0-9A-Z]{5}$/.test(code) || /^(08|57P|58|25006|25P03|53|XX|01000)/.test(code);
}

export function asFailure(error: unknown): unknown {
  if (error instanceof CurfewError || error instanceof TypeError) return error;
  const why = sayStoreFault(error);
  return new CurfewError('store', why === undefined ? 'the store failed' : `the store failed: ${why}`, {
    cause: error,
    retry_after: 1,
  });
}
