// Which limits an object must keep: those of its namespace in a cluster, or of a segment. The engine combines them, nothing here does.

import { CurfewError } from '../../shared/errors.ts';
import { globMatches } from '../../shared/globs.ts';
import type { WholeLimits } from '../../shared/limits.ts';
import { EVERY } from '../../shared/policy.ts';
import { clusterNamed, targetLimits } from '../config/clusters.ts';
import { segmentLimits, segmentLimitsIn } from '../config/segments.ts';
import type { Config } from '../config/settings.ts';
import { policyHash } from '../layers_table/policy_hash.ts';

export interface Scope {
  /** In words, such as `cluster prod`. */
  readonly said: string;
  /**
   * Of an object in this namespace, or in one that is not known.
   *
   * @returns `undefined` where it is none of the segment's
   */
  limitsIn(namespace: string | undefined): WholeLimits | undefined;
  /** What may be on what is rendered for that namespace now. */
  hashesIn(namespace: string | undefined): ReadonlySet<string>;
}

export interface Wanted {
  readonly cluster?: string | undefined;
  readonly segment?: string | undefined;
}

/** @throws CurfewError `usage` where neither or both are named, or there is none of that name */
export function scopeOf(config: Config, { cluster, segment }: Wanted): Scope {
  if (cluster !== undefined && segment === undefined) return ofCluster(config, cluster);
  if (segment !== undefined && cluster === undefined) return ofSegment(config, segment);
  throw new CurfewError('usage', 'give either --cluster or --segment');
}

/** What is not known to be in one namespace meets the limits of each, as everywhere in the engine. */
function ofCluster(config: Config, name: string): Scope {
  const cluster = clusterNamed(config, name);
  return {
    said: `cluster ${name}`,
    limitsIn: (namespace = EVERY) => targetLimits(config, cluster, { namespace }).target,
    hashesIn: (namespace) =>
      new Set(config.policy.segments.flatMap((one) => hashesOf(config, one.name, name, namespace))),
  };
}

function ofSegment(config: Config, name: string): Scope {
  const { limits } = segmentLimits(config, name);
  const namespaces = config.policy.segments.find((one) => one.name === name)?.match.namespaces;
  return {
    said: `segment ${name}`,
    limitsIn: (namespace) =>
      namespace === undefined || !namespaces || namespaces.some((glob) => globMatches(glob, namespace))
        ? limits
        : undefined,
    hashesIn: (namespace) =>
      new Set([
        policyHash(name, limits),
        ...config.clusters.flatMap((cluster) => hashesOf(config, name, cluster.name, namespace)),
      ]),
  };
}

/** Of one segment: as a whole, and as it is in a namespace of a cluster. */
function hashesOf(config: Config, segment: string, cluster: string, namespace: string | undefined): readonly string[] {
  const asked = [
    () => segmentLimits(config, segment),
    ...(namespace === undefined ? [] : [() => segmentLimitsIn(config, segment, { cluster, namespace })]),
  ];
  return asked.flatMap((limitsOf) => {
    try {
      return [policyHash(segment, limitsOf().limits)];
    } catch (error) {
      // It is not in the segment.
      if (error instanceof CurfewError) return [];
      throw error;
    }
  });
}
