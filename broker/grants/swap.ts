// Token exchange (RFC 8693) by a gateway: a token that is for it alone in, one for the API server out, after a new decision. It is not a use:
// the request that it is for is.

import { decide } from '../../shared/decide.ts';
import { CurfewError } from '../../shared/errors.ts';
import type { SwapReply } from '../../shared/gateway_wire.ts';
import { withYields } from '../../shared/policy.ts';
import { earliest, type Seconds } from '../../shared/time.ts';
import { TOKEN_TYP } from '../../shared/token_typ.ts';
import { TOKEN_TYPE } from '../../shared/wire.ts';
import type { Broker } from '../broker.ts';
import { requireClock } from '../clock/clock.ts';
import { clusterLimits, gatewayAudienceOf, swappedAudience } from '../config/clusters.ts';
import { clusterOfGateway, type GatewayCluster } from '../gateways/caller.ts';
import { judge } from '../judgement/request.ts';
import { type Refused, refuse } from '../outcome/refused.ts';
import { currentSessions } from '../sessions/current.ts';
import { findJudged } from '../sessions/find.ts';
import { factsOf } from '../sessions/limits.ts';
import type { Transaction } from '../store/store.ts';
import { keyRevoked, requireKey } from '../tokens/keys.ts';
import { signToken, type TokenClaims } from '../tokens/mint.ts';
import { verifyGatewayToken } from '../tokens/verify.ts';
import { requireRecent } from './credential.ts';

export interface SwapRequest {
  /** As a person presented it to the gateway. */
  readonly subject_token: string;
  readonly audience: string;
}

export type SwapParts = Pick<
  Broker,
  'config' | 'store' | 'touches' | 'tokenIds' | 'keys' | 'clock' | 'stopwatch' | 'now'
>;

/**
 * @param authorization of the gateway, as it came
 * @param address the gateway's
 * @throws CurfewError `gateway_token` for anything but a gateway; `invalid_target`, `request_invalid` for what is not its own; `busy` where the
 *   key was replaced, or it took too long
 */
export async function swap(
  broker: SwapParts,
  authorization: string,
  { subject_token, audience }: SwapRequest,
  address: string,
): Promise<SwapReply | Refused> {
  requireClock(broker);
  const cluster = clusterOfGateway(broker.config, authorization);
  if (!cluster) throw new CurfewError('gateway_token', 'the bearer token is not that of a gateway of this broker');
  if (audience !== cluster.audience)
    throw new CurfewError('invalid_target', 'audience: not that of the cluster of this gateway');
  const subject = verifyGatewayToken(broker, subject_token, broker.now());
  if (!subject || subject.aud !== gatewayAudienceOf(cluster))
    throw new CurfewError('request_invalid', 'subject_token: not a token for this gateway that is good now');
  const { kid } = broker.keys.signing;
  let decided = 0;
  const outcome = await broker.store.transaction((transaction) => {
    requireClock(broker);
    decided = broker.stopwatch();
    return decideSwap(transaction, broker, cluster, subject, { kid, address, now: broker.now() });
  });
  if ('refused' in outcome) return outcome;
  requireRecent(broker, decided);
  const signing = broker.keys.signer(kid);
  if (!signing) throw keyRevoked();
  return {
    access_token: signToken({ signing }, outcome, TOKEN_TYP),
    issued_token_type: TOKEN_TYPE.jwt,
    token_type: 'N_A',
    expires_in: (outcome.exp - outcome.iat) as Seconds,
  };
}

/** By the session as it is in this transaction. @returns what is to be signed once that is on disk */
async function decideSwap(
  transaction: Transaction,
  { config, touches, tokenIds }: SwapParts,
  cluster: GatewayCluster,
  subject: TokenClaims,
  { kid, address, now }: { readonly kid: string; readonly address: string; readonly now: Seconds },
): Promise<TokenClaims | Refused> {
  const found = await findJudged(transaction.db, subject.sid);
  const session = found && touches.overlay(found);
  const refusal = judge(config, cluster, { user: subject.username, within: {} }, session, now);
  const { sid, sub, username } = subject;
  if (!session || refusal) {
    if (session && refusal?.denied?.ends)
      await currentSessions(transaction, { config, touches }, { sids: [session.sid] }, now, 'spares');
    const who = session && { iss: session.iss, sub: session.sub, username: session.username };
    const event = {
      grant: 'gateway',
      at: now,
      address,
      cluster: cluster.name,
      sid: session?.sid ?? sid,
      ...who,
    } as const;
    const { code = 'unknown_session', message = 'there is no such session', denied } = refusal ?? {};
    return { ...(await refuse(transaction, { ...event, end_reason: denied?.end_reason }, code, message)), denied };
  }
  const target = { cluster: cluster.name };
  const limits = withYields(clusterLimits(config, cluster), target, session.yields);
  const verdict = decide(limits, factsOf(session), now);
  if (!verdict.allow) throw new TypeError('a session that is allowed was denied');
  const exp = earliest(verdict.exp, subject.exp);
  const jti = tokenIds.make({ sid, audience: swappedAudience(cluster) }, exp);
  const { iss, jkt, auth_time, acr } = session;
  await requireKey(transaction, kid);
  await transaction.audit({
    event: 'mint',
    at: now,
    address,
    sid,
    iss,
    sub,
    username,
    jkt,
    cluster: cluster.name,
    segment: limits.segment,
    jti,
    exp,
    session_end: verdict.session_end,
    limits: limits.target,
    swapped_from: subject.jti,
  });
  return {
    ...{ iss: config.issuer, aud: cluster.audience, sub, username, sid, jti },
    groups: session.groups,
    ...{ iat: now, nbf: now, exp, auth_time, ...(acr !== null && { acr }) },
  };
}
