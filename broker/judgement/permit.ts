// Whether a session may have a token for a cluster or a target now. Every transaction that leads to a token asks this, about the session as it
// reads it: what an earlier one was told may no longer be true.

import { type Denied, decide, type Verdict } from '../../shared/decide.ts';
import type { Seconds } from '../../shared/time.ts';
import type { RefusalEvent } from '../audit_log/events.ts';
import type { Config, ServiceAccountMapping } from '../config/settings.ts';
import { type Refused, refuse, refuseByVerdict, refuseUnresolved } from '../outcome/refused.ts';
import { wireSession } from '../outcome/wire_session.ts';
import { mayLogIn } from '../policy/admission.ts';
import { serviceAccountOf } from '../policy/service_accounts.ts';
import {
  type AskedAudience,
  type AskedCluster,
  type AskedTarget,
  type AudienceWish,
  namesOf,
  type Origin,
  resolveTarget,
  type Unresolved,
} from '../policy/target.ts';
import { endByVerdict, endSession } from '../sessions/ending.ts';
import { factsOf, subjectOf } from '../sessions/limits.ts';
import { publishLowered } from '../sessions/lowered.ts';
import type { Session } from '../sessions/session.ts';
import { keepYields } from '../sessions/use.ts';
import type { Transaction } from '../store/store.ts';

export type Permitted = PermittedCluster | PermittedTarget;

interface Allowed {
  /** As of the stored `last_used`. */
  readonly verdict: Verdict & { readonly allow: true };
}

export interface PermittedCluster extends Allowed {
  readonly asked: AskedCluster;
  /** Whom the person acts as, where the cluster's own tokens are used. */
  readonly account?: ServiceAccountMapping | undefined;
}

export interface PermittedTarget extends Allowed {
  readonly asked: AskedTarget;
  readonly account?: undefined;
}

/** What the configuration in force says of a session that wishes for a token. Nothing is done about it yet. */
export type Judgement =
  | { readonly says: 'not_admitted' }
  | { readonly says: 'unresolved'; readonly unresolved: Unresolved }
  | { readonly says: 'denied'; readonly asked: AskedAudience; readonly verdict: Denied }
  | (Permitted & { readonly says: 'permitted' });

/** @param session as of now, with uses that are not written yet */
export function judgeWish(
  config: Config,
  session: Session,
  wish: AudienceWish,
  origin: Origin,
  now: Seconds,
): Judgement {
  if (session.ended_at === null && !mayLogIn(config, session)) return { says: 'not_admitted' };
  const asked = resolveTarget(config, wish, subjectOf(session, config.identity_provider), origin, now);
  if ('refused' in asked) return { says: 'unresolved', unresolved: asked };
  const verdict = decide(asked.limits, factsOf(session), now);
  if (!verdict.allow) return { says: 'denied', asked, verdict };
  if (asked.target) return { says: 'permitted', asked, verdict };
  const own = asked.cluster.credential === 'service-account';
  const account = own ? serviceAccountOf(asked.cluster, session.idp_groups) : undefined;
  return { says: 'permitted', asked, verdict, account };
}

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
  wish: AudienceWish,
  origin: Origin,
  event: Omit<RefusalEvent, 'event' | 'reason'>,
  now: Seconds,
): Promise<Permitted | Refused> {
  const { address } = origin;
  const judged = judgeWish(config, session, wish, origin, now);
  if (judged.says === 'not_admitted') {
    await endSession(transaction, session, { reason: 'policy', since: now, now, address });
    return refuse(transaction, event, 'not_admitted', `${session.username} can no longer log in`);
  }
  if (judged.says === 'unresolved') return refuseUnresolved(transaction, event, judged.unresolved);
  const { asked } = judged;
  // Also when this is denied: what was found out now holds for tokens that are out.
  if (session.ended_at === null && (await keepYields(transaction, session, asked.yields)))
    publishLowered(transaction, config, session, now);
  if (judged.says === 'permitted') return judged;
  const { verdict } = judged;
  await endByVerdict(transaction, session, verdict, { now, address });
  const wire = wireSession(session, asked.limits, verdict.since, now);
  return refuseByVerdict(transaction, { ...event, ...namesOf(asked) }, verdict, asked, wire);
}
