// What a gateway judges sessions by for the next seconds: the facts, and the limits of what is touched. The gateway asks the same engine
// as the broker does. It is told of nobody whom its cluster does not admit.

import type { Kysely } from 'kysely';
import { CurfewError } from '../../shared/errors.ts';
import type {
  Ask,
  Asked,
  GatewayReach,
  Lease,
  LeasedLimits,
  LeaseReply,
  LeaseRequest,
  NoLease,
  NoLimits,
} from '../../shared/gateway_wire.ts';
import { withYields } from '../../shared/policy.ts';
import { TARGET_KINDS } from '../../shared/targets.ts';
import type { Broker } from '../broker.ts';
import { requireClock } from '../clock/clock.ts';
import { targetLimits } from '../config/clusters.ts';
import type { Config, ServiceAccountMapping } from '../config/settings.ts';
import { mayLogIn, mayUse } from '../policy/admission.ts';
import { outputCounts } from '../policy/output_counts.ts';
import { serviceAccountOf } from '../policy/service_accounts.ts';
import { type BoundSecret, secretsByUid } from '../sessions/bound_secrets.ts';
import { findAllJudged } from '../sessions/find.ts';
import { factsOf } from '../sessions/limits.ts';
import type { Session } from '../sessions/session.ts';
import type { Schema } from '../store/tables.ts';
import type { GatewayCaller, GatewayCluster } from './caller.ts';
import { noteOpen, targetLeaseOf } from './target_leases.ts';
import { recordUses, type UseParts } from './uses.ts';

/** What a report is answered with. */
export type LeaseParts = UseParts & Pick<Broker, 'clock' | 'now'>;

/**
 * Writes the uses, then answers the asks.
 *
 * @throws CurfewError `request_invalid` for what is no other gateway's to ask; `clock` while the broker's own clock is not believed; `store`
 */
export async function lease(
  broker: LeaseParts,
  gateway: GatewayCaller,
  { asks, uses }: LeaseRequest,
): Promise<LeaseReply> {
  requireClock(broker);
  if (gateway.kind === 'targets' && asks.some(({ secret_uid }) => secret_uid !== undefined))
    throw new CurfewError('request_invalid', 'secret_uid: only the gateway of a cluster asks by it');
  await recordUses(broker, gateway, uses, broker.now());
  if (gateway.kind === 'targets') await noteOpen(broker, asks);
  const found = await broker.store.read((db) => findAsked(db, gateway, asks));
  // As of when nothing is waited for any more: an end by time is judged by the gateway, from this instant on.
  requireClock(broker);
  const { config, touches } = broker;
  const leases = asks.map((ask) => {
    const { session, secret } = found(ask);
    const current = session && touches.overlay(session);
    return gateway.kind === 'targets'
      ? targetLeaseOf(config, ask, current)
      : leaseOf(config, gateway.cluster, ask, current, secret);
  });
  const record = gateway.kind === 'targets' ? TARGET_KINDS : gateway.cluster.gateway.record;
  return { broker_time: broker.now(), sessions: leases, record };
}

interface Found {
  readonly session?: Session | undefined;
  /** What was asked for by. */
  readonly secret?: BoundSecret | undefined;
}

async function findAsked(
  db: Kysely<Schema>,
  gateway: GatewayCaller,
  asks: readonly Ask[],
): Promise<(asked: Asked) => Found> {
  const uids = asks.flatMap(({ secret_uid }) => secret_uid ?? []);
  const secrets =
    gateway.kind === 'cluster' ? await secretsByUid(db, gateway.cluster, uids) : new Map<string, BoundSecret>();
  const sids = [...asks.flatMap(({ sid }) => sid ?? []), ...[...secrets.values()].map(({ sid }) => sid)];
  const sessions = await findAllJudged(db, sids);
  return ({ sid, secret_uid }) => {
    if (secret_uid === undefined) return { session: sessions.get(sid) };
    const secret = secrets.get(secret_uid);
    return { secret, session: secret && sessions.get(secret.sid) };
  };
}

function leaseOf(
  config: Config,
  cluster: GatewayCluster,
  { sid, secret_uid, targets }: Ask,
  session: Session | undefined,
  secret: BoundSecret | undefined,
): Lease | NoLease {
  const asked: Asked = secret_uid === undefined ? { sid } : { secret_uid };
  if (!session) return { ...asked, denied: 'unknown_session', message: 'there is no such session' };
  const account = serviceAccountOf(cluster, session.idp_groups);
  const admitted = session.ended_at !== null || (mayLogIn(config, session) && isTheirs(secret, account));
  if (!admitted || !mayUse(cluster, session.idp_groups))
    return { ...asked, denied: 'not_admitted', message: 'you are not admitted to this cluster any more' };
  return {
    ...asked,
    judged_sid: session.sid,
    username: session.username,
    groups: session.groups,
    ...actsAs(secret ? { namespace: secret.namespace, name: secret.service_account } : account),
    facts: factsOf(session),
    limits: targets.map((target) => (target.target === undefined ? limitsOf(config, cluster, target, session) : OTHER)),
  };
}

/** The gateway of a cluster knows no targets. */
const OTHER: NoLimits = { denied: 'not_admitted', message: 'this gateway is not for that target' };

/** As the API server names who presents such a token. */
function actsAs(account: Pick<ServiceAccountMapping, 'namespace' | 'name'> | undefined): Pick<Lease, 'acts_as'> {
  return account ? { acts_as: `system:serviceaccount:${account.namespace}:${account.name}` } : {};
}

/** Whether tokens that are bound to a Secret are still as whom the person acts. */
function isTheirs(secret: BoundSecret | undefined, account: ServiceAccountMapping | undefined): boolean {
  if (!secret) return true;
  const { doomed, namespace, service_account } = secret;
  return doomed === 0 && namespace === account?.namespace && service_account === account.name;
}

function limitsOf(
  config: Config,
  cluster: GatewayCluster,
  { namespace, resource }: GatewayReach,
  { yields }: Session,
): LeasedLimits {
  const within = { ...(namespace !== undefined && { namespace }), ...(resource !== undefined && { resource }) };
  const target = { cluster: cluster.name, ...within };
  const limits = withYields(targetLimits(config, cluster, within), target, yields);
  const output_counts = outputCounts(config.policy, target);
  return output_counts.length === 0 ? limits : { ...limits, output_counts };
}
