// What the gateway of targets judges sessions by for the next seconds. It is told of nobody who may use none of them; and of a target that a
// person may not use any more, or not as that account, that this is so.

import type { Ask, Lease, LeasedLimits, NoLease, NoLimits } from '../../shared/gateway_wire.ts';
import { type AccessTarget, withYields } from '../../shared/policy.ts';
import type { Broker } from '../broker.ts';
import type { Config } from '../config/settings.ts';
import type { TargetSettings } from '../config/target_settings.ts';
import { accessLimits } from '../config/targets.ts';
import { mayReach, mayReachAs } from '../policy/accounts.ts';
import { mayLogIn } from '../policy/admission.ts';
import { outputCounts } from '../policy/output_counts.ts';
import { seeConnections, unseenAmong } from '../sessions/connections.ts';
import { findAllJudged } from '../sessions/find.ts';
import { factsOf } from '../sessions/limits.ts';
import type { Session } from '../sessions/session.ts';

/** @param session as of now, with uses that are not written yet; it may have ended */
export function targetLeaseOf(
  config: Config,
  { sid = '', targets }: Ask,
  session: Session | undefined,
): Lease | NoLease {
  if (!session) return { sid, denied: 'unknown_session', message: 'there is no such session' };
  const admitted = session.ended_at !== null || mayLogIn(config, session);
  if (!admitted || !config.targets.some((target) => mayReach(target, session.idp_groups)))
    return { sid, denied: 'not_admitted', message: 'you are not admitted to any target any more' };
  return {
    sid,
    judged_sid: session.sid,
    username: session.username,
    groups: session.groups,
    facts: factsOf(session),
    limits: targets.map((target) => (target.target === undefined ? OF_A_CLUSTER : limitsOf(config, target, session))),
  };
}

/** The gateway of targets knows no clusters. */
const OF_A_CLUSTER: NoLimits = { denied: 'not_admitted', message: 'this gateway is not for clusters' };

function limitsOf(config: Config, { target: name, account }: AccessTarget, session: Session): LeasedLimits | NoLimits {
  const target = targetCalled(config, name);
  if (!target || !mayReachAs(target, session.idp_groups, account)) {
    const as = account === undefined ? '' : ` as ${account}`;
    return { denied: 'not_admitted', message: `you are not admitted to ${name}${as} any more` };
  }
  return leasedLimits(config, target, account, session);
}

export function targetCalled({ targets }: Pick<Config, 'targets'>, wanted: string): TargetSettings | undefined {
  return targets.find(({ name }) => name === wanted);
}

/** What holds for a session at a target, with what rules have yielded for it. */
export function leasedLimits(
  config: Config,
  target: TargetSettings,
  account: string | undefined,
  { yields }: Pick<Session, 'yields'>,
): LeasedLimits {
  const reached: AccessTarget = { target: target.name, ...(account !== undefined && { account }) };
  const limits = withYields(accessLimits(config, target, account), reached, yields);
  const output_counts = outputCounts(config.policy, reached);
  return output_counts.length === 0 ? limits : { ...limits, output_counts };
}

/** Whatever is asked for is open: that is written, now and then. @throws CurfewError `store` */
export async function noteOpen({ store, now }: Pick<Broker, 'store' | 'now'>, asks: readonly Ask[]): Promise<void> {
  const wanted = asks.filter(({ targets }) => targets.length > 0);
  if (wanted.length === 0) return;
  const ids = await store.read(async (db) => {
    const judged = await findAllJudged(
      db,
      wanted.flatMap(({ sid }) => sid ?? []),
    );
    const reached = wanted.flatMap(({ sid = '', targets }) => {
      const judged_sid = judged.get(sid)?.sid;
      if (judged_sid === undefined) return [];
      return targets.flatMap((one) => (one.target === undefined ? [] : [{ ...one, judged_sid }]));
    });
    return unseenAmong(db, reached, now());
  });
  for (let i = 0; i < ids.length; i += AT_ONCE)
    await store.transaction((transaction) => seeConnections(transaction, ids.slice(i, i + AT_ONCE), now()));
}

/** How many one transaction writes: others wait no longer than that. */
const AT_ONCE = 500;
