// Revocation (RFC 7009): the holder of the key logs out. Ends the session durably before it is acknowledged.

import type { Broker } from '../broker.ts';
import { type Refused, refuse } from '../outcome/refused.ts';
import { findHeld, refuseStranger } from '../outcome/strangers.ts';
import type { Caller } from '../policy/caller.ts';
import { currentSessions } from '../sessions/current.ts';
import { endSession } from '../sessions/ending.ts';
import { consumeProof } from '../tokens/proof_use.ts';

/**
 * @returns `undefined` when the session is over now: ended here, ended before, or never there (RFC 7009 2.2).
 *   A handle presented with another key changes nothing and is told nothing; the attempt is in the audit log.
 */
export async function revoke(
  broker: Pick<Broker, 'config' | 'store' | 'touches' | 'holders' | 'refusals' | 'now'>,
  caller: Caller,
  handle: string,
): Promise<Refused | undefined> {
  const { store, now } = broker;
  const { proof, address } = caller;
  if (await refuseStranger(broker, 'revocation', caller, handle)) return undefined;
  return store.transaction(async (transaction) => {
    const at = now();
    const session = await findHeld(transaction, broker, caller, handle);
    if (!session) return undefined;
    const { sid, iss, sub, username } = session;
    const event = { grant: 'revocation', at, sid, iss, sub, username, jkt: proof.jkt, address } as const;
    if (!(await consumeProof(transaction, proof))) {
      return refuse(transaction, event, 'proof_replayed', 'the DPoP proof was used before');
    }
    // What is over by itself ends as of then, and for that.
    await currentSessions(transaction, broker, { sids: [sid] }, at);
    await endSession(transaction, session, { reason: 'logout', since: at, now: at, address });
    return undefined;
  });
}
