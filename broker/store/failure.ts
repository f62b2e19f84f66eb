// How a store fails, whatever database it is in.

import { CurfewError } from '../../shared/errors.ts';
import type { Standing } from './audit_head.ts';
import { sayStoreFault } from './words.ts';

/** Not an end of the world: the caller's next try finds the store as it is now. */
export class NewEpoch extends CurfewError {
  readonly standing: Standing;
  constructor(standing: Standing) {
    super('busy', 'all that there was has just been declared over', { retry_after: 1 });
    this.standing = standing;
  }
}

export function notTheOneOpened(): CurfewError {
  return new CurfewError('store', 'the store is not the one that was opened');
}

/** What a caller is told of an error: those that are meant for them as they are, and of a database's the words. */
export function asFailure(error: unknown, more: { readonly retry_after?: number } = {}): unknown {
  if (error instanceof CurfewError || error instanceof TypeError) return error;
  const why = sayStoreFault(error);
  const message = why === undefined ? 'the store failed' : `the store failed: ${why}`;
  return new CurfewError('store', message, { cause: error, ...more });
}
