// Tells gateways that less may be allowed to a session than the lease says that they hold of it.

import type { Seconds } from '../../shared/time.ts';
import type { Config } from '../config/settings.ts';
import { asWhom } from '../policy/accounts.ts';
import { mayUse } from '../policy/admission.ts';
import type { Transaction } from '../store/store.ts';
import type { Session } from './session.ts';

/** @param before the session as gateways may know it: who admitted its person then is told */
export function publishLowered(
  transaction: Pick<Transaction, 'publish'>,
  { clusters, targets }: Pick<Config, 'clusters' | 'targets'>,
  before: Pick<Session, 'sid' | 'idp_groups'>,
  now: Seconds,
): void {
  const told = clusters.filter((cluster) => cluster.gateway !== undefined && mayUse(cluster, before.idp_groups));
  const names = [...told, ...targets.filter((target) => asWhom(target, before.idp_groups))].map(({ name }) => name);
  if (names.length > 0) transaction.publish({ kind: 'lowered', at: now, sid: before.sid, clusters: names });
}
