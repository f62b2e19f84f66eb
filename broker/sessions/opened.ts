// A session as it is opened, and the ID token that it is opened with, which is used once.

import type { Insertable, Selectable } from 'kysely';
import type { Seconds } from '../../shared/time.ts';
import type { Transaction } from '../store/store.ts';
import type { IdTokenUseTable } from '../store/tables.ts';
import { findByHandle, hashOfHandle } from './find.ts';
import { rowOf, type Session } from './session.ts';

export async function openSession({ db }: Transaction, session: Session, handle: string): Promise<void> {
  await db
    .insertInto('session')
    .values({ ...rowOf(session), handle_hash: hashOfHandle(handle) })
    .execute();
}

/** Gives a session that is active another handle; the one of before is void. @returns `undefined` where it is not active */
export async function giveHandle(transaction: Transaction, sid: string, handle: string): Promise<Session | undefined> {
  await transaction.db
    .updateTable('session')
    .set({ handle_hash: hashOfHandle(handle) })
    .where('sid', '=', sid)
    .where('ended_at', 'is', null)
    .execute();
  return findByHandle(transaction, handle);
}

/** @returns false where it was used before */
export async function useIdToken({ db }: Transaction, use: Insertable<IdTokenUseTable>): Promise<boolean> {
  const { numInsertedOrUpdatedRows } = await db
    .insertInto('id_token_use')
    .values(use)
    .onConflict((conflict) => conflict.doNothing())
    .executeTakeFirst();
  return numInsertedOrUpdatedRows === 1n;
}

/** @param hash of an ID token that was used */
export function idTokenUse({ db }: Transaction, hash: string): Promise<Readonly<Selectable<IdTokenUseTable>>> {
  return db.selectFrom('id_token_use').selectAll().where('hash', '=', hash).executeTakeFirstOrThrow();
}

/** No session came of it: it may be tried again. */
export async function giveBackIdToken({ db }: Transaction, hash: string): Promise<void> {
  await db.deleteFrom('id_token_use').where('hash', '=', hash).execute();
}

/** Of ID tokens that could not be exchanged any more, and of sessions that ended before an instant. */
export async function forgetEnded({ db }: Transaction, before: Seconds, now: Seconds): Promise<void> {
  await db.deleteFrom('id_token_use').where('expires_at', '<=', now).execute();
  await db.deleteFrom('session').where('ended_at', '<', before).execute();
}
