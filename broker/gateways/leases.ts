// What a gateway judges sessions by for the next seconds: the facts, and the limits of what is touched. The gateway asks the same engine
// as the broker does. It is told of nobody whom its cluster does not admit.

import type { Ask, Asked, GatewayTarget, Lease, LeaseReply, LeaseRequest, NoLease } from '../../shared/gateway_wire.ts';
import { type ResolvedLimits, withYields } from '../../shared/policy.ts';
import type { Broker } from '../broker.ts';
import { requireClock } from '../clock/clock.ts';
import { targetLimits } from '../config/clusters.ts';
import type { Config } from '../config/settings.ts';
import { mayLogIn, mayUse } from '../policy/admission.ts';
import { findAllJudged } from '../sessions/find.ts';
import { factsOf } from '../sessions/limits.ts';
import type { Session } from '../sessions/session.ts';
import type { GatewayCluster } from './caller.ts';
import { recordUses, type UseParts } from './uses.ts';

/** What a report is answered with. */
export type LeaseParts = UseParts & Pick<Broker, 'clock' | 'now'>;

/**
 * Writes the uses, then answers the asks.
 *
 * @throws CurfewError `clock` while the broker's own clock is not believed; `store`
 */
export async function lease(
  broker: LeaseParts,
  cluster: GatewayCluster,
  { asks, uses }: LeaseRequest,
): Promise<LeaseReply> {
  requireClock(broker);
  await recordUses(broker, cluster, uses, broker.now());
  const sids = asks.flatMap(({ sid }) => (sid === undefined ? [] : [sid]));
  const sessions = await broker.store.read((db) => findAllJudged(db, sids));
  // As of when nothing is waited for any more: an end by time is judged by the gateway, from this instant on.
  requireClock(broker);
  const { config, touches } = broker;
  const sessionOf = ({ sid = '' }: Asked) => {
    const found = sessions.get(sid);
    return found && touches.overlay(found);
  };
  return {
    broker_time: broker.now(),
    sessions: asks.map((ask) => leaseOf(config, cluster, ask, sessionOf(ask))),
    record: cluster.gateway.record,
  };
}

function leaseOf(
  config: Config,
  cluster: GatewayCluster,
  { sid, secret_uid, targets }: Ask,
  session: Session | undefined,
): Lease | NoLease {
  const asked: Asked = secret_uid === undefined ? { sid } : { secret_uid };
  if (!session) return { ...asked, denied: 'unknown_session', message: 'there is no such session' };
  const admitted = session.ended_at !== null || mayLogIn(config, session);
  if (!admitted || !mayUse(cluster, session.idp_groups))
    return { ...asked, denied: 'not_admitted', message: 'you are not admitted to this cluster any more' };
  return {
    ...asked,
    judged_sid: session.sid,
    username: session.username,
    groups: session.groups,
    facts: factsOf(session),
    limits: targets.map((within) => limitsOf(config, cluster, within, session)),
  };
}

function limitsOf(
  config: Config,
  cluster: GatewayCluster,
  { namespace, resource }: GatewayTarget,
  { yields }: Session,
): ResolvedLimits {
  const within = { ...(namespace !== undefined && { namespace }), ...(resource !== undefined && { resource }) };
  return withYields(targetLimits(config, cluster, within), { cluster: cluster.name, ...within }, yields);
}
