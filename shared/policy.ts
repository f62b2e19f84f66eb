// The policy: session-wide limits, segments of the estate, and what rules have yielded for a session. Only a pure meaning;
// parsing from YAML and evaluating rules is the broker's.

import { type Glob, globMatches } from './globs.ts';
import { combine, type Limits, type WholeLimits } from './limits.ts';

/** Stands for every namespace, or every resource: what covers all is judged by the limits of each. No real name has it. */
export const EVERY = '*';

/** What a credential or a request is for. The more it names, the more segments can match: that only tightens. */
export interface Target {
  /** A cluster's name; without one the session as a whole is meant. */
  readonly cluster?: string;
  /** A namespace, or `EVERY` for a request over all of them; absent where none is touched, or none is known yet. */
  readonly namespace?: string;
  /** `pods`, or with a subresource `pods/exec`; `EVERY` for all of them; absent likewise. */
  readonly resource?: string;
}

/** Which targets are meant: those that fit each list that stands here. */
export interface Match {
  readonly clusters?: readonly Glob[] | undefined;
  readonly namespaces?: readonly Glob[] | undefined;
  /** Resources with subresource, as in RBAC: `pods` does not match `pods/exec`, `pods*` does. */
  readonly resources?: readonly Glob[] | undefined;
}

/** A named part of the estate with limits of its own. */
export interface Segment {
  readonly name: string;
  readonly match: Match;
  readonly limits: Limits;
}

export interface Policy {
  /** Session-wide: these end a session. */
  readonly limits: WholeLimits;
  readonly segments: readonly Segment[];
}

/** What one rule gave when it was evaluated for a session; it holds until the rule is evaluated again. */
export interface Yield {
  readonly rule: string;
  /** Without it the limits are session-wide. */
  readonly match?: Match | undefined;
  readonly limits: Limits;
  /** Set where the rule looks at the cluster: evaluated again only when that cluster is asked for. */
  readonly cluster?: string | undefined;
}

/** The limits that apply to one target, apart as to what they do. */
export interface ResolvedLimits {
  /** Session-wide: when one of these strikes, the session ends everywhere. */
  readonly session: WholeLimits;
  /** Of the target: the minimum over `session` and all that match. When only these strike, the target is denied. */
  readonly target: WholeLimits;
  /** The most specific segment that matched: names the reason in messages and audit, decides nothing. */
  readonly segment?: string | undefined;
}

/**
 * Combines all of the policy that applies to a target.
 *
 * @param further limits from outside the policy: a cluster's ceiling, a caller's `max_age`. They tighten the target only.
 */
export function resolveLimits(policy: Policy, target: Target, ...further: readonly Limits[]): ResolvedLimits {
  const found = lookUp(policy, target);
  return {
    session: policy.limits,
    target: further.reduce<WholeLimits>((sum, limits) => combine(sum, limits), found.limits),
    ...(found.segment !== undefined && { segment: found.segment }),
  };
}

/** Tightens by what rules have yielded: the session where they name no target, else the targets that they name. */
export function withYields(resolved: ResolvedLimits, target: Target, yields: readonly Yield[]): ResolvedLimits {
  const wide = yields.filter(({ match }) => match === undefined);
  const apply = (sum: WholeLimits, { limits }: Yield) => combine(sum, limits);
  return {
    ...resolved,
    session: wide.reduce(apply, resolved.session),
    target: yields.filter(({ match }) => match === undefined || matches(match, target)).reduce(apply, resolved.target),
  };
}

/** Whether something that names targets means this one. What names no cluster means none of them. */
export function matches({ clusters, namespaces, resources }: Match, target: Target): boolean {
  if (target.cluster === undefined) return false;
  return fits(clusters, target.cluster) && fits(namespaces, target.namespace) && fits(resources, target.resource);
}

function fits(globs: readonly Glob[] | undefined, name: string | undefined): boolean {
  if (globs === undefined) return true;
  return name !== undefined && (name === EVERY || globs.some((glob) => globMatches(glob, name)));
}

/** How much of a target a segment names: first how many of namespace and resource, then the longest literal texts. */
export function specificity({ clusters, namespaces, resources }: Match, target: Target): number {
  const named = [namespaces, resources].filter((globs) => globs !== undefined).length;
  return (
    named * 10_000 +
    weight(clusters, target.cluster) +
    weight(namespaces, target.namespace) +
    weight(resources, target.resource)
  );
}

function weight(globs: readonly Glob[] | undefined, name = ''): number {
  const fitting = (globs ?? []).filter((glob) => name === EVERY || globMatches(glob, name));
  return Math.max(0, ...fitting.map((glob) => glob.replaceAll(/[*?]/g, '').length));
}

// A policy of thousands of segments is looked through once for each cluster, and once for each target that is asked for
// again and again. Only a memory of answers: a policy is frozen, so an answer stays right.

interface Found {
  readonly limits: WholeLimits;
  readonly segment?: string | undefined;
}

interface ClusterIndex {
  /** By namespace where a segment names namespaces without wildcards. */
  readonly by_namespace: ReadonlyMap<string, readonly Segment[]>;
  readonly others: readonly Segment[];
  readonly all: readonly Segment[];
  readonly answers: Map<string, Found>;
}

const MOST_CLUSTERS = 1_000;
const MOST_ANSWERS = 5_000;
/** No namespace and resource of Kubernetes are longer: what is, somebody made up, and it is not remembered. */
const LONGEST_KEY = 400;
const indexes = new WeakMap<Policy, Map<string, ClusterIndex>>();

function lookUp(policy: Policy, target: Target): Found {
  const { cluster, namespace, resource } = target;
  if (cluster === undefined) return { limits: policy.limits };
  const index = indexOf(policy, cluster);
  const key = JSON.stringify([namespace, resource]);
  const known = index.answers.get(key);
  if (known) return known;
  const candidates =
    namespace === EVERY ? index.all : [...(index.by_namespace.get(namespace ?? '') ?? []), ...index.others];
  const found = combineMatching(policy, target, candidates);
  if (key.length > LONGEST_KEY) return found;
  if (index.answers.size >= MOST_ANSWERS) index.answers.clear();
  index.answers.set(key, found);
  return found;
}

function combineMatching(policy: Policy, target: Target, candidates: readonly Segment[]): Found {
  let limits = policy.limits;
  let best: { readonly name: string; readonly weight: number } | undefined;
  for (const segment of candidates) {
    if (!matches(segment.match, target)) continue;
    limits = combine(limits, segment.limits);
    const { name } = segment;
    const weight = specificity(segment.match, target);
    if (!best || weight > best.weight || (weight === best.weight && name < best.name)) best = { name, weight };
  }
  return { limits, segment: best?.name };
}

function indexOf(policy: Policy, cluster: string): ClusterIndex {
  const clusters = indexes.get(policy) ?? new Map<string, ClusterIndex>();
  indexes.set(policy, clusters);
  const known = clusters.get(cluster);
  if (known) return known;
  const all = policy.segments.filter(({ match }) => fits(match.clusters, cluster));
  const by_namespace = new Map<string, Segment[]>();
  const others: Segment[] = [];
  for (const segment of all) {
    const { namespaces } = segment.match;
    if (namespaces === undefined || namespaces.some((glob) => /[*?]/.test(glob))) others.push(segment);
    else {
      for (const namespace of new Set(namespaces)) {
        const there = by_namespace.get(namespace);
        if (there) there.push(segment);
        else by_namespace.set(namespace, [segment]);
      }
    }
  }
  if (clusters.size >= MOST_CLUSTERS) clusters.clear();
  const index = { by_namespace, others, all, answers: new Map<string, Found>() };
  clusters.set(cluster, index);
  return index;
}
