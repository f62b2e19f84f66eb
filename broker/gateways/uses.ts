// Uses that a gateway saw: written before it is answered. A session that has ended, or that was over by then, is not moved.

import { decide } from '../../shared/decide.ts';
import { OLDEST_USE_MS, type Use } from '../../shared/gateway_wire.ts';
import { between, latest, type Seconds, seconds } from '../../shared/time.ts';
import type { Broker } from '../broker.ts';
import type { Config } from '../config/settings.ts';
import { judge } from '../judgement/request.ts';
import { mayReach } from '../policy/accounts.ts';
import { mayLogIn } from '../policy/admission.ts';
import { findAllJudged, holdSessions } from '../sessions/find.ts';
import { factsOf, sessionLimits, wholeLimits } from '../sessions/limits.ts';
import type { Session } from '../sessions/session.ts';
import { touch } from '../sessions/use.ts';
import type { Transaction } from '../store/store.ts';
import type { GatewayCaller } from './caller.ts';

/** What uses are written with. */
export type UseParts = Pick<Broker, 'config' | 'store' | 'touches'>;

/** How many uses one transaction writes: others that wait for one of these sessions wait no longer than that. */
const AT_ONCE = 100;

/** @throws CurfewError `store`: those that were not written are to be told again */
export async function recordUses(
  broker: UseParts,
  gateway: GatewayCaller,
  uses: readonly Use[],
  now: Seconds,
): Promise<void> {
  const due = await dueUses(broker, uses, now);
  for (let i = 0; i < due.length; i += AT_ONCE) {
    const batch = new Map(due.slice(i, i + AT_ONCE).map(({ sid, at }) => [sid, at]));
    await broker.store.transaction(async (transaction) => {
      for (const found of await holdSessions(transaction, [...batch.keys()]))
        await recordUse(transaction, broker, gateway, found, batch.get(found.sid) ?? found.last_used);
    });
  }
}

interface DueUse {
  /** Of the session that judges. */
  readonly sid: string;
  readonly at: Seconds;
}

/** The last of each session, where that is later than what is known. In one order, as two replicas may be told of the same sessions. */
async function dueUses({ store, touches }: UseParts, uses: readonly Use[], now: Seconds): Promise<readonly DueUse[]> {
  const recent = uses.filter(({ age_ms }) => age_ms <= OLDEST_USE_MS);
  if (recent.length === 0) return [];
  const sessions = await store.read((db) =>
    findAllJudged(
      db,
      recent.map(({ sid }) => sid),
    ),
  );
  const last = new Map<string, Seconds>();
  for (const { sid, age_ms } of recent) {
    const session = sessions.get(sid);
    if (!session) continue;
    // Rounded so that none counts as later than it was.
    const at = between(seconds(Math.ceil(age_ms / 1000)), now);
    if (at > touches.overlay(session).last_used) last.set(session.sid, latest(at, last.get(session.sid) ?? at));
  }
  return [...last].map(([sid, at]) => ({ sid, at })).sort((a, b) => (a.sid < b.sid ? -1 : 1));
}

/** Decides on the session as it is in this transaction, as of then. */
async function recordUse(
  transaction: Transaction,
  { config, touches }: UseParts,
  gateway: GatewayCaller,
  found: Session,
  at: Seconds,
): Promise<void> {
  if (found.ended_at !== null) return;
  const [session = found] = await touches.apply(transaction, [found]);
  if (at <= session.last_used || !mayUseThere(config, gateway, session, at)) return;
  await touch(transaction, session, sessionLimits(config.policy, session), at);
}

/** Whether a session may be used through the gateway at all: which of its targets it was, the gateway need not say. */
function mayUseThere(config: Config, gateway: GatewayCaller, session: Session, at: Seconds): boolean {
  if (gateway.kind === 'cluster') {
    return judge(config, gateway.cluster, { user: session.username, within: {} }, session, at) === undefined;
  }
  const admitted = config.targets.some((target) => mayReach(target, session.idp_groups));
  return (
    admitted && mayLogIn(config, session) && decide(wholeLimits(config.policy, session), factsOf(session), at).allow
  );
}
