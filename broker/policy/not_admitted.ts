// Which clusters do not admit the person of a session: told to the holder of its key with each token, and to nobody else.

import type { TokenReply } from '../../shared/wire.ts';
import type { Config } from '../config/settings.ts';
import { mayUse } from './admission.ts';

/** By the clusters of one configuration: another one begins again. */
const known = new WeakMap<Config['clusters'], WeakMap<readonly string[], readonly string[]>>();

/**
 * @param idp_groups of the session: the very list, as equal ones are one
 * @returns the part of a reply that says so; nothing where all clusters admit them
 */
export function notAdmitted(
  { clusters }: Pick<Config, 'clusters'>,
  idp_groups: readonly string[],
): Pick<TokenReply, 'not_admitted'> {
  const answers = known.get(clusters) ?? new WeakMap<readonly string[], readonly string[]>();
  known.set(clusters, answers);
  const not_admitted = answers.get(idp_groups) ?? namesOf(clusters, idp_groups);
  answers.set(idp_groups, not_admitted);
  return not_admitted.length === 0 ? {} : { not_admitted };
}

function namesOf(clusters: Config['clusters'], idp_groups: readonly string[]): readonly string[] {
  return clusters.flatMap((cluster) => (mayUse(cluster, idp_groups) ? [] : [cluster.name]));
}
