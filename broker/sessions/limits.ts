// A session as the engine judges it: its facts, and the limits that hold for all of it.

import type { WholeLimits } from '../../shared/limits.ts';
import { type Policy, type ResolvedLimits, withYields } from '../../shared/policy.ts';
import type { SessionFacts } from '../../shared/session.ts';
import type { IdentityProviderSettings } from '../config/settings.ts';
import type { Subject } from '../policy/target.ts';
import type { Session } from './session.ts';

export function factsOf(session: Session): SessionFacts {
  const { auth_time, revalidated_at, last_used, longest_idle, end_at_most, over_at: idle_end } = session;
  const { acr, idle_before, ended_at, end_reason } = session;
  const ended = ended_at !== null && end_reason !== null ? { ended: { at: ended_at, reason: end_reason } } : {};
  return {
    auth_time,
    revalidated_at,
    last_used,
    longest_idle,
    ...(idle_before.length > 0 && { idle_before }),
    end_at_most,
    idle_end,
    ...(acr !== null && { acr }),
    ...ended,
  };
}

/** The session-wide limits: the policy's, and what rules that name no target have yielded. */
export function sessionLimits(policy: Policy, session: Pick<Session, 'yields'>): WholeLimits {
  return wholeLimits(policy, session).session;
}

/**
 * The limits that say whether a session is active at all. How strong its login must be, and how lately the IdP must have confirmed
 * it, is asked where something is to be done with it.
 */
export function activeLimits(policy: Policy, session: Pick<Session, 'yields'>): ResolvedLimits {
  const limits = sessionLimits(policy, session);
  return { session: limits, target: { ...limits, acr: undefined, revalidate: undefined } };
}

export function wholeLimits(policy: Policy, { yields }: Pick<Session, 'yields'>): ResolvedLimits {
  return withYields({ session: policy.limits, target: policy.limits }, {}, yields);
}

/** The person of a session, by the IdP's names. */
export function subjectOf(session: Session, { username_prefix }: IdentityProviderSettings): Subject {
  const { username, idp_groups: groups, acr, amr, address, yields } = session;
  const name = username.startsWith(username_prefix) ? username.slice(username_prefix.length) : username;
  return { user: { name, groups, acr: acr ?? undefined, amr: [...amr] }, login_address: address, yields };
}
