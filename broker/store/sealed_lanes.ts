// The seals of the chains of the audit log, where there are several: each is written by the connection whose chain it is, so a chain that
// nobody writes keeps the seal of a key that is not used any more, until it is sealed again here.

import { sql } from 'kysely';
import type { Sealer } from '../audit_log/chain.ts';
import type { Transaction } from './store.ts';

/**
 * Seals every chain again whose seal is understood; one that was changed from outside stays as it is, so that it shows. To be called where
 * no other transaction runs (`holdAll`). A store with one chain seals it with each row.
 */
export async function sealLanesAgain(
  { db, shared }: Pick<Transaction, 'db' | 'shared'>,
  sealer: Sealer,
): Promise<void> {
  if (!shared) return;
  const lanes = await db.selectFrom('audit_lane').select(['lane', 'seq', 'hash', 'seal']).execute();
  for (const { seal, ...link } of lanes) {
    const again = sealer.seal(link);
    if (seal === again || !sealer.isSealed(link, seal)) continue;
    await sql`update audit_lane set seal = ${again} where lane = ${link.lane}`.execute(db);
  }
}
