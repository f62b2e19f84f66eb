// What the configuration says of a segment as a whole: the limits that hold for everything in it. The engine combines them.

import { CurfewError } from '../../shared/errors.ts';
import { type Glob, globMatches } from '../../shared/globs.ts';
import { combine, type WholeLimits } from '../../shared/limits.ts';
import { EVERY, type Match, resolveLimits, type Segment, type Target } from '../../shared/policy.ts';
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
  const clusters = config.clusters.filter((cluster) => fits(match.clusters, cluster.name));
  const limits = strictest(config, clusters, match);
  if (limits === undefined) throw new CurfewError('usage', `no cluster of ${config.file} is in segment ${name}`);
  const names = clusters.map((cluster) => cluster.name).join(' and ');
  return { limits, of: `segment ${name}, ${clusters.length > 1 ? 'clusters' : 'cluster'} ${names}` };
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
  const limits =
    fits(match.clusters, cluster.name) &&
    fits(match.namespaces, namespace) &&
    strictest(config, [cluster], { ...match, namespaces: [namespace] });
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

function strictest({ policy }: Config, clusters: readonly Cluster[], match: Match): WholeLimits | undefined {
  const all = clusters.flatMap((cluster) =>
    targetsOf(match, cluster).map((target) => resolveLimits(policy, target, ceilingLimits(cluster)).target),
  );
  const [first, ...others] = all;
  return first && others.reduce<WholeLimits>(combine, first);
}

/** What stands for all of the segment in a cluster. */
function targetsOf({ namespaces, resources }: Match, { name: cluster }: Cluster): Target[] {
  return standIns(namespaces).flatMap((namespace) =>
    standIns(resources).map((resource) => ({
      cluster,
      ...(namespace !== undefined && { namespace }),
      ...(resource !== undefined && { resource }),
    })),
  );
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
