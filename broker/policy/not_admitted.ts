// Which clusters do not admit the person of a session: told to the holder of its key with each token, and to nobody else.

import { memoOf } from '../../shared/memo.ts';
import type { TokenReply } from '../../shared/wire.ts';
import type { Config } from '../config/settings.ts';
import { mayUse } from './admission.ts';

/** By the clusters of one configuration: another one begins again. */
const namesOf = memoOf((clusters: Config['clusters']) =>
  memoOf((idp_groups: readonly string[]): readonly string[] =>
    clusters.flatMap((cluster) => (mayUse(cluster, idp_groups) ? [] : [cluster.name])),
  ),
);

/**
 * @param idp_groups of the session: the very list, as equal ones are one
 * @returns the part of a reply that says so; nothing where all clusters admit them
 */
export function notAdmitted(
  { clusters }: Pick<Config, 'clusters'>,
  idp_groups: readonly string[],
): Pick<TokenReply, 'not_admitted'> {
  const not_admitted = namesOf(clusters)(idp_groups);
  return not_admitted.length === 0 ? {} : { not_admitted };
}
