// What a witness and its store say of one another, in words, and how a witness begins.

import { CurfewError } from '../../shared/errors.ts';
import type { Link } from '../audit_log/chain.ts';
import type { Store } from './store.ts';
import type { Witness } from './witness.ts';
import { sayStoreFault } from './words.ts';

export const ACCEPT = 'put the right store back, or say that this one may be used: curfew-broker store accept';
export const NO_WITNESS = 'had a witness, which is not there';
export const UNREADABLE_WITNESS = 'has a witness that cannot be read, or that was written with another encryption key';
export const NO_STORE = 'has no store in it, and a witness knows of one';
export const BEFORE_WITNESSES = 'is of a version that had no witness, and a witness knows of a later one';
export const ANOTHER_STORE = 'is another one than its witness knows';

export function putBack({ lane, seq }: Link): string {
  const chain = lane === undefined ? '' : ` of lane ${lane}`;
  return `was put back to an earlier state: row ${seq}${chain} of its audit log is not there`;
}

/** From here on the witness knows the store as it is. @throws CurfewError `configuration` */
export async function bearWitness(store: Store, witness: Witness): Promise<void> {
  try {
    witness.begin(await store.known());
  } catch (cause) {
    throw unwritable(witness, cause);
  }
  const { witnessed } = await store.standing();
  // Only once it is there: a start that is killed in between makes it again.
  if (witnessed === 0)
    await store.transaction(({ db }) => db.updateTable('store_state').set({ witnessed: 1 }).execute());
}

function unwritable({ file }: Witness, cause: unknown): unknown {
  if (cause instanceof CurfewError) return cause;
  const why = sayStoreFault(cause) ?? 'unknown';
  return new CurfewError('configuration', `store.witness_file: ${file} cannot be written (${why})`, { cause });
}
