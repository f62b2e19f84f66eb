// DPoP proofs in the store: each is taken once.

import { sql } from 'kysely';
import type { Seconds } from '../../shared/time.ts';
import type { Transaction } from '../store/store.ts';
import { firstLiveMinute, type Proof } from './dpop.ts';

/** Uses a proof up. @returns false when it had been used (RFC 9449 11.1) */
export async function consumeProof({ db }: Transaction, { minute, hash }: Proof): Promise<boolean> {
  // A text: each request that carries a proof comes through here, and building a query costs more than running it.
  const insert = sql`insert into proof (minute, hash) values (${minute}, ${hash}) on conflict do nothing`;
  const { numAffectedRows } = await insert.execute(db);
  return numAffectedRows === 1n;
}

/** Forgets proofs that are too old to be taken anyway. */
export async function forgetProofs({ db }: Transaction, now: Seconds): Promise<void> {
  await db.deleteFrom('proof').where('minute', '<', firstLiveMinute(now)).execute();
}
