// Requests of nobody's session: whoever has a key, and anybody can make one, and no session that it holds. They are refused by
// what was committed, without a transaction, and counted by address: nothing that they send waits for the disk, or stays there.

import type { Asking } from './audit.ts';
import { type Broker, type Caller, countRefusal, type Refused } from './broker.ts';
import { findByHandle, type Session } from './sessions.ts';

type Parts = Pick<Broker, 'store' | 'refusals' | 'now'>;

/**
 * Decides nothing for whoever does hold a session: that is for the transaction to see again.
 *
 * @returns the refusal, for a handle of no session, and alike for one of another key
 */
export async function refuseStranger(
  broker: Parts,
  grant: Asking,
  caller: Caller,
  handle: string,
): Promise<Refused | undefined> {
  const { jkt } = caller.proof;
  const holder = holders.get(handle);
  if (holder === jkt) return undefined;
  const session = await broker.store.read((db) => findByHandle({ db }, handle));
  if (session?.jkt !== jkt) return recordUnknown(broker, grant, caller, session);
  if (holders.size >= MOST_HOLDERS) holders.clear();
  holders.set(handle, jkt);
  return undefined;
}

/**
 * Who was seen to hold a session, by its handle: they are not looked for again before each transaction, which sees for itself. In
 * memory alone, as everything of a handle but its hash.
 */
const holders = new Map<string, string>();
const MOST_HOLDERS = 10_000;

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
