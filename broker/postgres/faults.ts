// What an error says of the connection that it came on.

import { CurfewError } from '../../shared/errors.ts';

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
