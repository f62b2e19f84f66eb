// Which clusters and targets do not admit the person of a session: told to the holder of its key with each token, and to nobody else.

import { memoOf } from '../../shared/memo.ts';
import type { TokenReply } from '../../shared/wire.ts';
import type { Config } from '../config/settings.ts';
import { asWhom } from './accounts.ts';
import { mayUse } from './admission.ts';

type Reachable = Pick<Config, 'clusters' | 'targets'>;

/** Of one configuration: another one begins again. */
const namesOf = memoOf(({ clusters, targets }: Reachable) =>
  memoOf((idp_groups: readonly string[]): readonly string[] => [
    ...clusters.flatMap((cluster) => (mayUse(cluster, idp_groups) ? [] : [cluster.name])),
    ...targets.flatMap((target) => (asWhom(target, idp_groups) ? [] : [target.name])),
  ]),
);

/**
 * @param idp_groups of the session: the very list, as equal ones are one
 * @returns the part of a reply that says so; nothing where all admit them
 */
export function notAdmitted(config: Reachable, idp_groups: readonly string[]): Pick<TokenReply, 'not_admitted'> {
  const not_admitted = namesOf(config)(idp_groups);
  return not_admitted.length === 0 ? {} : { not_admitted };
}
