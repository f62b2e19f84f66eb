// Requests of nobody's session: whoever has a key, and anybody can make one, and no session that it holds. They are refused by
// what was committed, without a transaction, and counted by address: nothing that they send waits for the disk, or stays there.

import type { Asking } from '../audit_log/events.ts';
import type { Broker } from '../broker.ts';
import type { Caller } from '../policy/caller.ts';
import { findByHandle } from '../sessions/find.ts';
import type { Session } from '../sessions/session.ts';
import type { Transaction } from '../store/store.ts';
import { countRefusal, type Refused } from './refused.ts';

type Parts = Pick<Broker, 'store' | 'refusals' | 'now'>;

/**
 * Decides nothing for whoever does hold a session: that is for the transaction to see again.
 *
 * @returns the refusal, for a handle of no session, and alike for one of another key
 */
export async function refuseStranger(
  broker: Parts & Pick<Broker, 'holders'>,
  grant: Asking,
  caller: Caller,
  handle: string,
): Promise<Refused | undefined> {
  const { jkt } = caller.proof;
  if (broker.holders.isHolder(handle, jkt)) return undefined;
  const session = await broker.store.read((db) => findByHandle({ db }, handle));
  if (session?.jkt !== jkt) return recordUnknown(broker, grant, caller, session);
  broker.holders.note(handle, jkt);
  return undefined;
}

/** The session that a handle names, where its key asks. @returns `undefined` for a handle of none, and alike for one of another key */
export async function findHeld(
  transaction: Transaction,
  { holders }: Pick<Broker, 'holders'>,
  { proof: { jkt } }: Caller,
  handle: string,
): Promise<Session | undefined> {
  const session = await findByHandle(transaction, handle);
  if (session?.jkt === jkt) return session;
  holders.forget(handle);
  return undefined;
}

/** @param session whose handle or token it was, where it is that of another key: somebody may want to know */
export async function recordUnknown(
  broker: Parts,
  grant: Asking,
  { proof: { jkt }, address }: Caller,
  session: Session | undefined,
): Promise<Refused> {
  const { sid, iss, sub, username } = session ?? {};
  const whose = session && { sid, iss, sub, username, jkt };
  await countRefusal(broker, { grant, at: broker.now(), address, reason: 'unknown_session', ...whose });
  return UNKNOWN;
}

/** A handle in the hands of another key is told no more than one that never was. */
export const UNKNOWN: Refused = { refused: 'unknown_session', message: 'there is no such session' };
