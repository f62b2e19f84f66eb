// Whether a policy asks for an `acr` that no login can have, because what is combined has none in common: somewhere within a
// cluster nobody could then do anything.

import { commonName } from '../../shared/globs.ts';
import type { Limits } from '../../shared/limits.ts';
import {
  type AccessTarget,
  type ClusterTarget,
  type Match,
  matches,
  meansClusters,
  type Policy,
  resolveLimits,
  withYields,
} from '../../shared/policy.ts';
import type { Reach } from '../../shared/reach.ts';

/** A rule's limits, as far as they are to be looked at: taken as if it held. */
interface Rule {
  readonly name: string;
  readonly match?: Match | undefined;
  readonly limits: Limits;
}

/**
 * The first target within a cluster that nothing satisfies. Looked at are the names that the policy names, and one for
 * each glob and each pair of globs.
 *
 * @param rule one to be counted in
 */
export function unsatisfiable(policy: Policy, cluster: string, rule?: Rule): ClusterTarget | undefined {
  if (rule && !rule.limits.acr) return undefined;
  const asking = policy.segments.filter(
    ({ limits, match }) =>
      limits.acr && meansClusters(match) && (!match.clusters || matches({ clusters: match.clusters }, { cluster })),
  );
  const yields = rule ? [{ rule: rule.name, match: rule.match, limits: rule.limits }] : [];
  const targets = targetsWithin(cluster, [...asking.map(({ match }) => match), rule?.match ?? {}]);
  return targets.find((target) => withYields(resolveLimits(policy, target), target, yields).target.acr?.length === 0);
}

/**
 * The first account of a target that nothing satisfies. Looked at are all that it has, and none in particular.
 *
 * @param rule one to be counted in
 */
export function unsatisfiableTarget(
  policy: Policy,
  { name, accounts }: { readonly name: string; readonly accounts: readonly string[] },
  rule?: Rule,
): AccessTarget | undefined {
  if (rule && !rule.limits.acr) return undefined;
  const yields = rule ? [{ rule: rule.name, match: rule.match, limits: rule.limits }] : [];
  return [undefined, ...accounts]
    .map((account): AccessTarget => ({ target: name, ...(account !== undefined && { account }) }))
    .find((target) => withYields(resolveLimits(policy, target), target, yields).target.acr?.length === 0);
}

/** `as orders_rw`; nothing for the target as a whole. */
export function sayAccess({ account }: AccessTarget): string {
  return account === undefined ? '' : `as ${account}`;
}

function targetsWithin(cluster: string, named: readonly Match[]): ClusterTarget[] {
  const resources = examples(named.flatMap((match) => match.resources ?? []));
  return examples(named.flatMap((match) => match.namespaces ?? [])).flatMap((namespace) =>
    resources.map((resource) => ({
      cluster,
      ...(namespace !== undefined && { namespace }),
      ...(resource !== undefined && { resource }),
    })),
  );
}

/** None, then a name for each glob and for each two that have one in common. */
function examples(globs: readonly string[]): (string | undefined)[] {
  const different = [...new Set(globs)];
  const wild = different.filter((glob) => /[*?]/.test(glob));
  const pairs = wild.flatMap((a, i) => wild.slice(i).map((b) => commonName(a, b)));
  const names = [...different.filter((glob) => !wild.includes(glob)), ...pairs];
  return [undefined, ...new Set(names.filter((name) => name !== undefined))];
}

/** `in namespace payments`, `for pods/exec in namespace payments`; nothing for the cluster as a whole. */
export function sayWithin({ namespace, resource }: Reach): string {
  return [resource && `for ${resource}`, namespace && `in namespace ${namespace}`].filter(Boolean).join(' ');
}
