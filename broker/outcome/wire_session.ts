// A session as its holder sees it.

import type { ResolvedLimits } from '../../shared/policy.ts';
import { earliest, plus, type Seconds } from '../../shared/time.ts';
import type { WireSession } from '../../shared/wire.ts';
import type { Session } from '../sessions/session.ts';

export function wireSession(session: Session, limits: ResolvedLimits, session_end: Seconds, now: Seconds): WireSession {
  const { sid, username, groups, auth_time, revalidated_at, acr } = session;
  // Lowered where the policy is tighter than at login, as it is stored with the next use.
  const end_at_most = earliest(session.end_at_most, plus(auth_time, limits.session.max_age));
  return {
    sid,
    username,
    groups: [...groups],
    auth_time,
    ...(acr !== null && { acr }),
    revalidated_at,
    session_end,
    end_at_most,
    limits,
    broker_time: now,
  };
}
