// Whether a store is the one in use: one that was moved to another database is not any more, and one into which a copy is not finished is
// not yet. Of the two at most one is in use at any time.

import type { Kysely } from 'kysely';
import { CurfewError } from '../../shared/errors.ts';
import { parseJson } from '../../shared/json.ts';
import { isObject } from '../../shared/wire.ts';
import type { Schema } from './tables.ts';

/** `oldest_reader` of a store that is not in use: no program may use it, also none that does not know of copies. */
export const NO_READER = 1_000_000_000;

/** What a store says of the copy by which it was left, or made. */
export interface Moved {
  /** The same in both: 128 random bits. */
  readonly copy_id: string;
  /** Where it was moved to, in words; it is used there alone. */
  readonly to?: string | undefined;
  /** Where it was copied from, in words, and what is to be its `oldest_reader` once it is in use. */
  readonly from?: string | undefined;
  readonly oldest_reader?: number | undefined;
  /** Whether the copy is not finished, so that the other one may still be in use. */
  readonly unfinished?: true | undefined;
}

export async function movedOf(db: Kysely<Schema>): Promise<Moved | undefined> {
  const { moved } = await db.selectFrom('store_state').select('moved').where('id', '=', 1).executeTakeFirstOrThrow();
  if (moved === null) return undefined;
  const found = parseJson(moved);
  if (!isObject(found) || typeof found.copy_id !== 'string') throw unreadable();
  const { copy_id, to, from, oldest_reader } = found;
  return {
    copy_id,
    ...(typeof to === 'string' && { to }),
    ...(typeof from === 'string' && { from }),
    ...(typeof oldest_reader === 'number' && { oldest_reader }),
    ...(found.unfinished === true && { unfinished: true }),
  };
}

/**
 * Before it is used, or brought to this version.
 *
 * @param done the migrations that it has been through
 * @param unfinished whether it may be one into which a copy is not finished
 * @throws CurfewError `configuration`, naming where it is used instead
 */
export async function requireInUse(db: Kysely<Schema>, done: readonly string[], unfinished = false): Promise<void> {
  if (!done.includes('0008_moved')) return;
  const moved = await movedOf(db);
  if (moved?.to !== undefined) throw movedAway(moved.to);
  if (moved?.unfinished && !unfinished) {
    throw new CurfewError('configuration', `the copy of ${moved.from} into this store is not finished`, {
      hint: 'run curfew-broker store copy again, which finishes it; where the other store is lost: curfew-broker store accept',
    });
  }
}

export function movedAway(to: string): CurfewError {
  return new CurfewError('configuration', `the store was moved to ${to}: it is used there, and not here any more`, {
    hint: 'set store in the configuration to where it is now',
  });
}

/** Of one that is known by its `oldest_reader` alone: it was moved while it was open. */
export function notInUse(): CurfewError {
  return new CurfewError('store', 'the store is not in use: it was moved, or a copy into it is not finished', {
    hint: 'restart the broker, which says where it is',
  });
}

/** In a transaction: from here on it is the one in use. @returns false where it was already */
export async function finishCopy(db: Kysely<Schema>): Promise<boolean> {
  const moved = await movedOf(db);
  if (!moved?.unfinished) return false;
  const { unfinished: _, ...finished } = moved;
  const { oldest_reader = NO_READER } = moved;
  await db
    .updateTable('store_state')
    .set({ moved: JSON.stringify(finished), oldest_reader })
    .execute();
  return true;
}

function unreadable(): CurfewError {
  return new CurfewError('store', 'the store does not say whether it was moved');
}
