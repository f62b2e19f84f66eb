// Whether a session may have a token for a cluster now. Every transaction that leads to a token asks this, about the session as it
// reads it: what an earlier one was told may no longer be true.

import { decide, type Verdict } from '../../shared/decide.ts';
import type { Seconds } from '../../shared/time.ts';
import type { RefusalEvent } from '../audit_log/events.ts';
import type { Config, ServiceAccountMapping } from '../config/settings.ts';
import { type Refused, refuse, refuseByVerdict, refuseUnresolved } from '../outcome/refused.ts';
import { wireSession } from '../outcome/wire_session.ts';
import { mayLogIn } from '../policy/admission.ts';
import { serviceAccountOf } from '../policy/service_accounts.ts';
import { type AskedCluster, type Origin, resolveTarget, type Wish } from '../policy/target.ts';
import { endSession } from '../sessions/ending.ts';
import { factsOf, subjectOf } from '../sessions/limits.ts';
import { publishLowered } from '../sessions/lowered.ts';
import type { Session } from '../sessions/session.ts';
import { keepYields } from '../sessions/use.ts';
import type { Transaction } from '../store/store.ts';

export interface Permitted {
  readonly asked: AskedCluster;
  /** As of the stored `last_used`. */
  readonly verdict: Verdict & { readonly allow: true };
  /** Whom the person acts as, where the cluster's own tokens are used. */
  readonly account?: ServiceAccountMapping | undefined;
}

/** A wish for a token of one cluster. */
export type ClusterWish = Wish & { readonly audience: string };

/**
 * Decides by the configuration in force, and keeps what rules yielded; ends the session where it is over or its person may not
 * log in any more.
 *
 * @param session read in this transaction, with uses that are not written yet
 * @param event what the row of a refusal says beside its reason
 */
export async function permit(
  transaction: Transaction,
  config: Config,
  session: Session,
  wish: ClusterWish,
  origin: Origin,
  event: Omit<RefusalEvent, 'event' | 'reason'>,
  now: Seconds,
): Promise<Permitted | Refused> {
  const { address } = origin;
  if (session.ended_at === null && !mayLogIn(config, session)) {
    await endSession(transaction, session, { reason: 'policy', since: now, now, address });
    return refuse(transaction, event, 'not_admitted', `${session.username} can no longer log in`);
  }
  const asked = resolveTarget(config, wish, subjectOf(session, config.identity_provider), origin, now);
  if ('refused' in asked) return refuseUnresolved(transaction, event, asked);
  // Also when this is denied: what was found out now holds for tokens that are out.
  if (session.ended_at === null && (await keepYields(transaction, session, asked.yields)))
    publishLowered(transaction, config, session, now);
  const { cluster, limits } = asked;
  const verdict = decide(limits, factsOf(session), now);
  if (!verdict.allow) {
    if (verdict.ends) {
      await endSession(transaction, session, { reason: verdict.ends, since: verdict.since, now, address });
    }
    const wire = wireSession(session, limits, verdict.since, now);
    return refuseByVerdict(transaction, { ...event, cluster: cluster.name }, verdict, asked, wire);
  }
  const own = cluster.credential === 'service-account';
  return { asked, verdict, account: own ? serviceAccountOf(cluster, session.idp_groups) : undefined };
}
