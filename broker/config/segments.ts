// What the configuration says of a segment as a whole: the limits that hold for everything in it. The engine combines them.

import { CurfewError } from '../../shared/errors.ts';
import { type Glob, globMatches } from '../../shared/globs.ts';
import { combine, type WholeLimits } from '../../shared/limits.ts';
import { EVERY, type Match, meansClusters, meansTargets, resolveLimits, type Segment } from '../../shared/policy.ts';
import { ceilingLimits, clusterNamed } from './clusters.ts';
import type { Cluster, Config } from './settings.ts';

/** Limits, and of what they are. */
export interface LimitsOfSegment {
  readonly limits: WholeLimits;
  /** As in `segment payments, clusters prod-eu and prod-us`. */
  readonly of: string;
}

/**
 * The limits that hold for everything in a segment: what the policy, other segments that cover all of it, and the ceilings of its clusters
 * give together. Where its clusters differ, the strictest. What rules yield for some people may be stricter still.
 *
 * @throws CurfewError `usage` when there is no such segment, or none of the clusters is in it
 */
export function segmentLimits(config: Config, name: string): LimitsOfSegment {
  const { match } = segmentNamed(config, name);
  const clusters = meansClusters(match) ? config.clusters.filter((one) => fits(match.clusters, one.name)) : [];
  const targets = meansTargets(match) ? config.targets.filter((one) => fits(match.targets, one.name)) : [];
  const limits = strictest([
    ...clusters.flatMap((cluster) => limitsOfCluster(config, cluster, match)),
    ...targets.flatMap(({ name: target }) => limitsOfTarget(config, target, match)),
  ]);
  if (limits === undefined) throw new CurfewError('usage', `nothing of ${config.file} is in segment ${name}`);
  return { limits, of: [`segment ${name}`, ...listed('cluster', clusters), ...listed('target', targets)].join(', ') };
}

/**
 * The limits of one namespace of one cluster, which must be in the segment.
 *
 * @throws CurfewError `usage` when there is no such segment or cluster, or the namespace is not in it
 */
export function segmentLimitsIn(config: Config, name: string, inside: Inside): LimitsOfSegment {
  const { match } = segmentNamed(config, name);
  const cluster = clusterNamed(config, inside.cluster);
  const { namespace } = inside;
  const within = meansClusters(match) && fits(match.clusters, cluster.name) && fits(match.namespaces, namespace);
  const limits = within && strictest(limitsOfCluster(config, cluster, { ...match, namespaces: [namespace] }));
  if (!limits)
    throw new CurfewError('usage', `namespace ${namespace} of cluster ${cluster.name} is not in segment ${name}`);
  return { limits, of: `segment ${name}, namespace ${namespace} of cluster ${cluster.name}` };
}

export interface Inside {
  readonly cluster: string;
  readonly namespace: string;
}

function segmentNamed({ policy, file }: Config, wanted: string): Segment {
  const segment = policy.segments.find(({ name }) => name === wanted);
  if (segment) return segment;
  const names = policy.segments.map(({ name }) => name).join(', ') || 'none';
  throw new CurfewError('usage', `there is no segment ${JSON.stringify(wanted)} in ${file}, only ${names}`);
}

function strictest([first, ...others]: readonly WholeLimits[]): WholeLimits | undefined {
  return first && others.reduce<WholeLimits>(combine, first);
}

/** Of what stands for all of the segment in a cluster. */
function limitsOfCluster({ policy }: Config, cluster: Cluster, { namespaces, resources }: Match): WholeLimits[] {
  return standIns(namespaces).flatMap((namespace) =>
    standIns(resources).map((resource) => {
      const target = {
        cluster: cluster.name,
        ...(namespace !== undefined && { namespace }),
        ...(resource !== undefined && { resource }),
      };
      return resolveLimits(policy, target, ceilingLimits(cluster)).target;
    }),
  );
}

function limitsOfTarget({ policy }: Config, target: string, { accounts }: Match): WholeLimits[] {
  return standIns(accounts).map((account) => resolveLimits(policy, { target, account }).target);
}

function listed(kind: string, all: readonly { readonly name: string }[]): string[] {
  return all.length === 0 ? [] : [`${kind}${all.length > 1 ? 's' : ''} ${all.map(({ name }) => name).join(' and ')}`];
}

/**
 * A pattern is asked about by its own text: another pattern that matches that text covers all that it means, and one that does not covers
 * only a part. `*` alone is not: to the engine it is a request over all, which meets what each of them would meet.
 */
function standIns(globs: readonly Glob[] | undefined): readonly (string | undefined)[] {
  return globs === undefined ? [undefined] : globs.map((glob) => (glob === EVERY ? '**' : glob));
}

function fits(globs: readonly Glob[] | undefined, name: string): boolean {
  return globs === undefined || globs.some((glob) => globMatches(glob, name));
}
