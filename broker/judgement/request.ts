// Whether a request at an API server is within its session's limits, and if not, why. Pure but for finding the session.

import { type Denied, decide } from '../../shared/decide.ts';
import type { Code } from '../../shared/errors.ts';
import { sayDenial } from '../../shared/messages.ts';
import { type ResolvedLimits, type Target, withYields } from '../../shared/policy.ts';
import type { Seconds } from '../../shared/time.ts';
import { targetLimits } from '../config/clusters.ts';
import type { Cluster, Config } from '../config/settings.ts';
import { mayLogIn, mayUse } from '../policy/admission.ts';
import { groupsOf } from '../policy/groups.ts';
import { factsOf, findBySid, yieldsOfSession } from '../sessions/sessions.ts';
import type { Transaction } from '../store/store.ts';
import type { Session } from '../store/tables.ts';

/** How many times a session may have been replaced by a newer login of the same key while a token is still out. */
export const MOST_REPLACEMENTS = 50;
/** Why a request is denied. */
export interface Refusal {
  readonly code: Code;
  readonly message: string;
  readonly limits?: ResolvedLimits | undefined;
  /** The engine's answer, where it was asked. */
  readonly denied?: Denied | undefined;
}

/** The session itself, or the one that replaced it: that judges what the first has minted. */
export async function findJudged(db: Transaction['db'], sid: string): Promise<Session | undefined> {
  let session = await findBySid(db, sid);
  for (let i = 0; session?.end_reason === 'replaced' && session.replaced_by !== null && i < MOST_REPLACEMENTS; i++) {
    session = await findBySid(db, session.replaced_by);
  }
  return session;
}

/** @returns `undefined` when nothing speaks against the request */
export function judge(
  config: Config,
  cluster: Cluster,
  { user, within }: { readonly user: string; readonly within: Omit<Target, 'cluster'> },
  session: Session | undefined,
  now: Seconds,
): Refusal | undefined {
  if (!session) return { code: 'unknown_session', message: 'there is no such session' };
  if (session.username !== user) return { code: 'another_user', message: 'the session belongs to another user' };
  const groups = groupsOf(session);
  if (session.ended_at === null && !(mayLogIn(config, session) && mayUse(cluster, groups))) {
    return { code: 'not_admitted', message: 'you are not admitted to this cluster any more' };
  }
  const target = { cluster: cluster.name, ...within };
  const limits = withYields(targetLimits(config, cluster, within), target, yieldsOfSession(session));
  const verdict = decide(limits, factsOf(session), now);
  if (verdict.allow) return undefined;
  return { code: verdict.reason, message: sayDenial(verdict), limits, denied: verdict };
}
