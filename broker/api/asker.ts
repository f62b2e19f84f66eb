// Who asks at our own API: the active session that a handle names, and whether it is an administrator's. Asking is not a use of
// the session: it moves no clock.

import { decide } from '../../shared/decide.ts';
import type { Code } from '../../shared/errors.ts';
import { combine } from '../../shared/limits.ts';
import { sayDenial } from '../../shared/messages.ts';
import type { ResolvedLimits } from '../../shared/policy.ts';
import type { Seconds } from '../../shared/time.ts';
import type { Broker } from '../broker.ts';
import { type Refused, refuse, refuseByVerdict } from '../outcome/refused.ts';
import { findHeld, refuseStranger, UNKNOWN } from '../outcome/strangers.ts';
import { wireSession } from '../outcome/wire_session.ts';
import { mayLogIn } from '../policy/admission.ts';
import type { Caller } from '../policy/caller.ts';
import { admits } from '../policy/groups.ts';
import { currentSession } from '../sessions/current.ts';
import { endByVerdict, endSession } from '../sessions/ending.ts';
import { activeLimits, factsOf, sessionLimits } from '../sessions/limits.ts';
import type { Session } from '../sessions/session.ts';
import type { Transaction } from '../store/store.ts';
import { consumeProof } from '../tokens/proof_use.ts';

/** Who asks, by the handle of a session. */
export interface Asker extends Caller {
  readonly handle: string;
}

/** What it takes to know who asks. */
export type AskingParts = Pick<Broker, 'config' | 'store' | 'touches' | 'holders' | 'refusals' | 'now'>;

/** Codes that say that the login itself is not good enough for an administrator (RFC 9470). */
export const STEP_UP: readonly Code[] = ['login_too_old', 'idle_too_long', 'acr_too_low'];

/**
 * Runs `work` for the session that asks, if it is active, in the transaction that uses the proof up, and that ends the session where
 * a session-wide limit has struck.
 *
 * @returns what `work` returns, or why nobody may ask
 */
export async function asking<T>(
  broker: AskingParts,
  asker: Asker,
  work: (transaction: Transaction, own: Session, now: Seconds) => Promise<T | Refused>,
): Promise<T | Refused> {
  const stranger = await refuseStranger(broker, 'sessions', asker, asker.handle);
  if (stranger) return stranger;
  return broker.store.transaction(async (transaction) => {
    const now = broker.now();
    const own = await sessionOfAsker(transaction, broker, asker, now);
    return 'refused' in own ? own : work(transaction, own, now);
  });
}

async function sessionOfAsker(
  transaction: Transaction,
  { config, touches, holders }: Pick<Broker, 'config' | 'touches' | 'holders'>,
  asker: Asker,
  now: Seconds,
): Promise<Session | Refused> {
  const { proof, address } = asker;
  const found = await findHeld(transaction, { holders }, asker, asker.handle);
  if (!found) return UNKNOWN;
  if (!(await consumeProof(transaction, proof))) {
    return refuse(transaction, refusalOf(found, asker, now), 'proof_replayed', 'the DPoP proof was used before');
  }
  const session = await currentSession(transaction, { touches }, found, now);
  const about = refusalOf(session, asker, now);
  if (session.ended_at === null && !mayLogIn(config, session)) {
    await endSession(transaction, session, { reason: 'policy', since: now, now, address });
    return refuse(transaction, about, 'not_admitted', `${session.username} can no longer log in`);
  }
  const resolved = activeLimits(config.policy, session);
  const verdict = decide(resolved, factsOf(session), now);
  if (verdict.allow) return session;
  await endByVerdict(transaction, session, verdict, { now, address });
  return refuseByVerdict(transaction, about, verdict, { limits: resolved, yields: [] });
}

/** Whether a session's groups make it an administrator's, be its login good enough or not. */
export function isAdministrator({ config: { admins } }: Pick<Broker, 'config'>, session: Session): boolean {
  return admins !== undefined && admits(admins.groups, session.idp_groups);
}

/** An administrator's session has limits of its own beside those of everybody. @returns `undefined` when it satisfies them */
export async function refuseUnlessAdministrator(
  transaction: Transaction,
  broker: Pick<Broker, 'config'>,
  asker: Asker,
  own: Session,
  now: Seconds,
): Promise<Refused | undefined> {
  const { admins, policy } = broker.config;
  const about = refusalOf(own, asker, now);
  if (!admins || !isAdministrator(broker, own)) {
    return refuse(transaction, about, 'not_administrator', 'only administrators may do this');
  }
  const session = sessionLimits(policy, own);
  const limits: ResolvedLimits = { session, target: combine(session, admins.limits) };
  const verdict = decide(limits, factsOf(own), now);
  if (verdict.allow) return undefined;
  const wire = wireSession(own, limits, verdict.since, now);
  const refused = await refuseByVerdict(transaction, about, verdict, { limits, yields: [] }, wire);
  return { ...refused, message: `administrators: ${sayDenial(verdict)}` };
}

/** The session that asks, as rows of the audit log name it. */
export function eventOf({ sid, iss, sub, username, jkt }: Session, { address }: Asker, at: Seconds) {
  return { at, sid, iss, sub, username, jkt, address };
}

export function refusalOf(own: Session, asker: Asker, now: Seconds) {
  return { grant: 'sessions', ...eventOf(own, asker, now) } as const;
}
