// Whether a request at an API server is within its session's limits, and if not, why. Pure.

import { type Denied, decide } from '../../shared/decide.ts';
import type { Code } from '../../shared/errors.ts';
import { sayDenial } from '../../shared/messages.ts';
import { type ResolvedLimits, withYields } from '../../shared/policy.ts';
import type { Reach } from '../../shared/reach.ts';
import type { Seconds } from '../../shared/time.ts';
import type { Broker } from '../broker.ts';
import { swappedAudience, targetLimits } from '../config/clusters.ts';
import type { Cluster, Config } from '../config/settings.ts';
import { mayLogIn, mayUse } from '../policy/admission.ts';
import { factsOf } from '../sessions/limits.ts';
import type { Session } from '../sessions/session.ts';
import type { TokenClaims } from '../tokens/mint.ts';

/** Why a request is denied. */
export interface Refusal {
  readonly code: Code;
  readonly message: string;
  readonly limits?: ResolvedLimits | undefined;
  /** The engine's answer, where it was asked. */
  readonly denied?: Denied | undefined;
}

/** Whether a token for the cluster is one that its API server is to take: where a gateway is required, only one that the gateway got. */
export function isForApiServer(
  { tokenIds }: Pick<Broker, 'tokenIds'>,
  cluster: Cluster,
  { sid, jti }: Pick<TokenClaims, 'sid' | 'jti'>,
): boolean {
  return !cluster.gateway?.required || tokenIds.expOf(jti, { sid, audience: swappedAudience(cluster) }) !== undefined;
}

/** @returns `undefined` when nothing speaks against the request */
export function judge(
  config: Config,
  cluster: Cluster,
  { user, within }: { readonly user: string; readonly within: Reach },
  session: Session | undefined,
  now: Seconds,
): Refusal | undefined {
  if (!session) return { code: 'unknown_session', message: 'there is no such session' };
  if (session.username !== user) return { code: 'another_user', message: 'the session belongs to another user' };
  if (session.ended_at === null && !(mayLogIn(config, session) && mayUse(cluster, session.idp_groups))) {
    return { code: 'not_admitted', message: 'you are not admitted to this cluster any more' };
  }
  const target = { cluster: cluster.name, ...within };
  const limits = withYields(targetLimits(config, cluster, within), target, session.yields);
  const verdict = decide(limits, factsOf(session), now);
  if (verdict.allow) return undefined;
  return { code: verdict.reason, message: sayDenial(verdict), limits, denied: verdict };
}
