// Which clusters do not admit the person of a session: told to the holder of its key with each token, and to nobody else.

import type { TokenReply } from '../../shared/wire.ts';
import type { Config } from '../config/settings.ts';
import { mayUse } from './admission.ts';

/** Of so many different lists of groups the answer is kept. */
const MOST = 1_000;

/** By the clusters of one configuration: another one begins anew. */
const known = new WeakMap<Config['clusters'], Map<string, readonly string[]>>();

/**
 * @param idp_groups as they are stored with the session
 * @returns the part of a reply that says so; nothing where all clusters admit them
 */
export function notAdmitted(
  { clusters }: Pick<Config, 'clusters'>,
  idp_groups: string,
): Pick<TokenReply, 'not_admitted'> {
  const answers = known.get(clusters) ?? new Map<string, readonly string[]>();
  known.set(clusters, answers);
  const not_admitted = answers.get(idp_groups) ?? namesOf(clusters, JSON.parse(idp_groups) as string[]);
  if (answers.size >= MOST) answers.clear();
  answers.set(idp_groups, not_admitted);
  return not_admitted.length === 0 ? {} : { not_admitted };
}

function namesOf(clusters: Config['clusters'], idp_groups: readonly string[]): readonly string[] {
  return clusters.flatMap((cluster) => (mayUse(cluster, idp_groups) ? [] : [cluster.name]));
}
