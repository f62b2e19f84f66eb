// The TokenReview webhook's answer: whose a Kubernetes token of ours is, as long as its session is not over. For clusters
// that ask about tokens instead of verifying them. It is not the clock of use: kube-apiserver caches what it was told.

import type { Broker } from '../broker.ts';
import { sayClockFault } from '../clock/clock.ts';
import type { Cluster } from '../config/settings.ts';
import { isForApiServer, judge } from '../judgement/request.ts';
import { CREDENTIAL_ID_KEY, SESSION_ID_KEY } from '../tokens/user_extra.ts';
import { verifyToken } from '../tokens/verify.ts';

/** `status` of a TokenReview (authentication.k8s.io/v1). */
export type TokenStatus =
  | { readonly authenticated: false; readonly error?: string }
  | {
      readonly authenticated: true;
      readonly user: {
        readonly username: string;
        readonly uid: string;
        readonly groups: readonly string[];
        readonly extra: Readonly<Record<string, readonly string[]>>;
      };
      readonly audiences?: readonly string[];
    };

/** What a TokenReview is answered with. */
export type TokenReviewParts = Pick<Broker, 'config' | 'judged' | 'touches' | 'tokenIds' | 'keys' | 'clock' | 'now'>;

/** What is no token of ours for this cluster is nobody's, without a word: another authenticator may know it. */
export async function authenticate(broker: TokenReviewParts, cluster: Cluster, token: string): Promise<TokenStatus> {
  const { config, judged, touches } = broker;
  const now = broker.now();
  if (!cluster.webhook?.authentication)
    return { authenticated: false, error: 'curfew: not configured for this cluster' };
  const claims = verifyToken(broker, token, now);
  if (!claims || claims.aud !== cluster.audience || !isForApiServer(broker, cluster, claims))
    return { authenticated: false };
  const fault = broker.clock.fault();
  if (fault !== undefined) return { authenticated: false, error: `curfew: ${sayClockFault(fault)}` };
  const found = await judged.find(claims.sid);
  const session = found && touches.overlay(found);
  const refusal = judge(config, cluster, { user: claims.username, within: {} }, session, now);
  if (refusal) return { authenticated: false, error: `curfew: ${refusal.message}` };
  const { username, sub: uid, groups, sid, jti } = claims;
  // As kube-apiserver has it where it verifies a token itself.
  const extra = { [SESSION_ID_KEY]: [sid], [CREDENTIAL_ID_KEY]: [`JTI=${jti}`] };
  return { authenticated: true, user: { username, uid, groups, extra } };
}
